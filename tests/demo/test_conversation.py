"""People and what they say: always the same, within the contracts' limits, readable."""

import re
import time
from itertools import pairwise

import msgspec
import pytest

from tidings.contracts.messages import ImportedMessage, ImportMessages
from tidings.contracts.users import ImportPeople
from tidings.demo.conversation import message_count, messages_of
from tidings.demo.graph import Graph, generate_graph
from tidings.demo.names import REGIONS
from tidings.demo.people import DAY_MS, LAST_MS, folded, handle_marked, people_of
from tidings.platform.ids import bucket_in, bucket_of, ms_of

GRAPH = generate_graph(962, seed=1)


def said(graph: Graph, seed: int) -> list[list[ImportedMessage]]:
    people, friends = people_of(graph, seed), graph.friends()
    return [list(messages_of(graph, seed, people, friends, number)) for number in range(graph.people)]


@pytest.fixture(scope="module")
def conversation() -> list[list[ImportedMessage]]:
    return said(GRAPH, 5)


def test_the_same_graph_and_seed_say_the_same(conversation: list[list[ImportedMessage]]) -> None:
    assert said(GRAPH, 5) == conversation
    assert people_of(GRAPH, 5) == people_of(GRAPH, 5)


@pytest.mark.parametrize(("graph", "seed"), [(GRAPH, 6), (generate_graph(962, seed=2), 5)])
def test_another_seed_or_graph_shares_no_id(
    conversation: list[list[ImportedMessage]], graph: Graph, seed: int
) -> None:
    assert {person.id for person in people_of(GRAPH, 5)}.isdisjoint(person.id for person in people_of(graph, seed))
    mine = {message.id for of_one in conversation for message in of_one}
    assert mine.isdisjoint(message.id for of_one in said(graph, seed) for message in of_one)


def test_a_known_person_stays_who_they_are() -> None:
    # The same on every Python and machine: a changed id would load everybody a second time.
    first = people_of(GRAPH, 5)[0]
    assert (str(first.id), first.handle) == ("019d5140-f3b7-752f-a4fd-1e4bec698867", "bartosz_mazur")


def test_people_fit_the_contract_and_come_from_many_places() -> None:
    graph = generate_graph(3000, seed=1)
    people = people_of(graph, 5)
    batch = ImportPeople(people=[person.imported() for person in people])
    assert msgspec.json.decode(msgspec.json.encode(batch), type=ImportPeople) == batch
    handles = [person.handle for person in people]
    assert len(set(handles)) == len({person.id for person in people}) == 3000
    assert all(re.fullmatch("[a-z0-9_]{2,30}", handle) for handle in handles)
    marked = [handle_marked(handle, graph, 5) for handle in handles]
    assert len(set(marked)) == 3000
    assert all(re.fullmatch("[a-z0-9_]{2,30}", handle) for handle in marked)
    assert set(marked).isdisjoint(handles)
    assert len({person.home for person in people}) == sum(len(region.cities) for region in REGIONS)
    assert sum(not person.name.isascii() for person in people) > 600
    assert all(person.created_ms == ms_of(person.id) < LAST_MS - 30 * DAY_MS for person in people)


def test_every_name_of_every_region_makes_a_handle() -> None:
    for region in REGIONS:
        for written, latin in region.given + region.family:
            assert written
            assert len(folded(latin)) > 1


def test_messages_fit_the_contract(conversation: list[list[ImportedMessage]]) -> None:
    messages = [message for of_one in conversation for message in of_one]
    for start in range(0, len(messages), 5000):
        batch = ImportMessages(messages=messages[start : start + 5000])
        assert msgspec.json.decode(msgspec.json.encode(batch), type=ImportMessages) == batch
    assert not [message.text for message in messages if re.search(r"[{}]|\s\s|^\s|\s$", message.text)]
    assert all(4 < len(message.text) < 300 for message in messages)


def test_ids_carry_the_bucket_and_rise_with_no_two_in_one_millisecond(
    conversation: list[list[ImportedMessage]],
) -> None:
    for person, of_one in zip(people_of(GRAPH, 5), conversation, strict=True):
        assert all(message.author_id == person.id for message in of_one)
        assert all(bucket_in(message.id) == bucket_of(person.id) for message in of_one)
        assert all(ms_of(before.id) < ms_of(after.id) for before, after in pairwise(of_one))
        assert all(LAST_MS - 30 * DAY_MS <= ms_of(message.id) <= LAST_MS for message in of_one)
        assert all(person.created_ms < ms_of(message.id) for message in of_one)
        assert all(message.id.version == 7 for message in of_one)
    ids = [message.id for of_one in conversation for message in of_one]
    assert len(set(ids)) == len(ids)


def test_about_ten_messages_each_and_some_of_everything(conversation: list[list[ImportedMessage]]) -> None:
    counts = [len(of_one) for of_one in conversation]
    assert counts == [message_count(GRAPH, 5, number) for number in range(GRAPH.people)]
    assert 9 < sum(counts) / len(counts) < 11.5
    assert max(counts) <= 30
    assert 10 < counts.count(0) < 90
    messages = [message for of_one in conversation for message in of_one]
    lately = sum(ms_of(message.id) > LAST_MS - 10 * DAY_MS for message in messages)
    assert lately > 0.45 * len(messages)

    def share(count: int) -> float:
        return count / len(messages)

    assert 0.1 < share(sum(message.place is not None for message in messages)) < 0.3
    assert not any(message.media for message in messages)  # whose pictures nobody could show
    assert 0.15 < share(sum(bool(message.mentions) for message in messages)) < 0.35
    assert 0.05 < share(sum(message.audience == "public" for message in messages)) < 0.2
    assert share(len({message.text for message in messages})) > 0.6


def test_mentions_are_of_friends_and_name_them(conversation: list[list[ImportedMessage]]) -> None:
    people, friends = people_of(GRAPH, 5), GRAPH.friends()
    for number, of_one in enumerate(conversation):
        circle = {people[friend].id: people[friend].given for friend in friends[number]}
        for message in of_one:
            assert all(circle[person] in message.text for person in message.mentions)
            assert all(f"#{tag}" in message.text for tag in message.tags)


def test_places_are_near_a_city_and_coarse(conversation: list[list[ImportedMessage]]) -> None:
    cities = {city.name: city for region in REGIONS for city in region.cities}
    places = [message.place for of_one in conversation for message in of_one if message.place]
    for place in places:
        assert place.latitude == round(place.latitude, 2)
        assert place.longitude == round(place.longitude, 2)
        assert abs(place.latitude - cities[place.name].latitude) < 0.04
        assert abs(place.longitude - cities[place.name].longitude) < 0.04


def test_it_takes_little_time() -> None:
    begun = time.process_time()
    said(GRAPH, 9)
    assert time.process_time() - begun < 2

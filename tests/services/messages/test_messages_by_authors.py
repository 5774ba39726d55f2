"""Bulk reads by author: the latest of each, and many authors' messages in one order."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness.lone import in_process
from tests.services.messages.neighbourhood import Neighbourhood, Person, at
from tests.services.messages.writing import request_of
from tidings.contracts import messages as contract
from tidings.contracts.messages import (
    DEEPER,
    ImportedMessage,
    ImportMessages,
    Latest,
    LatestAsk,
    Message,
    MessageId,
    Near,
    PageByAuthors,
    Rules,
)
from tidings.contracts.users import UserId
from tidings.platform.clock import now_ms
from tidings.platform.contract import Invalid
from tidings.platform.ids import bucket_of, ms_of, uuid7
from tidings.platform.request import Viewer
from tidings.services.messages import present, rules
from tidings.services.messages.holder import Messages
from tidings.services.messages.store.port import LatestRow
from tidings.services.messages.views import by_authors

HERE = Near(latitude=50, longitude=0, within_km=100)


def ids(latest: Latest) -> list[list[MessageId]]:
    """The messages of each author, as decoded from what is given."""
    given_ = [[msgspec.json.decode(raw, type=Message).id for raw in one.messages] for one in latest.authors]
    assert [one.newest_id for one in latest.authors] == [one[0] for one in given_]
    return given_


def paged(page: PageByAuthors) -> list[MessageId]:
    for item in page.items:
        decoded = msgspec.json.decode(item.message, type=Message)
        assert (decoded.id, decoded.author_id) == (item.id, item.author_id)
    return [item.id for item in page.items]


async def test_the_latest_of_each_newest_first(town: Neighbourhood) -> None:
    alice, bob, carol, silent = town.people(4)
    old = await bob.posts("old")
    hers = await carol.posts()
    his = await bob.posts("new")
    assert ids(await alice.latest([carol, bob, silent])) == [[his.id], [hers.id]]
    assert ids(await alice.latest([carol, bob, silent], per_author=2)) == [[his.id, old.id], [hers.id]]


async def test_a_post_leaves_the_row_that_would_be_made_anew(town: Neighbourhood) -> None:
    alice = town.somebody()
    for number in range(present.KEPT + 3):
        place = at(1.5, 2.25) if number % 2 else None
        said = await alice.posts(f"{number} – „so“", audience="public" if number % 3 else "friends", place=place)
        if number == 2:
            await alice.withdraws(said)
        row = (await town.store.latest([alice.id], bodies=present.KEPT))[alice.id]
        with request_of(alice.id):
            async with town.store.write() as write:
                await write.fence([alice.id])
                newest = await write.newest_of([alice.id], per_author=present.KEPT + 1)
        assert msgspec.structs.replace(row, version=0) == present.latest_row(alice.id, newest[alice.id])


async def test_who_keeps_a_feed_is_given_the_newest_few_of_each(town: Neighbourhood) -> None:
    alice, few, many, named, silent = town.people(5)
    hers = [await few.posts(f"{number}", place=at(1.5, 2.5)) for number in range(2)]
    his = [await many.posts(f"{number}") for number in range(7)]
    shown = await named.posts(audience="only", only=[alice])
    await named.posts(audience="only", only=[few])
    mine = await alice.posts("mine")
    page = await alice.page([few, many, named, silent, alice], limit=1, to_keep=True)
    by_author = {one.author_id: one.items for one in page.recents}
    assert {item.author_id for item in by_author[few.id]} == {few.id}
    assert [item.id for item in by_author[few.id]] == [one.id for one in reversed(hers)]
    assert [item.id for item in by_author[many.id]] == [one.id for one in his[:1:-1]]
    assert [item.id for item in by_author[named.id]] == [shown.id]
    assert [bytes(item.message) for item in by_author[alice.id]] == [msgspec.json.encode(mine)]
    assert msgspec.json.decode(by_author[few.id][0].message, type=Message).place is not None
    recents = {one.author_id: one for one in page.recents}
    assert {author: (one.same_for_friends, one.down_to) for author, one in recents.items()} == {
        few.id: (True, None),
        many.id: (True, his[2].id),
        named.id: (False, None),
        silent.id: (True, None),
        alice.id: (True, None),
    }
    latest = await alice.latest([few, many, named, silent, alice], to_keep=True)
    assert {one.author_id: one.version for one in latest.as_of} == {
        author: one.version for author, one in recents.items()
    }


async def test_who_keeps_a_feed_is_given_more_of_an_author_than_the_few(town: Neighbourhood) -> None:
    alice, much, as_many, one_less, silent = town.people(5)
    said = [await much.posts(f"{number}", place=at(1.5, 2.5)) for number in range(DEEPER + 3)]
    all_of = [await as_many.posts(f"{number}") for number in range(DEEPER)]
    mixed = [await one_less.posts(f"{number}") for number in range(DEEPER - 4)]
    hidden = await one_less.posts(audience="only", only=[much])
    mixed += [await one_less.posts(f"{number}") for number in range(present.KEPT)]
    page = await alice.page(
        [much, silent], to_keep=True, deeper=[one.id for one in (much, as_many, one_less, silent)]
    )
    assert [one.author_id for one in page.recents] == [much.id, silent.id]
    assert [item.id for item in page.recents[0].items] == [one.id for one in said[: -present.KEPT - 1 : -1]]
    deeper = {one.author_id: one for one in page.deeper}
    assert [item.id for item in deeper[much.id].items] == [one.id for one in said[:2:-1]]
    assert [bytes(item.message) for item in deeper[much.id].items] == [
        msgspec.json.encode(one) for one in said[:2:-1]
    ]
    assert [item.id for item in deeper[as_many.id].items] == [one.id for one in reversed(all_of)]
    assert [item.id for item in deeper[one_less.id].items] == [one.id for one in mixed[:1:-1]]
    assert hidden.id not in {item.id for item in deeper[one_less.id].items}
    assert {author: (one.same_for_friends, one.down_to) for author, one in deeper.items()} == {
        much.id: (True, said[3].id),
        as_many.id: (True, all_of[0].id),
        one_less.id: (False, mixed[2].id),
        silent.id: (True, None),
    }
    assert deeper[much.id].version == page.recents[0].version == DEEPER + 3


async def test_the_json_is_that_of_the_message(town: Neighbourhood) -> None:
    alice = town.somebody()
    said = await alice.posts("hi", place=at(1.5, 2.5), media=[alice.uploads("a cat")], tags=["t"])
    said = await alice.edits(said, text="ho")
    assert bytes((await alice.latest([alice])).authors[0].messages[0]) == msgspec.json.encode(said)
    assert bytes((await alice.page([alice])).items[0].message) == msgspec.json.encode(said)


async def test_friends_others_named_and_oneself_see_what_is_theirs(town: Neighbourhood) -> None:
    author, named, stranger = town.people(3)
    public = await author.posts(audience="public")
    only = await author.posts(audience="only", only=[named])
    friends = await author.posts()
    mine = await author.posts(audience="only", only=[stranger])
    everything = [mine.id, friends.id, only.id, public.id]
    for viewer, asked, expected in (
        (author, {"friends": [author]}, everything),
        (author, {"friends": [], "others": [author]}, everything),
        (named, {"friends": [author]}, [friends.id, only.id, public.id]),
        (named, {"friends": [], "others": [author]}, [only.id, public.id]),
        (stranger, {"friends": [], "others": [author]}, [mine.id, public.id]),
        (stranger, {"friends": [author], "others": [author]}, [mine.id, friends.id, public.id]),
    ):
        assert ids(await viewer.latest(**asked, per_author=9)) == [expected]
        assert ids(await viewer.latest(**asked)) == [expected[:1]]
        assert paged(await viewer.page(**asked)) == expected


async def test_rules_mean_the_latest_that_satisfies_them(town: Neighbourhood) -> None:
    alice, bob = town.people(2)
    there = await bob.posts(place=at(50.5, 0.5))
    picture = await bob.posts(media=[bob.uploads()])
    for number in range(8):  # beyond what the row keeps
        await bob.posts(str(number), place=at(50, 3))
    assert ids(await alice.latest([bob], rules=Rules(has_media=True))) == [[picture.id]]
    assert ids(await alice.latest([bob], rules=Rules(near=HERE))) == [[there.id]]
    assert ids(await alice.latest([bob], rules=Rules(near=HERE, has_media=True))) == []
    assert ids(await alice.latest([bob], rules=Rules(since_ms=ms_of(picture.id), has_media=True))) == [[picture.id]]
    assert ids(await alice.latest([bob], rules=Rules(since_ms=ms_of(picture.id) + 1, has_media=True))) == []


async def test_the_circle_decides_and_not_the_box(town: Neighbourhood) -> None:
    alice, bob = town.people(2)
    inside = await bob.posts(place=at(50, 1))
    for _ in range(9):
        await bob.posts(place=at(50.85, 1.3))  # in a corner of the box, 130 km away
    assert ids(await alice.latest([bob], rules=Rules(near=HERE))) == [[inside.id]]
    assert rules.kilometres((50, 0), (50.85, 1.3)) > 100


async def test_28_a_place_that_is_not_shown_is_not_found_either(town: Neighbourhood) -> None:
    alice, bob = town.people(2)
    await bob.posts(place=at(50, 0), audience="public")
    for number in range(7):
        assert ids(await alice.latest([], [bob], rules=Rules(near=HERE))) == []
        await bob.posts(str(number), audience="public")


async def test_pages_as_of_one_moment(town: Neighbourhood) -> None:
    alice = town.somebody()
    authors = town.people(5)
    for author in authors:
        await author.posts("old")
    first = await alice.latest(authors, limit=2)
    assert first.more
    as_of = now_ms()
    while now_ms() == as_of:
        time.sleep(0.001)
    for _ in range(6):  # more than the row keeps
        await authors[0].posts("new")
    rest = await alice.latest(authors, limit=9, as_of_ms=as_of, before=first.authors[-1].newest_id)
    assert [one.author_id for one in rest.authors] == [author.id for author in authors[2::-1]]
    assert (rest.more, rest.newer) == (False, 1)


async def test_an_author_whose_row_was_withdrawn_empty_comes_with_nothing(town: Neighbourhood) -> None:
    alice, bob = town.people(2)
    said = [await bob.posts(str(number)) for number in range(7)]
    for one in reversed(said):
        assert ids(await alice.latest([bob])) == [[one.id]]
        await bob.withdraws(one)
    assert (await alice.latest([bob])).authors == []


async def test_the_feed_runs_both_ways_without_gap_or_repeat(town: Neighbourhood) -> None:
    alice = town.somebody()
    authors = town.people(3)
    said = [(await authors[number % 3].posts(str(number))).id for number in range(11)]
    backward: list[MessageId] = []
    before = None
    for _ in said:  # no endless walk through a broken list
        page = await alice.page(authors, before=before, limit=4)
        backward += paged(page)
        before = page.items[-1].id
        if not page.more:
            break
    assert backward == said[::-1]
    forward: list[MessageId] = [said[0]]
    for _ in said:  # no endless walk through a broken list
        page = await alice.page(authors, after=forward[-1], limit=4)
        forward += paged(page)[::-1]
        if not page.more:
            break
    assert forward == said
    tail = await alice.page(authors, after=said[2], seen=[said[3], said[5]], limit=3)
    assert paged(tail) == [said[7], said[6], said[4]]
    refused = alice.page(authors, after=said[0], before=said[1])
    with pytest.raises(Invalid):
        await refused


async def test_the_page_says_when_it_was_read(town: Neighbourhood) -> None:
    began = now_ms()
    assert began <= (await town.somebody().page([])).read_at_ms <= now_ms()


def imported(author: UserId, ms: int, text: str = "hello", **said: Any) -> ImportedMessage:
    return ImportedMessage(id=MessageId(uuid7(ms, rand_a=bucket_of(author))), author_id=author, text=text, **said)


async def imports(town: Neighbourhood, messages: Iterable[ImportedMessage]) -> tuple[int, int]:
    answer = await town.lone.call(contract.import_messages, ImportMessages(messages=list(messages)))
    return answer.added, answer.present


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # a whole batch of an import is one
async def test_five_thousand_friends_are_read_at_once(town: Neighbourhood) -> None:
    alice = town.somebody()
    authors = [UserId(uuid7(1_700_000_000_000 + number)) for number in range(5001)]
    past = now_ms() - 10_000_000
    for part in (authors[:2500], authors[2500:5000], authors[5000:]):
        batch = [imported(author, past + number, "x" * 200) for number, author in enumerate(part * 2)]
        assert await imports(town, batch) == (len(batch), 0)
    friends = [Person(author, town) for author in authors]

    latest = await alice.latest(friends, limit=5001)
    assert sorted(one.author_id for one in latest.authors) == authors
    first = await alice.latest(friends, limit=50)
    assert [one.newest_id for one in first.authors] == [one.newest_id for one in latest.authors[:50]]
    page = await alice.page(friends, limit=50)
    assert [item.id for item in page.items[:1]] == [latest.authors[0].newest_id]


class DocumentsOnly:
    """A store whose `latest` rows tell nothing, so that the documents must."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def latest(self, authors: Sequence[UserId], *, bodies: int) -> dict[UserId, LatestRow]:
        rows = await self._store.latest(authors, bodies=bodies)
        return {author: LatestRow(author, complete=False, heads=[], bodies=[]) for author in rows}


def holding(store: Any) -> Messages:
    """What the reads by author are given, with this store in it; they look at nothing else."""
    nothing: Any = None
    return Messages(world=nothing, store=store, cursors=nothing, mailroom=nothing, removal=nothing)


class Interrupted(DocumentsOnly):
    """A store in which something happens between the reading of the rows and that of the bodies."""

    def __init__(self, store: Any, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__(store)
        self._meanwhile = meanwhile

    async def latest(self, authors: Sequence[UserId], *, bodies: int) -> dict[UserId, LatestRow]:
        rows: dict[UserId, LatestRow] = await self._store.latest(authors, bodies=bodies)
        await self._meanwhile()
        return rows


@in_process  # the read itself, on a store that is interrupted
async def test_a_row_that_changed_before_its_bodies_were_read_tells_nothing(
    town: Neighbourhood, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_authors, "FEW_AUTHORS", 0)  # bodies are read in a second step
    alice, bob = town.people(2)
    old = await bob.posts("old")
    said = await bob.posts("for friends")
    as_alice = Viewer(user_id=alice.id, role="member")
    ask = LatestAsk(friends=[bob.id], others=[])

    async def read_while(meanwhile: Callable[[], Awaitable[object]]) -> list[list[str]]:
        with request_of(alice.id):
            latest = await by_authors.latest_by_authors(holding(Interrupted(town.store, meanwhile)), as_alice, ask)
        return [[msgspec.json.decode(raw, type=Message).text for raw in one.messages] for one in latest.authors]

    assert await read_while(lambda: bob.edits(said, text="for me", audience="only", only=[bob])) == [["old"]]
    assert await read_while(lambda: bob.withdraws(old)) == []


# Rows against documents against a model.


@dataclass
class Written:
    """The model's idea of a message."""

    said: Message
    only: list[UserId]


def expected(written: list[Written], viewer: Person, asked: dict[UserId, str], ask: LatestAsk) -> Any:
    """The contract's sentences, one by one, over everything that was ever said and is there."""

    def visible(one: Written) -> bool:
        stands = asked[one.said.author_id]
        if stands == "own" or one.said.audience == "public":
            return True
        if one.said.audience == "friends":
            return stands == "friend"
        return viewer.id in one.only

    def counts(one: Written) -> bool:
        if ask.rules.since_ms is not None and ms_of(one.said.id) < ask.rules.since_ms:
            return False
        if ask.rules.has_media and not one.said.media:
            return False
        if ask.rules.near is None:
            return True
        place = one.said.place
        hidden = asked[one.said.author_id] == "other"
        return (
            not hidden and place is not None and rules.is_within(ask.rules.near, (place.latitude, place.longitude))
        )

    authors: list[tuple[MessageId, list[Message]]] = []
    newer = 0
    for author in asked:
        theirs = [one.said for one in written if one.said.author_id == author and visible(one) and counts(one)]
        theirs.sort(key=lambda said: said.id, reverse=True)
        if ask.as_of_ms is not None:
            newer += any(ms_of(said.id) > ask.as_of_ms for said in theirs)
            theirs = [said for said in theirs if ms_of(said.id) <= ask.as_of_ms]
        if theirs and (ask.before is None or theirs[0].id < ask.before):
            authors.append((theirs[0].id, theirs[: ask.per_author]))
    authors.sort(key=lambda one: one[0], reverse=True)
    shown = [
        [msgspec.structs.replace(said, place=None) if asked[said.author_id] == "other" else said for said in theirs]
        for _, theirs in authors[: ask.limit]
    ]
    return shown, len(authors) > ask.limit, newer


def answered(latest: Latest) -> Any:
    shown = [[msgspec.json.decode(raw, type=Message) for raw in one.messages] for one in latest.authors]
    return shown, latest.more, latest.newer


AUDIENCES = st.sampled_from(["friends", "public", "only"])
PLACES = st.sampled_from([None, (50.0, 0.5), (50.85, 1.3), (10.0, 10.0)])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["post"] * 5 + ["edit", "withdraw"]), st.integers(0, 2), AUDIENCES, st.booleans(), PLACES
    ),
    min_size=1,
    max_size=30,
)
ASKS = st.lists(
    st.tuples(
        st.integers(0, 3),  # the viewer: an author or a stranger
        st.lists(st.sampled_from(["friend", "other", "none"]), min_size=3, max_size=3),
        st.integers(1, 7),  # per author
        st.booleans(),  # media
        st.booleans(),  # near
        st.none() | st.integers(0, 30),  # since this message
        st.none() | st.integers(0, 30),  # as of this message
        st.none() | st.integers(0, 30),  # before this message
        st.integers(1, 3),  # limit
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(STEPS, ASKS)
async def test_rows_documents_and_the_promise_agree(running: Neighbourhood, steps: Any, asks: Any) -> None:
    authors = running.people(3)
    pictures = [author.uploads() for author in authors]
    stranger = running.somebody()
    written: list[Written] = []
    for step, who, audience, media, place in steps:
        author = authors[who]
        mine = [one for one in written if one.said.author_id == author.id]
        only = [stranger, authors[0]] if audience == "only" else []
        fields: dict[str, Any] = {"media": [pictures[who]] if media else [], "audience": audience, "only": only}
        fields["place"] = None if place is None else at(*place)
        if step == "post" or not mine:
            written.append(Written(await author.posts(**fields), [one.id for one in only]))
        elif step == "edit":
            one = mine[len(mine) // 2]
            one.said, one.only = await author.edits(one.said, text="edited", **fields), [one.id for one in only]
        else:
            await author.withdraws(mine[-1].said)
            written.remove(mine[-1])

    def picked(number: int | None) -> MessageId | None:
        return None if number is None or not written else written[number % len(written)].said.id

    documents_only = holding(DocumentsOnly(running.store))
    for who, standings, per_author, media, near, since, as_of, before, limit in asks:
        viewer = [*authors, stranger][who]
        groups = {
            kind: [one.id for one, stands in zip(authors, standings, strict=True) if stands == kind]
            for kind in ("friend", "other")
        }
        asked = {one: kind for kind, group in groups.items() for one in group}
        if viewer.id in asked:
            asked[viewer.id] = "own"
        since_id, as_of_id = picked(since), picked(as_of)
        ask = LatestAsk(
            friends=groups["friend"],
            others=groups["other"],
            per_author=per_author,
            rules=Rules(
                since_ms=None if since_id is None else ms_of(since_id),
                has_media=media,
                near=HERE if near else None,
            ),
            as_of_ms=None if as_of_id is None else ms_of(as_of_id),
            before=picked(before),
            limit=limit,
        )
        want = expected(written, viewer, asked, ask)
        assert answered(await running.lone.call(contract.latest_by_authors, ask, viewer.id)) == want
        as_viewer = Viewer(user_id=viewer.id, role="member")
        with request_of(viewer.id):
            assert answered(await by_authors.latest_by_authors(documents_only, as_viewer, ask)) == want


async def test_who_keeps_the_latest_is_told_whether_it_is_so_for_all_friends(town: Neighbourhood) -> None:
    alice, spoke, named, before, silent, withdrew = town.people(6)
    said = await spoke.posts("hi", place=at(1.5, 2.5))
    await named.posts()
    for_her = await named.posts(audience="only", only=[alice])
    older = await before.posts()
    await before.posts(audience="only", only=[spoke])
    for _ in range(present.KEPT + 1):
        shown = await withdrew.posts()
    everything = await withdrew.posts()
    await withdrew.withdraws(everything)
    latest = await alice.latest([spoke, named, before, silent, withdrew], to_keep=True)
    assert {one.author_id: one.newest_id for one in latest.authors} == {
        spoke.id: said.id,
        named.id: for_her.id,
        before.id: older.id,
        withdrew.id: shown.id,
    }
    bodies = {one.author_id: bytes(one.messages[0]) for one in latest.authors}
    assert bodies[spoke.id] == msgspec.json.encode(said)  # with its place: friends are shown it
    assert {one.author_id: one.same_for_friends for one in latest.as_of} == {
        spoke.id: True,
        named.id: False,
        before.id: False,
        silent.id: True,
        withdrew.id: True,
    }

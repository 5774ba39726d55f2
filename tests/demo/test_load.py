"""Loading: every batch once, again without a change, and patient with a busy service."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from tidings.contracts import friends, messages, users
from tidings.contracts.friends import MOST_FRIENDS
from tidings.contracts.users import HandleTaken, Imported, UserCard
from tidings.demo import load as loading
from tidings.demo.graph import generate_graph
from tidings.demo.load import Loaded, load
from tidings.platform.contract import Busy, Call, Forbidden

GRAPH = generate_graph(300, seed=4)


@dataclass
class Shelf:
    """Plays the three services: keeps what is imported, by its key, as the contracts say."""

    people: dict[Any, Any] = field(default_factory=dict)
    friendships: dict[Any, Any] = field(default_factory=dict)
    messages: dict[Any, Any] = field(default_factory=dict)
    reserved: set[str] = field(default_factory=set)
    busy: int = 0
    refuses: str = ""
    asked: Counter[str] = field(default_factory=Counter)

    async def call(self, call: Call[Any, Any], ask: Any) -> Any:
        assert "cli" in call.callers
        self.asked[call.name] += 1
        ask = msgspec.json.decode(msgspec.json.encode(ask), type=call.ask)
        if call.name == self.refuses:
            raise Forbidden("not you")
        if self.busy:
            self.busy -= 1
            raise Busy
        if call is users.cards:
            found = [self.people[key] for key in ask.ids if key in self.people]
            return {one.id: UserCard(id=one.id, handle=one.handle, name=one.name, avatar="/") for one in found}
        if call is users.import_people:
            taken = {person.handle for person in self.people.values()} | self.reserved
            if any(person.handle in taken for person in ask.people if person.id not in self.people):
                raise HandleTaken
            return keep(self.people, {person.id: person for person in ask.people})
        if call is friends.import_friendships:
            assert all(pair.a in self.people and pair.b in self.people for pair in ask.friendships)
            return keep(self.friendships, {frozenset((pair.a, pair.b)): pair for pair in ask.friendships})
        assert call is messages.import_messages
        assert all(message.author_id in self.people for message in ask.messages)
        return keep(self.messages, {message.id: message for message in ask.messages})


def keep(shelf: dict[Any, Any], new: dict[Any, Any]) -> Imported:
    present = len(shelf.keys() & new.keys())
    shelf.update({key: value for key, value in new.items() if key not in shelf})
    return Imported(added=len(new) - present, present=present)


class Bar:
    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.done: Counter[str] = Counter()

    def started(self, stage: str, total: int) -> None:
        self.totals[stage] = total

    def advanced(self, stage: str, count: int) -> None:
        self.done[stage] += count


async def test_everything_arrives_and_a_second_load_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "BATCH", 64)
    shelf, bar = Shelf(), Bar()
    first = await load(shelf, GRAPH, 7, bar)
    assert first.people == Imported(added=300, present=0)
    assert first.friendships == Imported(added=len(GRAPH.edges), present=0)
    assert first.messages == Imported(added=len(shelf.messages), present=0)
    assert list(bar.totals) == ["people", "friendships", "messages"]
    assert bar.done == bar.totals
    assert bar.totals == {"people": 300, "friendships": len(GRAPH.edges), "messages": len(shelf.messages)}
    assert shelf.asked["users/import_people"] == 5

    before = (dict(shelf.people), dict(shelf.friendships), dict(shelf.messages))
    again = await load(shelf, GRAPH, 7, Bar())
    assert again == Loaded(
        people=Imported(added=0, present=300),
        friendships=Imported(added=0, present=len(GRAPH.edges)),
        messages=Imported(added=0, present=len(shelf.messages)),
        best_known=first.best_known,
    )
    assert (shelf.people, shelf.friendships, shelf.messages) == before


async def test_an_interrupted_load_is_completed_by_the_next() -> None:
    whole, broken = Shelf(), Shelf(refuses="messages/import_messages")
    await load(whole, GRAPH, 7, Bar())
    with pytest.raises(Forbidden):
        await load(broken, GRAPH, 7, Bar())
    broken.refuses = ""
    await load(broken, GRAPH, 7, Bar())
    assert (broken.people, broken.friendships, broken.messages) == (whole.people, whole.friendships, whole.messages)


async def test_the_messages_of_one_author_come_in_one_batch_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "BATCH", 64)
    batches: list[list[Any]] = []

    class Watched(Shelf):
        async def call(self, call: Call[Any, Any], ask: Any) -> Any:
            if call is messages.import_messages:
                batches.append(ask.messages)
            return await super().call(call, ask)

    await load(Watched(), GRAPH, 7, Bar())
    authors = Counter(author for batch in batches for author in {message.author_id for message in batch})
    assert len(batches) > 10
    assert max(map(len, batches)) <= 64
    assert set(authors.values()) == {1}
    for batch in batches:
        assert batch == sorted(batch, key=lambda message: (batch.index(first_of(batch, message)), message.id))


def first_of(batch: list[Any], message: Any) -> Any:
    return next(other for other in batch if other.author_id == message.author_id)


async def test_friendships_begin_when_both_had_joined() -> None:
    shelf = Shelf()
    await load(shelf, GRAPH, 7, Bar())
    oldest_message = min(message.id.int >> 80 for message in shelf.messages.values())
    for pair in shelf.friendships.values():
        joined = max(shelf.people[pair.a].created_ms, shelf.people[pair.b].created_ms)
        assert joined <= pair.since_ms < oldest_message


async def test_a_busy_service_is_asked_again_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "PATIENCE", 0.0)
    assert (await load(Shelf(busy=4), GRAPH, 7, Bar())).people.added == 300
    with pytest.raises(Busy):
        await load(Shelf(busy=1000), GRAPH, 7, Bar())


async def test_a_taken_handle_gives_the_demonstration_a_mark_and_stays_so() -> None:
    natural = Shelf()
    await load(natural, GRAPH, 7, Bar())
    shelf = Shelf(reserved={next(iter(natural.people.values())).handle})
    loaded = await load(shelf, GRAPH, 7, Bar())
    assert shelf.people.keys() == natural.people.keys()
    before = dict(shelf.people)
    assert (await load(shelf, GRAPH, 7, Bar())).people == Imported(added=0, present=300)
    assert shelf.people == before
    assert loaded.best_known is not None
    assert loaded.best_known.handle == shelf.people[loaded.best_known.id].handle


def test_batches_fit_the_contracts() -> None:
    assert loading.BATCH <= MOST_FRIENDS == 5000

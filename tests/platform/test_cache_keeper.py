"""A keeper between a bulk call and its producer: it asks for the rest alone, and never answers behind a client."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidings.platform.cache.keeper import Keeper
from tidings.platform.cache.kept import Further, Kept, Piece
from tidings.platform.cache.resting import gathering, resting_on
from tidings.platform.cache.shelf import Reading
from tidings.platform.clock import SKEW_NS, stamp_ns
from tidings.platform.contract import Call, Event, Unavailable, Value
from tidings.platform.request import Viewer
from tidings.platform.seen import MOST_NEWS, Known, Position, Seen, seeing
from tidings.platform.telling import telling

Names = dict[UUID, tuple[str, int]]  # with versions

names_of: Call[list[UUID], Names] = Call("people/names", list, dict, safe=True, callers={"page"})
VIEWER = Viewer(user_id=uuid4(), role="member")


def keys(viewer: Viewer, ask: list[UUID]) -> Sequence[UUID]:
    return ask


def rest(missing: Sequence[UUID]) -> list[UUID]:
    return list(missing)


def pieces(viewer: Viewer, ask: list[UUID], found: Names) -> list[Piece]:
    return [Piece(one, named, one, named[1], keep=named[0] != "secret") for one, named in found.items()]


def whole(ask: list[UUID], found: Mapping[UUID, tuple[str, int]], as_of_ns: int) -> Names:
    return dict(found)


KEPT = Kept(names_of, keys=keys, rest=rest, pieces=pieces, whole=whole)


@dataclass
class People:
    """The producer, and what it was asked for."""

    names: Names = field(default_factory=dict)
    asked: list[set[UUID]] = field(default_factory=list)
    keeper: Keeper = field(default_factory=lambda: Keeper("page", [KEPT], room=100_000))

    def __post_init__(self) -> None:
        shelf = self.keeper.shelves["people"]
        shelf.listening()
        shelf.registered(time.monotonic() + 1000)
        shelf.beat(time.time_ns() + 3_600_000_000_000)

    async def bring(self, ask: list[UUID], *, for_others: bool = False) -> tuple[Names, int]:
        self.asked.append(set(ask))
        if (resting := resting_on()) is not None:
            resting.on_more()  # as every producer does: it has a database
        return {one: self.names[one] for one in ask if one in self.names}, stamp_ns()

    async def read(self, *ids: UUID) -> Names:
        kept = self.keeper.keeps(names_of)
        assert kept is not None
        return await self.keeper.begin(kept, VIEWER, list(ids), self.bring)


async def under_way() -> None:
    """Let what was begun be asked for: what comes later goes by itself."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_only_what_is_missing_is_asked_for() -> None:
    ada, bob, carol = (uuid4() for _ in range(3))
    people = People({ada: ("Ada", 1), bob: ("Bob", 1)})
    assert await people.read(ada, carol) == {ada: ("Ada", 1)}
    assert await people.read(ada, bob, carol) == {ada: ("Ada", 1), bob: ("Bob", 1)}
    assert await people.read(ada, bob) == {ada: ("Ada", 1), bob: ("Bob", 1)}
    assert people.asked == [{ada, carol}, {bob, carol}]  # who is not there is asked for each time


async def test_what_is_kept_is_there_without_waiting() -> None:
    ada, bob = uuid4(), uuid4()
    people = People({ada: ("Ada", 1), bob: ("Bob", 1)})
    await people.read(ada)
    kept = people.keeper.keeps(names_of)
    assert kept is not None
    assert people.keeper.begin(kept, VIEWER, [ada], people.bring).answer == {ada: ("Ada", 1)}
    begun = people.keeper.begin(kept, VIEWER, [ada, bob], people.bring)
    assert begun.answer is None
    assert people.asked == [{ada}]
    assert await begun == {ada: ("Ada", 1), bob: ("Bob", 1)}
    assert people.asked == [{ada}, {bob}]


async def test_what_is_for_one_asker_alone_is_given_and_not_kept() -> None:
    ada = uuid4()
    people = People({ada: ("secret", 1)})
    for _ in range(2):
        assert await people.read(ada) == {ada: ("secret", 1)}
    assert people.asked == [{ada}, {ada}]


async def test_after_an_event_it_is_read_again() -> None:
    ada = uuid4()
    people = People({ada: ("Ada", 1)})
    await people.read(ada)
    people.names[ada] = ("Augusta", 2)
    assert await people.read(ada) == {ada: ("Ada", 1)}
    people.keeper.heard("people", [(ada, 2)])
    assert await people.read(ada) == {ada: ("Augusta", 2)}


async def test_a_client_sees_its_own_write_though_nobody_told_of_it_yet() -> None:
    ada = uuid4()
    people = People({ada: ("Ada", 1)})
    await people.read(ada)
    people.names[ada] = ("Augusta", 2)
    with seeing(Seen(Known((Position("people", ada, 2, time.time_ns()),), {}))):
        assert await people.read(ada) == {ada: ("Augusta", 2)}


async def test_a_producer_behind_the_clients_write_is_asked_again_and_then_refused() -> None:
    ada = uuid4()
    people = People({ada: ("Ada", 1)})
    with (
        seeing(Seen(Known((Position("people", ada, 2, time.time_ns()),), {}))),
        pytest.raises(Unavailable, match="people is behind"),
    ):
        await people.read(ada)
    assert people.asked == [{ada}, {ada}]


async def test_what_was_shown_is_noted_as_of_the_read_that_brought_it() -> None:
    ada = uuid4()
    people = People({ada: ("Ada", 1)})
    before = time.time_ns()
    with seeing(Seen()) as first:
        await people.read(ada)
    after = time.time_ns()
    with seeing(Seen()) as second:
        await people.read(ada)  # from what was kept
    assert len(people.asked) == 1
    assert before <= first.known().stamps["people"] <= after
    assert second.known().stamps == first.known().stamps


async def test_while_nobody_tells_of_changes_the_ask_goes_as_it_is() -> None:
    ada = uuid4()
    people = People({ada: ("Ada", 1)})
    people.keeper.shelves["people"].deaf()
    for _ in range(2):
        await people.read(ada)
    assert people.asked == [{ada}, {ada}]


async def test_no_room_keeps_nothing() -> None:
    ada = uuid4()
    people = People({ada: ("Ada", 1)})
    people.keeper = Keeper("page", [KEPT], room=0)
    assert people.keeper.shelves == {}
    for _ in range(2):
        assert await people.read(ada) == {ada: ("Ada", 1)}
    assert people.asked == [{ada}, {ada}]


async def test_where_what_is_kept_does_not_tell_it_is_asked_for_as_it_is() -> None:
    ada, bob = uuid4(), uuid4()
    people = People({ada: ("Ada", 1), bob: ("Bob", 1)})
    told = Kept(
        names_of,
        keys=keys,
        rest=rest,
        pieces=pieces,
        whole=lambda ask, found, at: dict(found) if bob in found else None,
    )
    people.keeper = Keeper("page", [told], room=100_000)
    people.__post_init__()
    for _ in range(2):
        with gathering() as resting:
            assert await people.read(ada) == {ada: ("Ada", 1)}
        assert not resting.whole
    assert await people.read(ada, bob) == people.names
    assert people.asked == [{ada}, {ada}, {ada}, {bob}]


async def test_an_answer_rests_on_what_was_kept_and_on_what_is_kept_now() -> None:
    ada, bob = uuid4(), uuid4()
    people = People({ada: ("Ada", 3), bob: ("Bob", 1)})
    await people.read(ada)
    before = time.time_ns()
    with gathering() as resting:
        await people.read(ada, bob)
    [part] = resting.parts
    assert resting.whole
    assert (part.holder, part.call, part.held.versions) == ("page", "people/names", {ada: 3, bob: 1})
    assert before <= part.as_of_ns <= time.time_ns()  # of the read that brought Bob, which is older than the beat
    shelf = people.keeper.shelves["people"]
    assert shelf.still(part.held, Seen())
    people.keeper.heard("people", [(bob, 2)])
    assert not shelf.still(part.held, Seen())


@pytest.mark.parametrize("name", ["secret", "absent", "unkept"])
async def test_an_answer_that_is_not_all_kept_rests_on_more(name: str) -> None:
    ada, bob = uuid4(), uuid4()
    people = People({ada: ("Ada", 3)} if name == "absent" else {ada: ("Ada", 3), bob: (name, 1)})
    if name == "unkept":
        people.keeper.shelves["people"].deaf()
    for _ in range(2):
        with gathering() as resting:
            await people.read(ada, bob)
        assert not resting.whole


async def test_an_answer_rests_on_more_where_somebody_cannot_be_reached() -> None:
    people = People()

    async def refuse(ask: list[UUID], *, for_others: bool = False) -> tuple[Names, int]:
        raise Unavailable("gone", service="people")

    kept = people.keeper.keeps(names_of)
    assert kept is not None
    with gathering() as resting, pytest.raises(Unavailable):
        await people.keeper.begin(kept, VIEWER, [uuid4()], refuse)
    assert not resting.whole


async def test_what_somebody_is_asking_for_is_waited_for_and_the_rest_is_asked_for() -> None:
    ada, bob, carol, dora = (uuid4() for _ in range(4))
    people = People({ada: ("Ada", 1), bob: ("Bob", 1), carol: ("secret", 1)})
    going = asyncio.Event()

    async def slow(ask: list[UUID], *, for_others: bool = False) -> tuple[Names, int]:
        await going.wait()
        return await people.bring(ask)

    kept = people.keeper.keeps(names_of)
    assert kept is not None
    first = asyncio.ensure_future(people.keeper.begin(kept, VIEWER, [ada, carol], slow))
    await under_way()
    others = [asyncio.create_task(people.read(*ids)) for ids in ([ada], [ada, bob, carol, dora])]
    await asyncio.sleep(0.01)
    assert people.asked == []
    going.set()
    assert await first == {ada: ("Ada", 1), carol: ("secret", 1)}
    assert await others[0] == {ada: ("Ada", 1)}
    assert await others[1] == people.names
    assert people.asked == [{ada, carol}, {bob, carol, dora}]  # what was for the first alone, once more
    assert people.keeper._asked == {"people/names": {}}


async def test_who_waited_for_somebody_who_failed_asks_for_themselves() -> None:
    ada = uuid4()
    people = People({ada: ("Ada", 1)})

    async def fails(ask: list[UUID], *, for_others: bool = False) -> tuple[Names, int]:
        await asyncio.sleep(0.01)
        raise Unavailable("gone", service="people")

    kept = people.keeper.keeps(names_of)
    assert kept is not None
    first = asyncio.ensure_future(people.keeper.begin(kept, VIEWER, [ada], fails))
    await under_way()
    assert await people.read(ada) == {ada: ("Ada", 1)}
    with pytest.raises(Unavailable):
        await first


async def test_what_went_while_it_was_waited_for_is_asked_for() -> None:
    ada = uuid4()
    people = People({ada: ("Ada", 1)})

    async def late(ask: list[UUID], *, for_others: bool = False) -> tuple[Names, int]:
        found = await people.bring(ask)
        await asyncio.sleep(0.01)
        people.names[ada] = ("Augusta", 2)
        people.keeper.heard("people", [(ada, 2)])
        return found

    kept = people.keeper.keeps(names_of)
    assert kept is not None
    first = asyncio.ensure_future(people.keeper.begin(kept, VIEWER, [ada], late))
    await under_way()
    assert await people.read(ada) == {ada: ("Augusta", 2)}
    assert await first == {ada: ("Ada", 1)}  # asked before


FULL = "full"  # beside an id: the name with all that goes before and after it


def further_pieces(viewer: Viewer, ask: list[Any], found: dict[Any, tuple[str, int]]) -> list[Piece]:
    return [
        Piece(one, named, one[1] if isinstance(one, tuple) else one, named[1], keep=named[0] != "secret")
        for one, named in found.items()
    ]


def in_full(ask: list[UUID], found: Mapping[Any, tuple[str, int]], as_of_ns: int) -> Names | Further | None:
    """Names that end with a dot are short for something."""
    short = [one for one in ask if found[one][0].endswith(".")]
    if wanted := [(FULL, one) for one in short if (FULL, one) not in found]:
        return Further(wanted)
    if any(found[FULL, one][0].endswith(".") for one in short):
        return None
    return {one: found[FULL, one] if one in short else found[one] for one in ask}


IN_FULL = Kept(names_of, keys=keys, rest=rest, pieces=further_pieces, whole=in_full)


@pytest.fixture
def people() -> People:
    return People(keeper=Keeper("page", [IN_FULL], room=100_000))


async def test_what_an_answer_needs_besides_is_asked_for_and_kept(people: People) -> None:
    ada, bob = uuid4(), uuid4()
    names: Any = people.names
    names.update({ada: ("A.", 1), bob: ("Bob", 1), (FULL, ada): ("Ada", 1)})
    asked: list[Any] = people.asked
    with gathering() as first:
        assert await people.read(ada, bob) == {ada: ("Ada", 1), bob: ("Bob", 1)}
    assert asked == [{ada, bob}, {(FULL, ada)}]
    with gathering() as second:
        assert await people.read(ada, bob) == {ada: ("Ada", 1), bob: ("Bob", 1)}
    assert asked == [{ada, bob}, {(FULL, ada)}]
    for resting in (first, second):
        assert resting.whole
        assert [len(part.held.entries) for part in resting.parts] == [3]
    names[FULL, ada] = ("Augusta", 2)
    people.keeper.heard("people", [(ada, 2)])
    names[ada] = ("A.", 2)
    assert await people.read(ada) == {ada: ("Augusta", 2)}
    assert asked[2:] == [{ada}, {(FULL, ada)}]


async def test_what_is_needed_besides_may_be_for_one_asker_alone(people: People) -> None:
    ada = uuid4()
    names: Any = people.names
    names.update({ada: ("A.", 1), (FULL, ada): ("secret", 1)})
    for _ in range(2):
        with gathering() as resting:
            assert await people.read(ada) == {ada: ("secret", 1)}
        assert not resting.whole
    asked: list[Any] = people.asked
    assert asked == [{ada}, {(FULL, ada)}, {(FULL, ada)}]


async def test_where_all_that_is_needed_does_not_tell_the_ask_goes_as_it_is(people: People) -> None:
    ada = uuid4()
    names: Any = people.names
    names.update({ada: ("A.", 1), (FULL, ada): ("Ad.", 1)})
    assert await people.read(ada) == {ada: ("A.", 1)}
    asked: list[Any] = people.asked
    assert asked == [{ada}, {(FULL, ada)}, {ada}]


async def test_what_is_kept_is_a_copy_and_what_is_given_at_once_is_not() -> None:
    ada, bob = uuid4(), uuid4()
    copied: list[str] = []

    def own(named: tuple[str, int]) -> tuple[str, int]:
        copied.append(named[0])
        return f"{named[0]}'s", named[1]

    kept = Kept(names_of, keys=keys, rest=rest, pieces=pieces, whole=whole, own=own)
    people = People({ada: ("Ada", 1), bob: ("secret", 1)}, keeper=Keeper("page", [kept], room=100_000))
    assert await people.read(ada, bob) == {ada: ("Ada", 1), bob: ("secret", 1)}
    assert await people.read(ada) == {ada: ("Ada's", 1)}
    assert copied == ["Ada"]


class Liked(Value, frozen=True):
    """Somebody liked a name."""

    whose: UUID


LIKED = Event("people.liked", Liked, stirs=("whose",))
COUNTED = Kept(names_of, keys=keys, rest=rest, pieces=pieces, whole=whole, stirred_by=(LIKED,))


async def test_who_is_stirred_is_asked_for_again_though_the_version_is_the_same() -> None:
    ada, bob = uuid4(), uuid4()
    people = People({ada: ("Ada", 1), bob: ("Bob", 1)}, keeper=Keeper("page", [COUNTED], room=100_000))
    await people.read(ada, bob)
    people.names[ada] = ("Ada, liked", 1)
    assert await people.read(ada) == {ada: ("Ada", 1)}
    assert people.keeper.stirring == {LIKED.name: LIKED}
    people.keeper.stirred("people", LIKED.stirred(Liked(ada)))
    assert await people.read(ada, bob) == {ada: ("Ada, liked", 1), bob: ("Bob", 1)}
    assert people.asked == [{ada, bob}, {ada}]


async def test_who_wrote_what_was_not_heard_yet_is_not_answered_from_what_no_version_tells_of() -> None:
    ada, viewer = uuid4(), uuid4()
    people = People({ada: ("Ada", 1)}, keeper=Keeper("page", [COUNTED], room=100_000))
    shelf = people.keeper.shelves["people"]
    await people.read(ada)
    people.names[ada] = ("Ada, liked", 1)  # by the viewer, in another process that has not told this one yet
    with seeing(Seen()) as client:
        client.wrote("people", viewer, 7, now_ns=shelf.as_of_ns + 1)
        for asked in (2, 3):
            assert await people.read(ada) == {ada: ("Ada, liked", 1)}
            assert len(people.asked) == asked
        people.keeper.heard("people", [(viewer, 8)])  # what they did later, here: that one is not known yet
        assert await people.read(ada) == {ada: ("Ada, liked", 1)}
        assert len(people.asked) == 4
        people.keeper.stirred("people", [ada])
        shelf.beat(shelf.as_of_ns + 1)
        for _ in range(2):
            assert await people.read(ada) == {ada: ("Ada, liked", 1)}
    assert len(people.asked) == 5


async def test_what_is_stirred_elsewhere_concerns_nobody_here() -> None:
    ada = uuid4()
    people = People({ada: ("Ada", 1)})
    await people.read(ada)
    people.keeper.stirred("people", [ada])
    people.keeper.stirred("elsewhere", [ada])
    await people.read(ada)
    assert people.asked == [{ada}]
    assert people.keeper.stirring == {}


def test_an_event_stirs_whom_its_body_names() -> None:
    assert LIKED.stirred(Liked(VIEWER.known)) == (VIEWER.known,)
    with pytest.raises(TypeError, match=r"people.liked stirs .*'who'.*, which Liked does not have"):
        Event("people.liked", Liked, stirs=("who",))


# What a write tells.


def tell(people: People, one: UUID, name: str, version: int) -> None:
    """`one` has this name by now, and each cache of the process is told so before it hears of the version."""
    told = telling(names_of, [one], lambda version: {one: (name, version)})
    people.names[one] = (name, version)
    people.keeper.told([told], version, stamp_ns())
    people.keeper.heard("people", [(one, version)])


def added(key: UUID, before: tuple[str, int], told: tuple[str, int]) -> tuple[str, int] | None:
    return None if told[0] in before[0].split(", ") else (f"{before[0]}, {told[0]}", told[1])


async def test_what_a_write_tells_takes_the_place_of_what_was_kept() -> None:
    ada = uuid4()
    people = People({ada: ("Ada", 1)})
    await people.read(ada)
    for version in (2, 3, 7):  # it tells all of it: nothing between is missed
        tell(people, ada, f"Ada {version}", version)
        assert await people.read(ada) == {ada: (f"Ada {version}", version)}
    assert people.asked == [{ada}]


async def test_what_nobody_asked_for_is_not_kept_since_a_write_tells_it() -> None:
    ada = uuid4()
    people = People({ada: ("Ada", 1)})
    tell(people, ada, "Augusta", 2)
    assert len(people.keeper.shelves["people"]) == 0
    assert await people.read(ada) == {ada: ("Augusta", 2)}
    assert len(people.asked) == 1


async def test_what_is_heard_of_before_a_write_tells_is_not_undone() -> None:
    """Two writes return in no order; and what is for one asker alone is told to nobody."""
    ada, bob = uuid4(), uuid4()
    people = People({ada: ("Ada", 1), bob: ("Bob", 1)})
    await people.read(ada, bob)
    people.keeper.heard("people", [(ada, 3)])
    tell(people, ada, "Augusta", 2)
    people.names[ada] = ("Countess", 3)
    assert await people.read(ada) == {ada: ("Countess", 3)}
    tell(people, ada, "Augusta", 2)
    people.names[ada] = ("Countess", 3)
    assert await people.read(ada) == {ada: ("Countess", 3)}
    tell(people, bob, "secret", 2)
    people.names[bob] = ("Robert", 2)
    assert await people.read(bob) == {bob: ("Robert", 2)}


async def test_what_a_write_tells_a_part_of_is_put_onto_the_very_version_before() -> None:
    kept = dataclasses.replace(KEPT, onto=added)
    ada = uuid4()
    people = People({ada: ("Ada", 1)}, keeper=Keeper("page", [kept], room=100_000))
    await people.read(ada)
    tell(people, ada, "b", 2)
    tell(people, ada, "c", 3)
    assert await people.read(ada) == {ada: ("Ada, b, c", 3)}
    assert len(people.asked) == 1
    tell(people, ada, "e", 5)  # what the fourth was is not known here
    assert await people.read(ada) == {ada: ("e", 5)}
    assert len(people.asked) == 2
    tell(people, ada, "e", 6)  # it was read after that had been written, and before its version was there
    assert await people.read(ada) == {ada: ("e", 6)}
    assert len(people.asked) == 3


async def test_several_pieces_of_one_subject_are_renewed_together() -> None:
    """The first of them that is filled lets all go that is older of the subject."""
    nicknames_of: Call[list[UUID], Names] = Call("people/nicknames", list, dict, safe=True, callers={"page"})

    def two(viewer: Viewer, ask: list[UUID], found: Names) -> list[Piece]:
        return [Piece((place, one), named, one, named[1]) for one, named in found.items() for place in "ab"]

    both = Kept(
        nicknames_of,
        keys=lambda viewer, ask: [(place, one) for one in ask for place in "ab"],
        rest=lambda missing: list({one for _, one in missing}),
        pieces=two,
        whole=lambda ask, values, as_of_ns: dict(values),  # by key and place
        onto=added,
    )
    ada = uuid4()
    people = People({ada: ("Ada", 1)}, keeper=Keeper("page", [KEPT, both], room=100_000))
    await people.read(ada)
    assert len(await people.keeper.begin(both, VIEWER, [ada], people.bring)) == 2
    tells = [telling(call, [ada], lambda version: {ada: ("Lady", version)}) for call in (names_of, nicknames_of)]
    people.keeper.told(tells, 2, stamp_ns())
    people.keeper.heard("people", [(ada, 2)])
    assert await people.read(ada) == {ada: ("Lady", 2)}
    nicknames = await people.keeper.begin(both, VIEWER, [ada], people.bring)
    assert nicknames == {("a", ada): ("Ada, Lady", 2), ("b", ada): ("Ada, Lady", 2)}
    assert len(people.asked) == 2


async def test_who_was_shown_what_a_write_told_is_shown_no_less_after_it() -> None:
    """It counts as read when it was written: who is answered from it has seen as much as its writer."""
    ada = uuid4()
    people = People({ada: ("Ada", 1)})
    shelf = people.keeper.shelves["people"]
    await people.read(ada)
    before = time.time_ns()
    tell(people, ada, "Augusta", 2)
    with seeing(Seen()) as shown:
        await people.read(ada)
    entry = shelf.one(ada, Seen(), names_of.name)
    assert entry is not None
    assert before <= entry.reading.began_ns < entry.reading.ended_ns == shown.known().stamps["people"]


async def told_since_the_beat(people: People, *told: UUID, skew_ns: int = 0) -> Seen:
    """Who reads all, of whom some were `told` the name 2 since the last beat, and the others read before it."""
    shelf = people.keeper.shelves["people"]
    shelf.listening()
    await people.read(*people.names)
    shelf.beat(stamp_ns() + skew_ns)
    for one in told:
        tell(people, one, "2", 2)
    with seeing(Seen()) as client:
        await people.read(*people.names)
    return client


async def test_who_was_shown_what_was_told_since_the_beat_is_shown_it_again_and_nobody_is_asked() -> None:
    """The token has their versions, and for all others the time of the beat."""
    ids = [uuid4() for _ in range(8)]
    people = People(dict.fromkeys(ids, ("1", 1)))
    client = await told_since_the_beat(people, *ids[:MOST_NEWS])
    shelf = people.keeper.shelves["people"]
    assert {one.subject: one.version for one in client.known().news} == dict.fromkeys(ids[:MOST_NEWS], 2)
    assert client.known().stamps == {"people": shelf.as_of_ns - 1}
    people.asked.clear()
    for _ in range(2):
        with seeing(Seen(client.known())) as client, gathering() as resting:
            assert await people.read(*ids) == people.names
        assert len(client.known().news) == MOST_NEWS
        assert shelf.still(resting.parts[0].held, Seen(client.known()))
    assert people.asked == []


async def test_elsewhere_who_was_shown_what_was_told_is_shown_no_less() -> None:
    ada, bob = uuid4(), uuid4()
    people = People({ada: ("1", 1), bob: ("1", 1)})
    elsewhere = People(dict(people.names))
    await elsewhere.read(ada, bob)
    client = await told_since_the_beat(people, ada)
    elsewhere.names, elsewhere.asked = people.names, []
    with seeing(Seen(client.known())):
        assert await elsewhere.read(ada, bob) == people.names
    assert elsewhere.asked == [{ada}]


async def test_a_producer_that_does_not_know_of_what_others_wrote_has_forgotten_it() -> None:
    """It reads what it wrote: of who is erased there is nothing, whatever their version was."""
    ada = uuid4()
    people = People({ada: ("", 0)})
    with seeing(Seen(Known((), {}, (Position("people", ada, 9, stamp_ns()),)))):
        assert await people.read(ada) == {ada: ("", 0)}
    assert people.asked == [{ada}]


@pytest.mark.parametrize(
    "name",
    ["too many", "stirred", "a part was told", "somebody was read", "it was read again", "replicas"],
)
async def test_where_versions_do_not_say_all_that_was_shown_the_stamp_does(name: str) -> None:
    ids = [uuid4() for _ in range(MOST_NEWS + 2)]
    kept = {"stirred": COUNTED, "a part was told": dataclasses.replace(KEPT, onto=added)}.get(name, KEPT)
    replicated = ["people"] if name == "replicas" else []
    keeper = Keeper("page", [kept], room=100_000, replicated=replicated)
    people = People(dict.fromkeys(ids, ("1", 1)), keeper=keeper)
    told, skew_ns = ids[: MOST_NEWS + 1 if name == "too many" else 1], SKEW_NS if replicated else 0
    client = await told_since_the_beat(people, *told, skew_ns=skew_ns)
    if name == "it was read again":  # at the same version, but something newer may be in what was read
        with seeing(Seen(Known((), {"people": stamp_ns() | 1}))):
            await people.read(ids[0])
        with seeing(Seen()) as client:
            await people.read(*ids)
    if name == "somebody was read":
        people.keeper.heard("people", [(ids[1], 2)])
        people.names[ids[1]] = ("2", 2)
        with seeing(Seen()) as client:
            await people.read(*ids)
    assert client.known().news == ()
    assert client.known().stamps["people"] > people.keeper.shelves["people"].as_of_ns


@settings(max_examples=300)
@given(data=st.data())
def test_nobody_is_ever_shown_less_than_before_by_either_of_two_caches(data: st.DataObject) -> None:
    """Random histories of one truth: one cache is told of each write at once, and the other hears of it late."""
    asyncio.run(histories(data))


async def histories(data: st.DataObject) -> None:
    ids = [UUID(int=number) for number in range(1, 4)]
    near = People(dict.fromkeys(ids, ("1", 1)))
    far = People(near.names)
    unheard: list[tuple[UUID, int]] = []
    for people in (near, far):
        people.keeper.shelves["people"].listening()
        await people.read(*ids)
    for people in (near, far):
        people.keeper.shelves["people"].beat(stamp_ns())
    known, shown = [Known(), Known()], [dict.fromkeys(ids, 0), dict.fromkeys(ids, 0)]  # of two clients
    acts = st.sampled_from(["write", "hear", "beat", "read", "read"])
    for act in data.draw(st.lists(acts, max_size=40)):
        one = data.draw(st.sampled_from(ids))
        if act == "write":
            version = near.names[one][1] + 1
            tell(near, one, str(version), version)
            unheard.append((one, version))
        elif act == "hear" and unheard:
            far.keeper.heard("people", [unheard.pop(0)])
        elif act == "beat":
            near.keeper.shelves["people"].beat(stamp_ns())
            if not unheard:
                far.keeper.shelves["people"].beat(stamp_ns())
        elif act == "read":
            people, who = data.draw(st.sampled_from([near, far])), data.draw(st.integers(0, 1))
            asked = data.draw(st.lists(st.sampled_from(ids), min_size=1, unique=True))
            with seeing(Seen(known[who])) as client:
                found = await people.read(*asked)
            known[who] = client.known()
            for person, (_, version) in found.items():
                assert version >= shown[who][person]
                shown[who][person] = version


async def test_what_no_version_tells_of_is_as_old_and_as_void_as_it_was_before_the_write() -> None:
    """Another write that is not heard of yet may have changed that. So it is however long ago it was read."""
    until_ms = time.time_ns() // 1_000_000 + 60_000

    def timed(viewer: Viewer, ask: list[UUID], found: Names) -> list[Piece]:
        return [msgspec.structs.replace(one, until_ms=until_ms) for one in pieces(viewer, ask, found)]

    kept = dataclasses.replace(COUNTED, pieces=timed, onto=added)
    ada = uuid4()
    people = People({ada: ("Ada", 1)}, keeper=Keeper("page", [kept], room=100_000))
    await people.read(ada)
    shelf = people.keeper.shelves["people"]
    before = shelf.one(ada, Seen(), names_of.name)
    assert before is not None
    before.reading = Reading(before.reading.began - 30, before.reading.began_ns - 30_000_000_000, 1)
    until_ms += 1
    tell(people, ada, "Augusta", 2)
    after = shelf.one(ada, Seen(), names_of.name)
    assert after is not None
    assert (after.version, after.value, after.until_ms) == (2, ("Ada, Augusta", 2), until_ms - 1)
    assert after.reading.began_ns == before.reading.began_ns
    assert after.reading.ended_ns > before.reading.ended_ns

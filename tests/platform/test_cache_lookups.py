"""What is remembered of a lookup: it is what looking again would give, and as much as there is room for."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidings.platform.cache.lookups import MANY, OF_A_KEY, Found, Lookups
from tidings.platform.cache.room import Room
from tidings.platform.cache.shelf import NOTED, Entry, Reading, Shelf
from tidings.platform.seen import Known, Position, Seen

NOBODY = Seen()
ADA, BOB = UUID(int=1), UUID(int=2)
KEYS = list(range(MANY + 4))


@dataclass
class Bench:
    """A shelf with plenty of room that listens, and what is remembered of lookups on it."""

    room: int = 1000 * OF_A_KEY
    now: float = 1000.0
    looked_up: int = 0
    again: bool = False  # the last time only what changed was looked up
    read_ns: dict[int, int] = field(default_factory=dict)  # by entry, when the first read of it had ended
    kept: list[Entry | None] = field(default_factory=list)  # no two have the same id
    shelf: Shelf = field(init=False)
    lookups: Lookups = field(init=False)

    def __post_init__(self) -> None:
        self.shelf = Shelf("users", Room(10**6), clock=lambda: self.now, wall_ns=lambda: self.wall_ns)
        self.lookups = Lookups(self.shelf, Room(self.room))
        find = self.shelf.find

        def counted(*args: Any, **more: Any) -> Any:
            self.looked_up += 1
            return find(*args, **more)

        self.shelf.find = counted  # type: ignore[method-assign]
        self.begins()

    @property
    def wall_ns(self) -> int:
        return int(self.now * 1e9)

    def begins(self) -> None:
        self.shelf.listening()
        self.shelf.registered(self.now + 10**6)
        self.shelf.beat(self.wall_ns)

    def fill(self, key: int, version: int = 1, *, of: str = "cards", until_ms: int | None = None) -> None:
        reading = Reading(self.now, self.wall_ns, self.wall_ns + key)
        entry = Entry(UUID(int=key), version, f"{key} v{version}", reading, 10, until_ms)
        held = self.shelf.fill(key, entry, of=of)
        self.read_ns.setdefault(id(held), reading.ended_ns)
        self.kept.append(held)

    def finds(self, who: UUID = ADA, keys: list[int] = KEYS, known: Seen = NOBODY) -> Found:
        """What is found, which is what is there."""
        before = self.looked_up
        found = self.lookups.find(keys, known, of="cards", who=who)
        counted = self.looked_up
        values, entries, missing = self.shelf.find(keys, known, of="cards")
        assert dict(found.values) == values
        assert {id(one) for one in found.entries.values()} == {id(one) for one in entries}
        assert all(found.entries[one.key] is one for one in entries)
        assert sorted(map(str, found.missing)) == sorted(map(str, missing))
        assert found.stamp >= max([self.read_ns.get(id(one), 0) for one in entries], default=0)
        self.looked_up = counted
        self.again = counted == before
        return found


def test_who_asks_again_looks_up_what_changed_alone() -> None:
    bench = Bench()
    for key in KEYS[1:]:
        bench.fill(key)
    assert bench.finds().missing == [0]
    assert not bench.again
    for change in (lambda: None, lambda: bench.fill(0), lambda: bench.shelf.heard(UUID(int=5), 2)):
        change()
        bench.finds()
        assert bench.again
    assert bench.finds().missing == [5]
    bench.fill(5, 2)
    bench.fill(7, 3)
    for version in range(NOTED + 1):  # more than the shelf can tell of
        bench.fill(100, version)
    found = bench.finds()
    assert bench.again
    assert (found.missing, found.values[5], found.values[7]) == ([], "5 v2", "7 v3")


def test_an_answer_that_is_being_made_keeps_what_it_was_given() -> None:
    bench = Bench()
    for key in KEYS:
        bench.fill(key)
    given, values = bench.finds(), {key: f"{key} v1" for key in KEYS}
    bench.fill(3, 2)
    bench.shelf.heard(UUID(int=4), 2)
    bench.finds()
    assert given.values == values
    assert len(given.entries) == len(KEYS)


@pytest.mark.parametrize("why", ["others", "little", "nobody", "gap", "knows", "timed", "late"])
def test_it_is_looked_up_where_that_is_not_sure(why: str) -> None:
    bench, known, keys = Bench(), NOBODY, KEYS
    for key in KEYS:
        bench.fill(key)
    bench.finds()
    if why == "others":
        keys = KEYS[:-1]
    elif why == "little":
        keys = KEYS[: MANY - 1]
        bench.finds(keys=keys)
    elif why == "nobody":
        bench.lookups.find(KEYS, NOBODY, of="cards", who=None)
        assert bench.looked_up == 2
        return
    elif why == "gap":
        bench.begins()
        bench.fill(3)
    elif why == "knows":
        known = Seen(Known((Position("users", UUID(int=3), 2, bench.wall_ns),), {}))
    elif why == "timed":
        bench.fill(3, 2, until_ms=int(bench.now * 1000) + 5)
        bench.now += 0.01
    else:
        bench.now += 1
    bench.finds(keys=keys, known=known)
    assert not bench.again


class Told:
    """Something that can be seen to go."""


def test_values_are_let_go_with_their_entries() -> None:
    """Or what is on the shelf no more would be held, however much it is."""
    bench, told = Bench(), Told()
    for key in KEYS:
        bench.fill(key)
    reading = Reading(bench.now, bench.wall_ns, bench.wall_ns)
    bench.shelf.fill(3, Entry(UUID(int=3), 2, told, reading, 10), of="cards")
    assert bench.finds().values[3] is told
    there = weakref.ref(told)
    del told
    assert there() is not None
    bench.shelf.deaf()
    assert there() is None
    bench.begins()
    bench.finds(BOB)
    assert len(bench.lookups) == 1  # what was before a gap is forgotten


def test_what_was_used_least_of_late_is_forgotten_where_the_room_ends() -> None:
    bench = Bench(room=2 * len(KEYS) * OF_A_KEY)
    for who in (ADA, BOB, ADA, UUID(int=3)):
        bench.finds(who)
    assert bench.lookups.size == 2 * len(KEYS) * OF_A_KEY
    for who, again in ((ADA, True), (UUID(int=3), True), (BOB, False)):
        bench.finds(who)
        assert bench.again == again, who


DEEDS = st.lists(
    st.one_of(
        st.tuples(st.just("fill"), st.sampled_from(KEYS), st.integers(1, 4)),
        st.tuples(st.just("fill beside"), st.sampled_from(KEYS), st.integers(1, 4)),
        st.tuples(st.just("heard"), st.sampled_from(KEYS), st.integers(1, 4)),
        st.tuples(st.just("finds"), st.sampled_from([ADA, BOB]), st.sampled_from([KEYS, KEYS[2:]])),
        st.tuples(st.just("gap"), st.none(), st.none()),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(DEEDS)
def test_whatever_happens_it_gives_what_is_there(deeds: list[tuple[str, Any, Any]]) -> None:
    bench = Bench()
    for deed, one, other in deeds:
        bench.now += 0.0001
        if deed == "fill":
            bench.fill(one, other)
        elif deed == "fill beside":
            bench.fill(one, other, of="latest")
        elif deed == "heard":
            bench.shelf.heard(UUID(int=one), other)
        elif deed == "gap":
            bench.begins()
        else:
            bench.finds(one, other)

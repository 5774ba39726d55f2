"""Room that several share: nobody is driven below their part, and nothing of it is left unused."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from tidings.platform.cache.room import Room
from tidings.platform.cache.shelf import Entry, Reading, Shelf


@dataclass
class Taker:
    """Takes whole things, and lets go of the oldest first."""

    room: Room
    things: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.room.enter(self)

    @property
    def size(self) -> int:
        return sum(self.things)

    def shrink(self) -> None:
        del self.things[0]

    def take(self, size: int) -> None:
        self.things.append(size)
        self.room.settle()


def test_who_needs_more_has_what_the_others_leave() -> None:
    room = Room(30)
    one, other = Taker(room), Taker(room)
    other.take(5)
    for _ in range(30):
        one.take(1)
    assert (one.size, other.size) == (25, 5)
    for _ in range(30):
        other.take(1)
    assert (one.size, other.size) == (15, 15)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 10)), max_size=60))
def test_it_is_never_exceeded_and_nobody_gives_way_below_their_part(takes: list[tuple[int, int]]) -> None:
    room = Room(60)
    takers = [Taker(room) for _ in range(3)]
    for who, size in takes:
        before = [one.size for one in takers]
        takers[who].take(size)
        assert room.taken == sum(one.size for one in takers) <= room.size
        for number, taker in enumerate(takers):
            if number != who and taker.size < before[number]:
                assert taker.size + 10 > room.part  # by less than its last thing
        if sum(before) + size <= room.size:
            assert sum(one.size for one in takers) == sum(before) + size


def test_two_shelves_share_one() -> None:
    now = 1000.0
    room = Room(1000)
    shelves = [
        Shelf(name, room, clock=lambda: now, wall_ns=lambda: int(now * 1e9)) for name in ("users", "friends")
    ]
    for shelf in shelves:
        shelf.listening()
        shelf.registered(now + 1000)
        shelf.beat(int(now * 1e9))
    reading = Reading(now, int(now * 1e9), int(now * 1e9))
    for number in range(9):
        shelves[0].fill(number, Entry(UUID(int=number), 1, "kept", reading, 100))
    assert (len(shelves[0]), room.is_ample) == (9, False)
    for number in range(9):
        shelves[1].fill(number, Entry(UUID(int=number), 1, "kept", reading, 100))
    assert [len(shelf) for shelf in shelves] == [5, 5]
    assert shelves[0].get(("", 0)) is None
    assert shelves[0].get(("", 8)) is not None

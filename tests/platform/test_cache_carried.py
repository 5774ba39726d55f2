"""What an answer rests on goes with it to another process, and stands there no longer than a read of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidings.platform.cache.resting import MOST_CARRIED, Part, Resting
from tidings.platform.cache.room import Room
from tidings.platform.cache.shelf import Entry, Held, Reading, Shelf
from tidings.platform.clock import SKEW_NS
from tidings.platform.seen import Seen

PRODUCER = "friends"
NOBODY = Seen()
SUBJECTS = [UUID(int=number) for number in range(3)]


@dataclass
class Clock:
    """One of a fleet: off by so many nanoseconds."""

    off_ns: int
    now: float = 1000.0

    def wall_ns(self) -> int:
        return int(self.now * 1e9) + self.off_ns


@dataclass
class Fleet:
    """A producer; one who keeps its answers; and the edge, in a third process. Each hears when it is told."""

    offs: tuple[int, int, int]
    now: float = 1000.0
    log: list[tuple[int, UUID, int]] = field(default_factory=list)  # committed when, by the producer's clock
    clocks: list[Clock] = field(init=False)
    shelves: list[Shelf] = field(init=False)
    told: list[int] = field(default_factory=lambda: [0, 0])

    def __post_init__(self) -> None:
        self.clocks = [Clock(off) for off in self.offs]
        self.shelves = [
            Shelf(PRODUCER, Room(100_000), clock=lambda: self.now, wall_ns=clock.wall_ns)
            for clock in self.clocks[1:]
        ]
        for which in (0, 1):
            self.begins(which)
            self.tells(which)

    def passes(self, seconds: float) -> None:
        self.now += seconds
        for clock in self.clocks:
            clock.now = self.now

    def begins(self, which: int) -> None:
        self.shelves[which].listening()
        self.shelves[which].registered(self.now + 1000)
        self.told[which] = len(self.log)

    def commits(self, subject: UUID) -> None:
        self.passes(0.001)
        self.log.append((self.clocks[0].wall_ns(), subject, self.version(subject) + 1))
        self.passes(0.001)

    def version(self, subject: UUID, at_ns: int | None = None) -> int:
        """The newest as of a time of the producer's clock."""
        found = [version for at, one, version in self.log if one == subject and (at_ns is None or at <= at_ns)]
        return max(found, default=1)

    def tells(self, which: int, *, beat: bool = True) -> None:
        """One of the two hears all that was committed; with a beat it knows that this was all."""
        for _, subject, version in self.log[self.told[which] :]:
            self.shelves[which].heard(subject, version)
        self.told[which] = len(self.log)
        if beat:
            self.shelves[which].beat(self.clocks[0].wall_ns())

    def reads(self, subject: UUID) -> None:
        """Who keeps answers asks the producer."""
        began, began_ns, version = self.now, self.clocks[1].wall_ns(), self.version(subject)
        self.passes(0.001)
        reading = Reading(began, began_ns, self.clocks[0].wall_ns())
        self.shelves[0].fill(subject, Entry(subject, version, version, reading, 100), of="card")

    def answers(self, subjects: list[UUID]) -> bytes | None:
        """An answer of who keeps; what goes to the edge with it."""
        shelf, resting = self.shelves[0], Resting()
        as_of_ns = shelf.as_of_ns
        _, found, missing = shelf.find(subjects, NOBODY, of="card")
        if missing:
            return None
        resting.on(Part("timeline", "friends/cards", shelf, Held(found), as_of_ns))
        return resting.carried()

    def arrives(self, raw: bytes) -> Resting:
        resting = Resting()
        resting.brought(raw)
        resting.settle({PRODUCER: self.shelves[1]}, "edge")
        return resting


@pytest.fixture
def fleet() -> Fleet:
    made = Fleet((0, 0, 0))
    made.passes(1)
    for which in (0, 1):
        made.tells(which)
    for subject in SUBJECTS:
        made.reads(subject)
    made.tells(0)
    return made


def carries(fleet: Fleet, *subjects: UUID) -> bytes:
    raw = fleet.answers(list(subjects))
    assert raw
    return raw


def stands(fleet: Fleet, resting: Resting, known: Seen = NOBODY) -> bool:
    return resting.whole and all(fleet.shelves[1].still(part.held, known) for part in resting.parts)


def test_it_stands_until_one_of_its_subjects_changes(fleet: Fleet) -> None:
    resting = fleet.arrives(carries(fleet, *SUBJECTS[:2]))
    assert [(part.holder, part.call, set(part.held.versions)) for part in resting.parts] == [
        ("edge", "friends/cards", set(SUBJECTS[:2]))
    ]
    fleet.commits(SUBJECTS[2])
    fleet.tells(1)
    assert stands(fleet, resting)
    fleet.commits(SUBJECTS[1])
    assert stands(fleet, resting)  # as of the last beat
    fleet.tells(1, beat=False)
    assert not stands(fleet, resting)


def test_what_changed_on_its_way_does_not_stand(fleet: Fleet) -> None:
    raw = carries(fleet, SUBJECTS[0])
    fleet.commits(SUBJECTS[0])
    fleet.tells(1)
    assert not fleet.arrives(raw).whole


def test_what_was_read_before_the_edge_listened_does_not_stand(fleet: Fleet) -> None:
    raw = carries(fleet, SUBJECTS[0])
    fleet.begins(1)
    fleet.tells(1)
    assert not fleet.arrives(raw).whole
    fleet.passes(SKEW_NS / 1e9 + 0.01)
    fleet.tells(0)
    assert stands(fleet, fleet.arrives(carries(fleet, SUBJECTS[0])))


def test_two_answers_share_an_entry_and_an_older_one_does_not_come_back(fleet: Fleet) -> None:
    old = carries(fleet, SUBJECTS[0])
    first, second = fleet.arrives(old), fleet.arrives(carries(fleet, *SUBJECTS))
    assert stands(fleet, first) and stands(fleet, second)
    assert len(fleet.shelves[1]) == 3
    fleet.commits(SUBJECTS[0])
    fleet.tells(0)
    fleet.reads(SUBJECTS[0])
    new = fleet.arrives(carries(fleet, SUBJECTS[0]))
    assert stands(fleet, new) and not stands(fleet, first) and not stands(fleet, second)
    assert not fleet.arrives(old).whole
    assert stands(fleet, new)


def test_what_cannot_be_carried_is_not(fleet: Fleet) -> None:
    shelf = fleet.shelves[0]
    _, found, _ = shelf.find(SUBJECTS[:1], NOBODY, of="card")
    for held, as_of_ns, more in (
        (Held(found), 0, False),
        (Held(found), 1, True),
        (Held([Entry(SUBJECTS[0], 1, "", Reading(0, 0, 0), 1, until_ms=5)]), 1, False),
        (Held([Entry(UUID(int=n), 1, "", Reading(0, 0, 0), 1) for n in range(MOST_CARRIED + 1)]), 1, False),
    ):
        resting = Resting()
        resting.on(Part("timeline", "friends/cards", shelf, held, as_of_ns))
        if more:
            resting.on_more()
        assert resting.carried() == b""
    assert Resting().carried() == b""


def test_what_came_without_it_or_is_not_settled_counts_as_more(fleet: Fleet) -> None:
    without, unsettled, elsewhere = Resting(), Resting(), Resting()
    without.brought(b"")
    unsettled.brought(carries(fleet, SUBJECTS[0]))
    elsewhere.brought(carries(fleet, SUBJECTS[0]))
    elsewhere.settle({}, "edge")
    assert not (without.whole or unsettled.whole or elsewhere.whole)
    garbled = Resting()
    garbled.brought(b"\xc1")
    with pytest.raises(msgspec.DecodeError):
        garbled.settle({}, "edge")


DEEDS = st.lists(
    st.one_of(
        st.tuples(st.just("commits"), st.sampled_from(SUBJECTS)),
        st.tuples(st.just("tells"), st.sampled_from([0, 1])),
        st.tuples(st.just("says"), st.sampled_from([0, 1])),
        st.tuples(st.just("reads"), st.sampled_from(SUBJECTS)),
        st.tuples(st.just("answers"), st.lists(st.sampled_from(SUBJECTS), min_size=1, unique=True)),
        st.tuples(st.just("arrives"), st.integers(0, 3)),
        st.tuples(st.just("begins"), st.sampled_from([0, 1])),
        st.tuples(st.just("passes"), st.sampled_from([0.01, 0.25, 0.7, 3.0, 11.0])),
    ),
    max_size=60,
)
OFFS = st.tuples(*[st.integers(0, SKEW_NS)] * 3)


@settings(max_examples=500, deadline=None)
@given(OFFS, DEEDS)
def test_whatever_happens_it_stands_only_while_nothing_newer_is_known(
    offs: tuple[int, int, int], deeds: list[tuple[str, Any]]
) -> None:
    fleet = Fleet(offs)
    on_the_way: list[bytes] = []
    there: list[Resting] = []
    for deed, one in deeds:
        if deed == "answers":
            raw = fleet.answers(one)
            on_the_way += [raw] if raw else []
        elif deed == "arrives":
            there += [fleet.arrives(raw) for raw in on_the_way[one : one + 1]]
            del on_the_way[one : one + 1]
        elif deed == "says":
            fleet.tells(one, beat=False)
        else:
            getattr(fleet, deed)(one)
        edge = fleet.shelves[1]
        for resting in there:
            for part in resting.parts if stands(fleet, resting) else ():
                for subject, version in part.held.versions.items():
                    assert version >= fleet.version(subject, edge.as_of_ns)

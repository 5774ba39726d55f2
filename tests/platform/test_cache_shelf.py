"""What may be kept, when it may be shown, and what makes it go: a shelf under clocks of our own."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.platform.cache.room import Room
from tidings.platform.cache.shelf import LEFT, TOUCHED, Entry, Held, Reading, Shelf
from tidings.platform.seen import Known, Position, Seen

PRODUCER = "users"
NOBODY = Seen()
MS = 1_000_000


@dataclass
class Bench:
    """A shelf that listens and is registered, and the time."""

    room: int = 10_000
    strict: bool = True
    now: float = 1000.0  # seconds, by both clocks
    shelf: Shelf = field(init=False)

    def __post_init__(self) -> None:
        self.shelf = Shelf(
            PRODUCER, Room(self.room), strict=self.strict, clock=lambda: self.now, wall_ns=lambda: self.wall_ns
        )
        self.shelf.listening()
        self.shelf.registered(self.now + 1000)
        self.shelf.beat(self.wall_ns)

    @property
    def wall_ns(self) -> int:
        return int(self.now * 1e9)

    def read(self, subject: UUID, version: int, *, took: float = 0.001, size: int = 100) -> Entry:
        """What a read brings that begins now; it ends after `took` seconds."""
        began, began_ns = self.now, self.wall_ns
        self.now += took
        return Entry(subject, version, f"v{version}", Reading(began, began_ns, self.wall_ns), size)

    def passes(self, seconds: float, *, beats: bool = True) -> None:
        self.now += seconds
        if beats:
            self.shelf.beat(self.wall_ns)

    def shows(self, key: object, known: Seen = NOBODY) -> object:
        values, found, missing = self.shelf.find([key], known)
        assert [entry.value for entry in found] == list(values.values())
        assert missing == ([] if found else [key])
        return values.get(key)


ADA, BOB = uuid4(), uuid4()


def test_an_entry_is_shown_while_beats_come_and_not_a_moment_longer() -> None:
    bench = Bench()
    assert bench.shelf.fill("k", bench.read(ADA, 1))
    for _ in range(20):
        bench.passes(0.7)
        assert bench.shows("k") == "v1"
    bench.passes(0.79, beats=False)
    assert bench.shows("k") == "v1"
    bench.passes(0.02, beats=False)
    assert bench.shows("k") is None
    bench.passes(0)
    assert bench.shows("k") == "v1"  # nothing had happened


def test_before_the_first_beat_nothing_is_shown() -> None:
    bench = Bench()
    bench.shelf.listening()
    assert bench.shelf.fill("k", bench.read(ADA, 1))
    assert bench.shows("k") is None
    bench.passes(0)
    assert bench.shows("k") == "v1"


def test_an_event_drops_what_is_older_whatever_the_key() -> None:
    bench = Bench()
    for key in ("one", "two"):
        bench.shelf.fill(key, bench.read(ADA, 3))
    bench.shelf.fill("bob", bench.read(BOB, 1))
    bench.shelf.heard(ADA, 3)
    assert bench.shows("one") == "v3"
    bench.shelf.heard(ADA, 4)
    assert (bench.shows("one"), bench.shows("two"), bench.shows("bob")) == (None, None, "v1")


def test_a_slow_read_does_not_bring_back_what_an_event_took_away() -> None:
    bench = Bench()
    slow = bench.read(ADA, 1, took=2.0)
    bench.shelf.heard(ADA, 2)  # nothing was kept, and yet it has to be remembered
    assert not bench.shelf.fill("k", slow)
    assert bench.shelf.fill("k", bench.read(ADA, 2))


def test_a_version_is_remembered_for_as_long_as_a_read_may_take() -> None:
    bench = Bench()
    slow = bench.read(ADA, 1, took=0.5)
    bench.shelf.heard(ADA, 2)
    bench.passes(LEFT - 0.6)
    assert not bench.shelf.fill("k", slow)
    bench.passes(0.7)  # forgotten by now, but the read is too old by itself
    assert not bench.shelf.fill("k", slow)
    assert bench.shelf.fill("k", bench.read(ADA, 1))  # read now: then it is so


def test_a_read_from_before_a_gap_is_not_kept() -> None:
    bench = Bench()
    before = bench.read(ADA, 1)
    bench.shelf.deaf()
    assert not bench.shelf.fill("k", bench.read(ADA, 1))
    bench.passes(0.1)
    bench.shelf.listening()
    assert not bench.shelf.fill("k", before)
    assert bench.shelf.fill("k", bench.read(ADA, 1))


def test_a_gap_empties_the_shelf() -> None:
    bench = Bench()
    bench.shelf.fill("k", bench.read(ADA, 1))
    bench.shelf.listening()
    bench.passes(0)
    assert (bench.shows("k"), len(bench.shelf), bench.shelf.size) == (None, 0, 0)


def test_nothing_is_kept_before_a_writer_would_wait_for_us_nor_shown_in_the_last_second() -> None:
    bench = Bench()
    shelf = Shelf(PRODUCER, Room(1000), clock=lambda: bench.now, wall_ns=lambda: bench.wall_ns)
    shelf.listening()
    unregistered = bench.read(ADA, 1)
    assert not shelf.fill("k", unregistered)
    shelf.registered(bench.now + 5)
    assert not shelf.fill("k", unregistered)
    assert shelf.fill("k", bench.read(ADA, 1))
    bench.now += 3.9
    shelf.beat(bench.wall_ns)
    assert "k" in shelf.find(["k"], NOBODY)[0]
    bench.now += 0.2
    shelf.beat(bench.wall_ns)
    assert "k" not in shelf.find(["k"], NOBODY)[0]
    shelf.registered(bench.now + 5)  # in time: what was kept is good
    assert "k" in shelf.find(["k"], NOBODY)[0]
    bench.now += 6
    shelf.beat(bench.wall_ns)
    shelf.registered(bench.now + 5)  # too late: somebody may have taken it away without us
    assert "k" not in shelf.find(["k"], NOBODY)[0]
    assert len(shelf) == 0


def test_what_is_older_than_a_write_of_the_client_is_not_shown_to_them_alone() -> None:
    bench = Bench()
    bench.shelf.fill("k", bench.read(ADA, 4))
    wrote = Seen(Known((Position(PRODUCER, ADA, 5, bench.wall_ns),), {}))
    assert bench.shows("k", wrote) is None
    assert bench.shows("k") == "v4"
    elsewhere = Seen(Known((Position("friends", ADA, 5, bench.wall_ns), Position(PRODUCER, BOB, 9, 1)), {}))
    assert bench.shows("k", elsewhere) == "v4"


def test_what_is_older_than_what_others_wrote_is_not_shown_to_who_was_shown_that() -> None:
    bench = Bench()
    bench.shelf.fill("ada", bench.read(ADA, 4))
    bench.shelf.fill("bob", bench.read(BOB, 4))
    bench.passes(0)
    held, bobs = Held(bench.shelf.find(["ada", "bob"], NOBODY)[1]), Held(bench.shelf.find(["bob"], NOBODY)[1])

    def who_was_shown(version: int) -> Seen:
        return Seen(Known((), {PRODUCER: bench.wall_ns - 1}, (Position(PRODUCER, ADA, version, bench.wall_ns),)))

    as_new, newer = who_was_shown(4), who_was_shown(5)
    assert (bench.shows("ada", as_new), bench.shows("bob", as_new)) == ("v4", "v4")
    assert (bench.shelf.shows_all_to(as_new), bench.shelf.still(held, as_new)) == (True, True)
    assert (bench.shows("ada", newer), bench.shows("bob", newer)) == (None, "v4")
    assert (bench.shelf.shows_all_to(newer), bench.shelf.still(held, newer)) == (False, False)
    bench.shelf.heard(ADA, 5)  # then nothing that is older is here
    assert (bench.shelf.shows_all_to(newer), bench.shelf.still(held, newer)) == (True, False)
    assert bench.shelf.still(bobs, newer)


def test_what_may_be_older_than_what_the_client_was_shown_waits_for_a_beat() -> None:
    bench = Bench()
    bench.shelf.fill("k", bench.read(ADA, 1))
    saw = Seen(Known((), {PRODUCER: bench.wall_ns + 50 * MS}))  # somewhere else, a little later
    assert bench.shows("k", saw) is None
    bench.passes(0.04)
    assert bench.shows("k", saw) is None
    bench.passes(0.02)  # both are of the producer's clock
    assert bench.shows("k", saw) == "v1"


def test_what_was_read_after_what_the_client_was_shown_waits_for_what_clocks_may_differ_by() -> None:
    bench = Bench()
    saw = Seen(Known((), {PRODUCER: bench.wall_ns + 50 * MS}))
    bench.passes(0.2, beats=False)
    bench.shelf.fill("k", bench.read(ADA, 1))
    assert bench.shows("k", saw) is None  # the producer's clock may be ahead of ours
    bench.passes(0.1, beats=False)
    bench.shelf.fill("k", bench.read(ADA, 1))
    assert bench.shows("k", saw) == "v1"


def test_the_very_read_that_was_shown_may_be_shown_again_at_once() -> None:
    bench = Bench()
    entry = bench.read(ADA, 1)
    bench.shelf.fill("k", entry)
    assert bench.shows("k", Seen(Known((), {PRODUCER: entry.reading.ended_ns}))) == "v1"
    assert bench.shows("k", Seen(Known((), {PRODUCER: entry.reading.ended_ns + 1}))) is None


def test_an_older_read_does_not_replace_a_newer_one() -> None:
    bench = Bench()
    older = bench.read(ADA, 1)
    newer = bench.read(ADA, 2)
    assert bench.shelf.fill("k", newer)
    assert not bench.shelf.fill("k", older)
    assert bench.shows("k") == "v2"


def test_pieces_of_one_subject_are_never_of_two_versions() -> None:
    """Each key is of a read of its own. Who was shown one must not be shown an older one with it."""
    bench = Bench()
    older, newer = bench.read(ADA, 7), bench.read(ADA, 8)
    assert bench.shelf.fill("few", newer, of="page")
    assert not bench.shelf.fill("more", older, of="page")
    assert not bench.shelf.fill("few", bench.read(ADA, 7), of="latest")
    assert bench.shelf.fill("more", bench.read(ADA, 8), of="page")
    assert bench.shelf.fill("bob", bench.read(BOB, 1), of="page")
    assert len(bench.shelf) == 3
    assert bench.shelf.fill("few", bench.read(ADA, 9), of="latest")
    assert (len(bench.shelf), bench.shelf.size) == (2, 200)  # of page, nothing of hers is left
    assert newer.gone


def test_an_entry_is_void_from_its_own_time_on() -> None:
    bench = Bench()
    entry = bench.read(ADA, 1)
    until = Entry(ADA, 1, "v1", entry.reading, 10, until_ms=int((bench.now + 1) * 1000))
    bench.shelf.fill("k", until)
    bench.passes(0.9)
    assert bench.shows("k") == "v1"
    bench.passes(0.2)
    assert bench.shows("k") is None


def test_the_least_recently_used_go_first_and_leave_their_versions() -> None:
    bench = Bench(room=300)
    people = [uuid4() for _ in range(4)]
    for number, person in enumerate(people[:3]):
        bench.shelf.fill(number, bench.read(person, 7))
    bench.passes(1.1 * TOUCHED)
    assert bench.shows(0) == "v7"  # used: 1 is the oldest now
    slow = bench.read(people[1], 6)
    assert bench.shelf.fill(3, bench.read(people[3], 1))
    assert [bench.shows(number) for number in range(4)] == ["v7", None, "v7", "v1"]
    assert not bench.shelf.fill(1, slow)  # older than what was evicted
    assert not bench.shelf.fill("huge", bench.read(ADA, 1, size=301))


def test_without_strictness_only_events_count() -> None:
    bench = Bench(strict=False)
    bench.shelf.fill("k", bench.read(ADA, 1))
    bench.passes(60, beats=False)
    wrote = Seen(Known((Position(PRODUCER, ADA, 5, 1),), {PRODUCER: bench.wall_ns}))
    assert bench.shows("k", wrote) == "v1"
    bench.shelf.heard(ADA, 2)
    assert bench.shows("k", wrote) is None


@pytest.mark.parametrize("room", [250, 100_000])
@given(data=st.data())
def test_nobody_is_ever_shown_less_than_what_was_heard_or_written(room: int, data: st.DataObject) -> None:
    """Random histories of one truth: reads that take their time, events that come late, gaps, evictions, beats."""
    bench = Bench(room=room)
    people = [UUID(int=number) for number in range(3)]
    truth = dict.fromkeys(people, 1)
    told = dict(truth)  # what events have said by now
    slow: list[tuple[UUID, Entry]] = []
    unheard: list[tuple[UUID, int]] = []
    acts = ["change", "hear", "read", "fill", "gap", "tick", "show"]
    for act in data.draw(st.lists(st.sampled_from(acts), max_size=60)):
        person = data.draw(st.sampled_from(people))
        if act == "change":
            truth[person] += 1
            unheard.append((person, truth[person]))
        elif act == "hear" and unheard:
            heard = unheard.pop(0)
            told[heard[0]] = heard[1]
            bench.shelf.heard(*heard)
        elif act == "read":
            slow.append((person, bench.read(person, truth[person], took=0.01)))
        elif act == "fill" and slow:
            who, entry = slow.pop(data.draw(st.integers(0, len(slow) - 1)))
            bench.shelf.fill(who, entry)
        elif act == "gap":
            bench.shelf.listening()
            unheard.clear()
            told = dict(truth)  # nothing that is kept from now on can be older
            bench.passes(0.01, beats=False)
        elif act == "tick":
            bench.passes(data.draw(st.sampled_from([0.05, 0.5, 3.0])), beats=not unheard)
        for entry in bench.shelf.find([person], NOBODY)[1]:
            assert entry.version >= told[person], "older than what was heard"
            assert entry.value == f"v{entry.version}"
        wrote = Seen(Known((Position(PRODUCER, person, truth[person], 1),), {}))
        for entry in bench.shelf.find([person], wrote)[1]:
            assert entry.version == truth[person], "older than the client's own write"
        assert bench.shelf.size <= room


def test_who_is_stirred_is_read_again_though_no_version_tells() -> None:
    bench = Bench()
    bench.shelf.fill(ADA, bench.read(ADA, 3), of="pages")
    bench.shelf.fill(ADA, bench.read(ADA, 3), of="cards")
    bench.shelf.fill(BOB, bench.read(BOB, 1), of="pages")
    under_way = bench.read(ADA, 3)
    bench.passes(0.01)
    bench.shelf.stirred(ADA, "pages")
    assert bench.shelf.find([ADA, BOB], NOBODY, "pages")[2] == [ADA]
    assert bench.shelf.find([ADA], NOBODY, "cards")[2] == []
    assert bench.shelf.fill(ADA, under_way, of="pages") is None  # it may have been read before the change
    assert bench.shelf.fill(ADA, under_way, of="cards") is not None
    bench.passes(0.01)
    assert bench.shelf.fill(ADA, bench.read(ADA, 3), of="pages") is not None
    assert bench.shelf.find([ADA], NOBODY, "pages")[2] == []


def test_nobody_is_remembered_as_stirred_for_longer_than_a_read_may_take() -> None:
    bench = Bench()
    for _ in range(50):
        bench.shelf.stirred(uuid4(), "pages")
        bench.passes(LEFT / 10)
    assert len(bench.shelf._stirred) <= 11
    slow = bench.read(ADA, 1)
    bench.shelf.stirred(ADA, "pages")
    for _ in range(30):
        bench.passes(LEFT / 20)
        bench.shelf.stirred(uuid4(), "pages")
    assert bench.shelf.fill(ADA, slow, of="pages") is None


def test_what_a_client_wrote_was_heard_once_a_beat_tells_of_that_time() -> None:
    bench = Bench()
    assert bench.shelf.has_heard(NOBODY)
    bench.passes(0.01, beats=False)
    wrote = Seen(Known((Position(PRODUCER, ADA, 3, bench.wall_ns), Position(PRODUCER, BOB, 9, 1)), {}))
    assert not bench.shelf.has_heard(wrote)
    bench.shelf.heard(ADA, 4)  # a later one: what the one before stirred may not have been
    assert not bench.shelf.has_heard(wrote)
    assert bench.shelf.has_heard(Seen(Known((Position("friends", ADA, 3, bench.wall_ns),), {})))
    bench.passes(0.01)
    assert bench.shelf.has_heard(wrote)
    bench.shelf.deaf()
    assert not bench.shelf.has_heard(wrote)


def test_two_that_count_may_differ_at_one_version() -> None:
    bench = Bench()
    first, second = bench.read(ADA, 3), bench.read(ADA, 3)
    second.value = "counted later"
    assert bench.shelf.fill(ADA, first, of="pages", counts=True) is first
    assert bench.shelf.fill(ADA, second, of="pages", counts=True) is second
    assert bench.shelf.fill(ADA, first, of="pages", counts=True) is None
    assert bench.shelf.find([ADA], NOBODY, "pages")[0] == {ADA: "counted later"}


def test_what_is_rested_on_is_looked_for_among_what_went() -> None:
    bench = Bench()
    people = [ADA, BOB, *(uuid4() for _ in range(4))]
    for person in people:
        bench.shelf.fill(person, bench.read(person, 1))
    bench.passes(0)
    _, found, _ = bench.shelf.find(people[:5], NOBODY)
    by_key = {entry.key: entry for entry in found}
    held, other = (Held(found, by_key=by_key, generation=bench.shelf.generation) for _ in range(2))
    bench.shelf.heard(people[5], 2)  # nothing rests on that
    assert bench.shelf.still(held, NOBODY)
    bench.shelf.heard(BOB, 2)
    bench.shelf.fill(BOB, bench.read(BOB, 2))  # another one, under the same key
    assert [bench.shelf.still(one, NOBODY) for one in (held, other)] == [False, False]
    assert (held.has_gone, other.has_gone) == (True, True)

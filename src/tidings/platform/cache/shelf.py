"""What a process keeps of one producer's answers: versioned, bounded in bytes, used only while surely fresh."""

from __future__ import annotations

import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeAlias, TypeVar
from uuid import UUID

from tidings.platform.cache.room import Room
from tidings.platform.clock import SKEW_NS
from tidings.platform.seen import Seen

Key = TypeVar("Key", bound=Hashable)
EntryKey: TypeAlias = tuple[str, Hashable]  # whose call told it, and under which key

FRESH_NS: Final = 800_000_000  # after the time of the last beat, by this process's clock
LEFT: Final = 10.0  # seconds for which a version is remembered after its entry went, or without one
SLOWEST: Final = LEFT  # seconds: what was read longer ago may be older than a version that is forgotten
TOUCHED: Final = 5.0  # seconds; so often an entry that is used moves to the end of those that go
VOUCHED: Final = "vouched"
VOUCHED_SIZE: Final = 500  # bytes
NOTED: Final = 1000  # keys of entries that went, the latest
LAST_OF_LEASE: Final = 1.0  # seconds in which no entry is used any more


@dataclass(frozen=True, slots=True)
class Reading:
    """When a read began by both clocks of this process, and when it had ended by the producer's (ns since 1970)."""

    began: float  # time.monotonic()
    began_ns: int
    ended_ns: int


@dataclass(slots=True, eq=False)
class Entry:
    """One piece of an answer, as of a version of whom it is about. `until_ms`: by then it is void anyway.

    `exact`: nothing that is newer than that version is in it, as there may be in what was read.
    Not frozen: what is read again at the same version is the same, unless it counts, and as new as it was then.
    """

    subject: UUID
    version: int
    value: Any
    reading: Reading
    size: int
    until_ms: int | None = None
    exact: bool = False
    key: EntryKey = ("", None)
    gone: bool = False  # it was on the shelf, and is not any more
    used_at: float = 0.0  # time.monotonic()

    def goes(self) -> None:
        """It leaves the shelf. Whoever rests on it may hold it for long, but has no use for its value."""
        self.gone, self.value = True, None


class Held:
    """Entries that an answer rests on. Not frozen: it learns that they are still there, or that one has gone.

    `by_key` holds them, too, if there are many: then a few that went are looked for, and not all are looked at.
    `timed`: some may have a time by which they are void.
    """

    __slots__ = ("_versions", "by_key", "entries", "generation", "has_gone", "until_ms")

    def __init__(
        self,
        entries: Collection[Entry],
        *,
        by_key: Mapping[EntryKey, Entry] | None = None,
        generation: int = -1,
        timed: bool = True,
    ) -> None:
        self.entries = entries
        self.by_key = by_key
        self.generation = generation  # of the shelf, when all of them were on it
        self.has_gone = False
        self.until_ms: int | None = None
        self._versions: dict[UUID, int] | None = None
        for one in entries if timed else ():
            if one.until_ms is not None and (self.until_ms is None or one.until_ms < self.until_ms):
                self.until_ms = one.until_ms

    @property
    def versions(self) -> dict[UUID, int]:
        """By subject, the oldest of its entries; nobody asks but who carries it to another process."""
        if self._versions is None:
            self._versions = {}
            for one in self.entries:
                self._versions[one.subject] = min(one.version, self._versions.get(one.subject, one.version))
        return self._versions


class Shelf:
    """Entries by key. Each depends on one subject, of whose changes the producer tells.

    Beats and stamps are of the producer's clock; where it has several, they differ by `skew_ns` at most.
    `strict` is False in measurements only: then an entry is used until an event drops it, whatever has been seen.
    """

    def __init__(
        self,
        producer: str,
        room: Room,
        *,
        strict: bool = True,
        skew_ns: int = 0,
        clock: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.producer = producer
        self._room = room
        room.enter(self)
        self._strict = strict
        self._skew_ns = skew_ns
        self._clock = clock
        self._wall_ns = wall_ns
        self._entries: OrderedDict[EntryKey, Entry] = OrderedDict()  # the least recently used first
        self._of: defaultdict[str, dict[Any, Entry]] = defaultdict(dict)  # the same, by call
        self._by_subject: defaultdict[UUID, set[EntryKey]] = defaultdict(set)
        self._left: OrderedDict[UUID, tuple[int, float]] = OrderedDict()  # version, and until when; oldest first
        self._stirred: OrderedDict[EntryKey, float] = OrderedDict()  # when, by call and subject; oldest first
        self._listening_since: float | None = None
        self._registered_since: float | None = None
        self._leased_until = 0.0
        self._beat_ns = 0
        self._timed = 0  # entries that are void by a time of their own
        self.size = 0
        self.generation = 0  # rises whenever an entry goes
        self.gaps = 0  # rises whenever all go
        self._went: deque[EntryKey] = deque(maxlen=NOTED)  # their keys, one for each generation

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def keeps(self) -> bool:
        """Whether what is read now may be kept: somebody will tell when it is old, and will wait for us."""
        return self._listening_since is not None and self._registered_since is not None

    @property
    def has_one_clock(self) -> bool:
        """Whether the producer is one process. Where that is this one, every commit is heard of here at once."""
        return not self._skew_ns

    @property
    def is_timed(self) -> bool:
        """Whether some entry is void by a time of its own."""
        return self._timed > 0

    # Reading and filling.

    def find(self, keys: Sequence[Key], known: Seen, of: str = "") -> tuple[dict[Key, Any], list[Entry], list[Key]]:
        """What may be shown now to a client who knows that much: values by key, entries; and the keys of the rest.

        Keys are those of one call.
        """
        if not self._usable():
            return {}, [], list(keys)
        own, stamp = self._least_for(known)
        # A reader with many friends waits for this: nothing is done for each of them without need.
        there = list(map(self._of[of].get, keys))
        found = [entry for entry in there if entry is not None]
        if own or stamp or self._timed:
            there = [
                entry if entry is not None and self._may_be_shown(entry, own, stamp) else None for entry in there
            ]
            found = [entry for entry in there if entry is not None]
        self.touch(found)
        if len(found) == len(keys):
            return dict(zip(keys, [entry.value for entry in found], strict=True)), found, []
        values = {key: entry.value for key, entry in zip(keys, there, strict=True) if entry is not None}
        return values, found, [key for key, entry in zip(keys, there, strict=True) if entry is None]

    def one(self, key: Hashable, known: Seen, of: str = "") -> Entry | None:
        """What `find` gives of a single key; half of all reads are of one."""
        entry = self._of[of].get(key)
        if entry is None or not self._usable():
            return None
        own, stamp = self._least_for(known)
        if (own or stamp or self._timed) and not self._may_be_shown(entry, own, stamp):
            return None
        self.touch((entry,))
        return entry

    def _least_for(self, known: Seen) -> tuple[Mapping[UUID, int], int]:
        """What a client who knows that much is not shown less than: versions by subject, and a stamp."""
        if not self._strict:
            return {}, 0
        stamp = known.stamp(self.producer)
        return self._wanted(known), 0 if stamp <= self._beat_ns - self._skew_ns else stamp

    def _wanted(self, known: Seen) -> Mapping[UUID, int]:
        """The versions that such a client knows of, and that something here is older than."""
        wanted = known.versions(self.producer)
        return {subject: least for subject, least in wanted.items() if self._is_older(subject, least)}

    def _is_older(self, subject: UUID, version: int) -> bool:
        entries = self._entries
        return any(entries[key].version < version for key in self._by_subject.get(subject, ()))

    def shows_all_to(self, known: Seen) -> bool:
        """Whether `find` gives a client who knows that much whatever is here."""
        if not self._usable() or self._timed:
            return False
        as_new = known.stamp(self.producer) <= self._beat_ns - self._skew_ns
        return not self._strict or (as_new and not self._wanted(known))

    def has_heard(self, known: Seen) -> bool:
        """Whether all that such a client has written was heard, with whatever it stirred."""
        return known.wrote_ns(self.producer) <= max(0, self._beat_ns - self._skew_ns)

    def get(self, key: EntryKey) -> Entry | None:
        """What is here, whoever may be shown it."""
        return self._entries.get(key)

    def gone_since(self, generation: int) -> list[EntryKey] | None:
        """The keys of the entries that went since then; None where that is not known any more."""
        went = self.generation - generation
        return None if went > len(self._went) else list(islice(reversed(self._went), went))

    def _may_be_shown(self, entry: Entry, own: Mapping[UUID, int], stamp: int) -> bool:
        if entry.gone or (entry.until_ms is not None and self._is_over(entry)):
            return False
        if own and entry.version < own.get(entry.subject, 0):
            return False
        return not stamp or _as_new_as(entry.reading, stamp)

    def _is_over(self, entry: Entry) -> bool:
        """Whether its time has come; then it goes."""
        over = entry.until_ms is not None and entry.until_ms * 1_000_000 <= self._wall_ns()
        if over:
            self._drop(entry.key)
        return over

    def still(self, held: Held, known: Seen) -> bool:
        """Whether `find` would give these very entries to a client who knows that much. In doubt, it says no.

        None of them has gone, so what is here of whom they are about is as new.
        """
        if not self._usable():
            return False
        if held.until_ms is not None and held.until_ms * 1_000_000 <= self._wall_ns():
            return False
        if self._strict:
            if known.stamp(self.producer) > self._beat_ns - self._skew_ns:
                return False
            if self._wanted(known):
                return False
        if held.generation != self.generation:
            if self._has_gone(held):
                held.has_gone = True
                return False
            held.generation = self.generation
        return True

    def _has_gone(self, held: Held) -> bool:
        """Whether one of them did; there may be another one under the same key."""
        went = self.generation - held.generation
        if held.by_key is None or went > min(len(self._went), len(held.entries)):
            for entry in held.entries:  # noqa: SIM110 - the hot path: no generator
                if entry.gone:
                    return True
            return False
        for key in islice(reversed(self._went), went):
            same = held.by_key.get(key)
            if same is not None and same.gone:
                return True
        return False

    @property
    def as_of_ns(self) -> int:
        """Of the producer's clock: all that was committed by then has been heard."""
        return self._beat_ns - self._skew_ns

    def vouch(self, versions: Mapping[UUID, int], as_of_ns: int) -> Held | None:
        """Entries without a value, for what another process read: these versions were the newest as of that time.

        None where they may be old by now: something newer has been heard, or nobody would have told this shelf.
        """
        now = self._wall_ns()
        began_ns = as_of_ns - SKEW_NS  # clocks of two processes are compared
        reading = Reading(self._clock() - (now - began_ns) / 1e9, began_ns, as_of_ns)
        found: list[Entry] = []
        for subject, version in versions.items():
            entry = self.fill(subject, Entry(subject, version, None, reading, VOUCHED_SIZE), of=VOUCHED)
            if entry is None:
                return None
            found.append(entry)
        return Held(found)

    def touch(self, entries: Iterable[Entry]) -> None:
        """They have been used. Nobody notes that while there is room: with many friends it is dear."""
        if self._room.is_ample:
            return
        now = self._clock()
        used_before = now - TOUCHED
        for entry in entries:
            if entry.used_at < used_before and not entry.gone:
                entry.used_at = now
                self._entries.move_to_end(entry.key)

    def fill(self, key: Hashable, entry: Entry, of: str = "", *, counts: bool = False) -> Entry | None:
        """Keep what a call told under a key, unless it may be older than what was heard or held here meanwhile.

        What is held by then. `counts`: two of one version may differ.
        """
        began = entry.reading.began
        if self._listening_since is None or self._registered_since is None or entry.size > self._room.part:
            return None
        # Before a gap, nobody would have told us; before we were registered, nobody would have waited for us.
        if began < self._listening_since or began < self._registered_since or self._clock() - began > SLOWEST:
            return None
        self._forget_versions()
        left = self._left.get(entry.subject)
        if left is not None and entry.version < left[0]:
            return None
        if self._stirred and began <= self._stirred.get((of, entry.subject), 0.0):
            return None
        held = self._of[of].get(key)
        if held is not None and not counts and (held.version, held.until_ms) == (entry.version, entry.until_ms):
            if held.reading.began < began:
                held.reading = entry.reading
            held.exact = held.exact and entry.exact  # who read it was shown what they read
            return held
        if held is not None and (entry.version, began) < (held.version, held.reading.began):
            return None
        # A read of a newer version is as good as having heard of it: whoever was shown that is not shown less.
        beside = [self._entries[one] for one in self._by_subject.get(entry.subject, ())]
        if any(one.version > entry.version for one in beside):
            return None
        for one in beside:
            if one is held or one.version < entry.version:
                self._drop(one.key)
        entry.key, entry.used_at = (of, key), self._clock()
        self._entries[entry.key] = self._of[of][key] = entry
        self._by_subject[entry.subject].add(entry.key)
        self._timed += entry.until_ms is not None
        self.size += entry.size
        self._room.settle()
        return entry

    def shrink(self) -> None:
        """The entry that was used least of late goes."""
        oldest, evicted = next(iter(self._entries.items()))
        self._drop(oldest)
        self._leave(evicted.subject, evicted.version)

    # What is heard.

    def heard(self, subject: UUID, version: int) -> None:
        """Somebody's things have this version by now: what is older goes, and does not come back."""
        for key in list(self._by_subject.get(subject, ())):
            if self._entries[key].version < version:
                self._drop(key)
        self._leave(subject, version)

    def stirred(self, subject: UUID, of: str) -> None:
        """What a call tells of somebody may have changed without a version: what was read until now does not do."""
        for key in [one for one in self._by_subject.get(subject, ()) if one[0] == of]:
            self._drop(key)
        now = self._clock()
        self._stirred.pop((of, subject), None)
        self._stirred[of, subject] = now
        while next(iter(self._stirred.values())) < now - SLOWEST:  # what began before then is not kept anyway
            self._stirred.popitem(last=False)

    def beat(self, at_ns: int) -> None:
        """Everything that was committed when it was `at_ns` has been heard."""
        if self._listening_since is not None:
            self._beat_ns = max(self._beat_ns, at_ns)

    def listening(self) -> None:
        """From now on everything is heard; what was before is not known."""
        self._clear()
        self._listening_since = self._clock()

    def deaf(self) -> None:
        """Nothing is heard any more."""
        self._clear()
        self._listening_since = None

    def registered(self, until: float) -> None:
        """The producer waits for this process, until then by `time.monotonic()`, before it takes access away."""
        now = self._clock()
        if self._registered_since is None or now > self._leased_until:
            self._clear()
            self._registered_since = now
        self._leased_until = max(self._leased_until, until)

    # Within.

    def _usable(self) -> bool:
        if not self.keeps or not self._strict:
            return self.keeps
        in_lease = self._clock() < self._leased_until - LAST_OF_LEASE
        return in_lease and self._wall_ns() < self._beat_ns + FRESH_NS

    def _drop(self, key: EntryKey) -> None:
        entry = self._entries.pop(key)
        del self._of[key[0]][key[1]]
        entry.goes()
        self.generation += 1
        self._went.append(key)
        self._timed -= entry.until_ms is not None
        self.size -= entry.size
        keys = self._by_subject[entry.subject]
        keys.discard(key)
        if not keys:
            del self._by_subject[entry.subject]

    def _leave(self, subject: UUID, version: int) -> None:
        self._forget_versions()
        left = self._left.pop(subject, None)
        self._left[subject] = (max(version, left[0] if left else 0), self._clock() + LEFT)

    def _forget_versions(self) -> None:
        now = self._clock()
        while self._left:
            subject, (_, until) = next(iter(self._left.items()))
            if until > now:
                return
            del self._left[subject]

    def _clear(self) -> None:
        for entry in self._entries.values():
            entry.goes()
        self._entries.clear()
        self._of.clear()
        self.generation += 1
        self._went.clear()
        self.gaps += 1
        self._by_subject.clear()
        self._timed = 0
        self.size = 0
        self._beat_ns = 0


def _as_new_as(reading: Reading, stamp: int) -> bool:
    """Whether it was read no earlier than what has this stamp: it is that very read, or it surely began later."""
    return reading.ended_ns == stamp or reading.began_ns - SKEW_NS >= stamp

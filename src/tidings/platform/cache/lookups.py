"""What was found for those who ask for many things, and ask again: then only what changed is looked up and ranked.

Entries are held, and not their values, which go with them.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Container, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from uuid import UUID

from tidings.platform.cache.kept import Ranking
from tidings.platform.cache.room import Room
from tidings.platform.cache.shelf import TOUCHED, Entry, EntryKey, Shelf
from tidings.platform.seen import Seen, merged

MANY: Final = 16  # keys; fewer are looked up as quickly
OF_A_KEY: Final = 300  # bytes that one takes here, where some of the entries are gone


class Found(NamedTuple):
    """What a shelf had of some keys, when it had that generation. `stamp`: when the last of it had been made."""

    values: Mapping[Hashable, Any]
    entries: Mapping[EntryKey, Entry]
    missing: Sequence[Hashable]
    stamp: int
    generation: int


@dataclass(slots=True)
class _Before:
    """What was found last. `entries` are replaced and never changed: answers that are being made hold them."""

    keys: Sequence[Hashable]
    entries: Mapping[EntryKey, Entry]
    missing: Sequence[Hashable]
    stamp: int
    generation: int  # of the shelf
    touched_at: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class _Ranked:
    """What was ranked last. `loose`: keys of which nothing is kept."""

    ask: Any
    ranking: Ranking
    entries: Mapping[EntryKey, Entry]
    loose: Sequence[Hashable]
    stamp: int
    generation: int
    touched_at: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class Again:
    """What was ranked before for the same ask, and the keys whose values have to be looked up since."""

    of: str
    limit: int
    ranking: Ranking
    entries: Mapping[EntryKey, Entry]  # of all other keys
    changed: Sequence[Hashable]
    stamp: int
    _held: dict[Any, Any] | None = None

    def values(self, things: Sequence[tuple[int, Any, int]], changed: Mapping[Any, Any]) -> dict[Any, Any]:
        """By key, of those that hold these things."""
        if self._held is not None:
            return {**self._held, **changed}
        return {**self._unchanged(things, changed), **changed}

    def hold(self) -> None:
        """Entries may go from now on. No more things come up from below than there are changes."""
        self._held = self._unchanged(self.ranking.things[: self.limit + len(self.changed)], set(self.changed))

    def _unchanged(self, things: Sequence[tuple[int, Any, int]], changed: Container[Any]) -> dict[Any, Any]:
        return {key: self.entries[self.of, key].value for _, key, _ in things if key not in changed}


class Lookups:
    """Of one shelf, by call and by who asks. They share its room, and the least recently used goes first."""

    def __init__(self, shelf: Shelf, room: Room) -> None:
        self._shelf = shelf
        self._gaps = shelf.gaps
        self._room = room
        room.enter(self)
        self._before: OrderedDict[tuple[str, UUID], _Before | _Ranked] = OrderedDict()
        self._keys = 0

    @property
    def size(self) -> int:
        return self._keys * OF_A_KEY

    def __len__(self) -> int:
        return len(self._before)

    def find(self, keys: Sequence[Hashable], known: Seen, *, of: str, who: UUID | None) -> Found:
        """What `shelf.find` gives."""
        shelf = self._shelf
        if who is None or len(keys) < MANY or not shelf.shows_all_to(known):
            return looked_up(shelf, keys, known, of)
        before = self._last(of, who)
        if not isinstance(before, _Before) or before.keys != keys:
            found = looked_up(shelf, keys, known, of)
            self._remember((of, who), _Before(keys, *found[1:]))
            return found
        changed = [(of, key) for key in before.missing]
        changed += _gone(shelf, before)
        if changed:
            _look_again(shelf, before, set(changed))
        before.generation = shelf.generation
        values = {key[1]: entry.value for key, entry in before.entries.items()}
        return Found(values, before.entries, before.missing, before.stamp, before.generation)

    def again(self, ask: Any, known: Seen, *, of: str, who: UUID | None) -> Again | None:
        """What was ranked for the very same ask, if most of it still stands for a client who knows that much."""
        shelf = self._shelf
        if who is None or not shelf.shows_all_to(known) or shelf.as_of_ns <= 0:
            return None
        before = self._last(of, who)
        if not isinstance(before, _Ranked) or before.ask != ask:
            return None
        gone = _gone(shelf, before)
        if not gone:
            before.generation = shelf.generation
            return Again(of, ask.limit, before.ranking, before.entries, before.loose, before.stamp)
        if len(gone) * 2 > len(before.entries):
            return None
        entries = dict(before.entries)
        for key in gone:
            entries.pop(key, None)
        changed = [*dict.fromkeys(key[1] for key in gone), *before.loose]
        return Again(of, ask.limit, before.ranking, entries, changed, before.stamp)

    def ranked(
        self, ask: Any, ranking: Ranking, keys: Sequence[Hashable], found: Found, *, of: str, who: UUID | None
    ) -> None:
        """Remember what was found of these keys and of those that have not changed since, and how it was ranked."""
        if who is None:
            return
        loose = [key for key in keys if (of, key) not in found.entries]
        if len(loose) > len(found.entries):
            return
        before = self._before.get((of, who))  # whose entries may not have been used for a while
        touched_at = time.monotonic() if before is None else before.touched_at
        ranked = _Ranked(ask, ranking, found.entries, loose, found.stamp, found.generation, touched_at)
        self._remember((of, who), ranked)

    def _last(self, of: str, who: UUID) -> _Before | _Ranked | None:
        if self._gaps != self._shelf.gaps:  # nothing of it is there any more
            self._before.clear()
            self._gaps, self._keys = self._shelf.gaps, 0
        before = self._before.get((of, who))
        if before is not None:
            self._before.move_to_end((of, who))
            if (now := time.monotonic()) - before.touched_at > TOUCHED:
                before.touched_at = now
                self._shelf.touch(before.entries.values())
        return before

    def shrink(self) -> None:
        """Whoever asked longest ago is forgotten."""
        self._forget(next(iter(self._before)))

    def _remember(self, key: tuple[str, UUID], before: _Before | _Ranked) -> None:
        self._forget(key)
        if _count(before) * OF_A_KEY > self._room.part:
            return
        self._before[key] = before
        self._keys += _count(before)
        self._room.settle()

    def _forget(self, key: tuple[str, UUID]) -> None:
        before = self._before.pop(key, None)
        if before is not None:
            self._keys -= _count(before)


def _count(before: _Before | _Ranked) -> int:
    return len(before.keys) if isinstance(before, _Before) else len(before.entries) + len(before.loose)


def _gone(shelf: Shelf, before: _Before | _Ranked) -> list[EntryKey]:
    """The keys of its entries that went since; one may come more than once."""
    went = shelf.generation - before.generation
    gone = shelf.gone_since(before.generation) if went < len(before.entries) else None
    if gone is None:
        return [key for key, entry in before.entries.items() if entry.gone]
    return [key for key in gone if key in before.entries]


def looked_up(shelf: Shelf, keys: Sequence[Hashable], known: Seen, of: str) -> Found:
    """What is there, and nothing remembered of it."""
    values, entries, missing = shelf.find(keys, known, of)
    stamps = [entry.reading.ended_ns for entry in entries]
    stamp = merged(max(stamps), min(stamps)) if stamps else 0
    return Found(values, {entry.key: entry for entry in entries}, missing, stamp, shelf.generation)


def _look_again(shelf: Shelf, before: _Before, changed: Iterable[EntryKey]) -> None:
    entries, missing = dict(before.entries), list[Hashable]()
    for key in changed:
        entry = shelf.get(key)
        if entry is None:
            missing.append(key[1])
            entries.pop(key, None)
        else:
            entries[key] = entry
            before.stamp = merged(before.stamp, entry.reading.ended_ns)
    before.entries, before.missing = entries, missing

"""What was found for those who ask for many things, and ask again: then only what changed is looked up.

Entries are held, and not their values, which go with them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import UUID

from tidings.platform.cache.shelf import Entry, EntryKey, Shelf
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


class Lookups:
    """Of one shelf, by call and by who asks; bounded in bytes, the least recently used goes first."""

    def __init__(self, shelf: Shelf, room: int) -> None:
        self._shelf = shelf
        self._gaps = shelf.gaps
        self._most = room // OF_A_KEY
        self._before: OrderedDict[tuple[str, UUID], _Before] = OrderedDict()
        self._keys = 0

    @property
    def size(self) -> int:
        return self._keys * OF_A_KEY

    def __len__(self) -> int:
        return len(self._before)

    def find(self, keys: Sequence[Hashable], known: Seen, *, of: str, who: UUID | None) -> Found:
        """What `shelf.find` gives."""
        shelf = self._shelf
        if who is None or len(keys) < MANY or not self._most or not shelf.shows_all_to(known):
            return looked_up(shelf, keys, known, of)
        if self._gaps != shelf.gaps:  # nothing of it is there any more
            self._before.clear()
            self._gaps, self._keys = shelf.gaps, 0
        before = self._before.get((of, who))
        gone = shelf.gone_since(before.generation) if before is not None else None
        if before is None or gone is None or before.keys != keys:
            found = looked_up(shelf, keys, known, of)
            self._remember((of, who), _Before(keys, *found[1:]))
            return found
        self._before.move_to_end((of, who))
        changed = [(of, key) for key in before.missing]
        changed += [key for key in gone if key in before.entries]
        if changed:
            _look_again(shelf, before, set(changed))
        before.generation = shelf.generation
        values = {key[1]: entry.value for key, entry in before.entries.items()}
        return Found(values, before.entries, before.missing, before.stamp, before.generation)

    def _remember(self, key: tuple[str, UUID], before: _Before) -> None:
        self._forget(key)
        self._before[key] = before
        self._keys += len(before.keys)
        while self._keys > self._most:
            self._forget(next(iter(self._before)))

    def _forget(self, key: tuple[str, UUID]) -> None:
        before = self._before.pop(key, None)
        if before is not None:
            self._keys -= len(before.keys)


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

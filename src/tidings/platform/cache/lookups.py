"""What was found for those who ask for many things, and ask again: then only what changed is looked up."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import UUID

from tidings.platform.cache.shelf import Entry, EntryKey, Shelf
from tidings.platform.seen import Seen

MANY: Final = 16  # keys; fewer are looked up as quickly
OF_A_KEY: Final = 250  # bytes that one takes here


class Found(NamedTuple):
    """What a shelf had of some keys, when it had that generation. `stamp`: when the last of it had been made."""

    values: Mapping[Hashable, Any]
    entries: Mapping[EntryKey, Entry]
    missing: Sequence[Hashable]
    stamp: int
    generation: int


@dataclass(slots=True)
class _Before:
    """What was found last. Its mappings are replaced and never changed: answers that are being made hold them."""

    keys: Sequence[Hashable]
    found: Found


class Lookups:
    """By call and by who asks; bounded in bytes, the least recently used goes first."""

    def __init__(self, room: int) -> None:
        self._most = room // OF_A_KEY
        self._before: OrderedDict[tuple[str, UUID], _Before] = OrderedDict()
        self._keys = 0

    @property
    def size(self) -> int:
        return self._keys * OF_A_KEY

    def __len__(self) -> int:
        return len(self._before)

    def find(self, shelf: Shelf, keys: Sequence[Hashable], known: Seen, *, of: str, who: UUID | None) -> Found:
        """What `shelf.find` gives."""
        if who is None or len(keys) < MANY or not shelf.shows_all_to(known):
            return _looked_up(shelf, keys, known, of)
        before = self._before.get((of, who))
        gone = shelf.gone_since(before.found.generation) if before is not None else None
        if before is None or gone is None or before.keys != keys:
            found = _looked_up(shelf, keys, known, of)
            self._remember((of, who), _Before(keys, found))
            return found
        self._before.move_to_end((of, who))
        had = before.found
        changed = [(of, key) for key in had.missing]
        changed += [key for key in gone if key in had.entries]
        if changed:
            before.found = _looked_again(shelf, had, set(changed))
        elif gone:
            before.found = had._replace(generation=shelf.generation)
        return before.found

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


def _looked_up(shelf: Shelf, keys: Sequence[Hashable], known: Seen, of: str) -> Found:
    values, entries, missing = shelf.find(keys, known, of)
    stamp = max([entry.reading.ended_ns for entry in entries], default=0)
    return Found(values, {entry.key: entry for entry in entries}, missing, stamp, shelf.generation)


def _looked_again(shelf: Shelf, had: Found, changed: Iterable[EntryKey]) -> Found:
    values, entries, stamp = dict(had.values), dict(had.entries), had.stamp
    missing: list[Hashable] = []
    for whole_key in changed:
        entry, key = shelf.get(whole_key), whole_key[1]
        if entry is None:
            missing.append(key)
            values.pop(key, None)
            entries.pop(whole_key, None)
        else:
            values[key], entries[whole_key] = entry.value, entry
            stamp = max(stamp, entry.reading.ended_ns)
    return Found(values, entries, missing, stamp, shelf.generation)

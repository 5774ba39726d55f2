"""Temporary data in this process alone: where there is no Valkey, each process has its own."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Final

MOST: Final = 100_000  # keys; beyond, those that ended are looked for


class InMemory:
    """`Temporary`."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, float]] = {}  # with when it ends, by time.monotonic()
        self._marks: dict[str, float] = {}

    async def add(self, counts: Mapping[str, int], *, seconds: int) -> dict[str, int]:
        now = time.monotonic()
        self._sweep(now)
        for key, count in counts.items():
            before, ends = self._counts.get(key, (0, 0.0))
            self._counts[key] = (before + count, ends) if ends > now else (count, now + seconds)
        return {key: self._counts[key][0] for key in counts}

    async def mark(self, keys: Collection[str], *, seconds: int) -> None:
        now = time.monotonic()
        self._sweep(now)
        self._marks.update(dict.fromkeys(keys, now + seconds))

    async def marked(self, keys: Collection[str]) -> set[str]:
        now = time.monotonic()
        return {key for key in keys if self._marks.get(key, 0.0) > now}

    def _sweep(self, now: float) -> None:
        if len(self._counts) + len(self._marks) > MOST:
            self._counts = {key: one for key, one in self._counts.items() if one[1] > now}
            self._marks = {key: ends for key, ends in self._marks.items() if ends > now}

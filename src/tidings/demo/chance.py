"""Chance that comes out the same on every machine: draws and identifiers made from a key."""

from __future__ import annotations

import random
from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar
from uuid import UUID

from tidings.platform.ids import uuid7

Item = TypeVar("Item")


def digest_of(*key: object) -> int:
    """128 bits made of the key's parts; the same parts always give the same bits."""
    parts = (part.hex() if isinstance(part, bytes) else str(part) for part in key)
    return int.from_bytes(blake2b("\x1f".join(parts).encode(), digest_size=16).digest(), "big")


def made_id(ms: int, *key: object, rand_a: int | None = None) -> UUID:
    """The UUIDv7 of that millisecond whose other bits are made of the key."""
    bits = digest_of(*key)
    return uuid7(ms, rand_a=bits >> 116 if rand_a is None else rand_a, rand_b=bits & (1 << 62) - 1)


class Chance:
    """Seeded draws.

    Only `Random.random()` is promised to stay the same from one Python to the next
    (docs.python.org/3/library/random.html, "Notes on Reproducibility"), so everything is made from it.
    """

    def __init__(self, *key: object) -> None:
        self.draw = random.Random(digest_of(*key)).random  # noqa: S311  # nothing secret is made of it

    def below(self, bound: int) -> int:
        """A whole number from 0 to `bound - 1`."""
        return int(self.draw() * bound)

    def one_of(self, items: Sequence[Item]) -> Item:
        return items[int(self.draw() * len(items))]

    def some_of(self, items: Sequence[Item], count: int) -> list[Item]:
        """`count` different ones, or all if there are fewer."""
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in range(min(count, len(left)))]

    def happens(self, share: float) -> bool:
        return self.draw() < share

"""Identifiers: UUIDv7 (RFC 9562), and the bucket that a message id carries so that a read by id can be routed."""

from __future__ import annotations

import secrets
from functools import lru_cache
from hashlib import blake2b
from uuid import UUID


def bucket_of(author: UUID) -> int:
    """The bucket, 0 to 4095, in which all messages of `author` lie."""
    return _bucket(author.int)


@lru_cache(maxsize=16_384)  # a few megabytes; readers of many authors wait for this
def _bucket(author: int) -> int:
    return int.from_bytes(blake2b(author.to_bytes(16, "big"), digest_size=2).digest(), "big") >> 4


def uuid7(ms: int, *, rand_a: int | None = None, rand_b: int | None = None) -> UUID:
    """A UUIDv7 of the given millisecond. `rand_a` (12 bits) and `rand_b` (62 bits) are random if not given."""
    high = secrets.randbits(12) if rand_a is None else rand_a
    low = secrets.randbits(62) if rand_b is None else rand_b
    return UUID(int=(ms & (1 << 48) - 1) << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low)


def ms_of(identifier: UUID) -> int:
    """The millisecond in which a UUIDv7 was made."""
    return identifier.int >> 80


def bucket_in(message_id: UUID) -> int:
    """The bucket that a message id carries: its author's, or for a reply its parent's."""
    return message_id.int >> 64 & 0xFFF


def first_of(ms: int) -> UUID:
    """The smallest id that can be made in `ms`: a bound for keyset reads."""
    return uuid7(ms, rand_a=0, rand_b=0)

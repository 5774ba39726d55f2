"""A cache's registration with a producer, which waits for it before it takes access away."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from msgspec import Meta

from tidings.platform.contract import Call, Nothing, Value

LEASE: Final = 5.0  # seconds; a process that died is waited for as long, a second at each write that takes away
REMOVED_WITHIN: Final = 1.0  # seconds after a commit, by when no cache uses what is older, whoever was told


class Registration(Value, frozen=True):
    """A cache in some process, and for how many seconds it may be waited for; 0: no more."""

    cache: UUID
    holder: str
    seconds: Annotated[float, Meta(ge=0, le=60)] = LEASE


def register_of(producer: str, holder: str) -> Call[Registration, Nothing]:
    """The call that every producer's contract lists for those who keep its answers."""
    # Without it a cache answers nothing, and everybody asks the producer: not while it has too much to do already.
    return Call(f"{producer}/register_cache", Registration, Nothing, callers={holder}, guarded=False)

"""What a producer says and nobody keeps: events in passing, how far all is told, what caches must drop at once."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import msgspec

BEAT: Final = "_beat"
PASSING: Final = "_event"  # one that is not durable
REMOVAL: Final = "_removal"


class Beat(msgspec.Struct, frozen=True):
    """Whatever was committed when the producer's clock said `at_ns` (since 1970) has been told.

    `number` counts the beats of one relay; `told` is how many events it has sent since the one before, or None
    where it is not sure. Who counts otherwise has missed some.
    """

    relay: UUID
    number: int
    at_ns: int
    told: int | None


class Removal(msgspec.Struct, frozen=True):
    """Subjects and versions: what is older must not be shown any more. Answered by the id of each cache."""

    gone: list[tuple[UUID, int]]


def beat_subject(producer: str) -> str:
    return f"{producer}.{BEAT}"


def passing_subject(producer: str) -> str:
    return f"{producer}.{PASSING}"


def removal_subject(producer: str) -> str:
    return f"{producer}.{REMOVAL}"

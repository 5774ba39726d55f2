"""Something that happened: a row of a service's outbox, as the bus and those who react see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta

from tidings.platform.contract import Event, Value

Body = TypeVar("Body", bound=Value)


class Occurred(Value, frozen=True):
    """An event as it travels. `id` is the outbox's, under which each effect is made once."""

    id: UUID
    event: str  # its name
    subject: UUID  # whose version rose
    version: int
    body: msgspec.Raw  # the event's body, in JSON
    trace: str | None = None  # traceparent of the change


class OccurredAsk(Value, frozen=True):
    """Published events of these names, in the order of publication, after a place in it."""

    events: list[str]
    after: str = ""
    older_than: Annotated[float, Meta(ge=0)] = 60.0  # seconds since publication
    limit: Annotated[int, Meta(ge=1, le=1000)] = 500


class OccurredPage(Value, frozen=True):
    """`after` is where the next page begins; the same as was asked when nothing was published since.

    What has other names is passed over: it moves on also when there is no event to tell of.
    """

    occurred: list[Occurred]
    after: str


class DeadLetter(Value, frozen=True):
    """An event that a service gave up on: it raised each time."""

    occurred: Occurred
    producer: str
    error: str
    attempts: int
    dead_ms: int


class DeadLetters(Value, frozen=True):
    """What was set aside, the oldest first."""

    letters: list[DeadLetter]


class EventId(Value, frozen=True):
    """Which event."""

    id: UUID


class Replay(Value, frozen=True):
    """What came of a replay: `done`, or the error that it raised again."""

    done: bool
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Occurrence(Generic[Body]):
    """What a reaction gets: the event, and its body decoded."""

    id: UUID
    event: Event
    subject: UUID
    version: int
    body: Body

"""timeline: what one's friends said, composed from three services."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tidings.contracts.messages import MessageId
from tidings.contracts.users import Cursor, Limit, UserCard, UserId
from tidings.platform.contract import BadCursor, Invalid, Route, Unavailable, Value

# A contracts.messages.Message, already encoded: it is spliced into the answer and never decoded.
MessageJson = Annotated[msgspec.Raw, Meta(extra_json_schema={"$ref": "#/components/schemas/Message"})]
# NOTE: Python's $ also matches before a last newline; (?!\n) after it does not let that pass.
Point = Annotated[str, Meta(max_length=60, pattern=r"^-?[0-9]{1,3}(\.[0-9]+)?,-?[0-9]{1,3}(\.[0-9]+)?$(?!\n)")]


class Omitted(Value, frozen=True):
    """How much is left out, and why: `gone` (deleted, suspended or hidden), `muted` by oneself, `unavailable`."""

    gone: int = 0
    muted: int = 0
    unavailable: int = 0


class TimelineAsk(Value, frozen=True):
    """Rules of the timeline. `max_age` is in seconds; `near` is `latitude,longitude` and goes with `within_km`."""

    per_friend: Annotated[int, Meta(ge=1, le=10)] = 1
    max_age: Annotated[int, Meta(ge=1, le=3_153_600_000)] | None = None
    has: Literal["media"] | None = None
    near: Point | None = None
    within_km: Annotated[float, Meta(gt=0, le=20_040)] | None = None
    limit: Limit = 50
    cursor: Cursor | None = None
    explain: Annotated[int, Meta(ge=0, le=1)] = 0


class Entry(Value, frozen=True):
    """A friend and what they said last, newest first."""

    author: UserCard
    messages: list[MessageJson]


class Explained(Value, frozen=True):
    """One's own rules as they were applied, in words."""

    rules: list[str]


class Timeline(Value, frozen=True):
    """`newer`: how many friends said something since page one (on later pages).

    `unreachable` names services that did not answer: what would have come from them is missing.
    """

    entries: list[Entry]
    omitted: Omitted
    unreachable: list[str]
    newer: int = 0
    next_cursor: str | None = None
    explain: Explained | None = None


class FeedAsk(Value, frozen=True):
    """A page of the feed; the cursors of an answer lead both ways.

    With `at`, it begins with that message, or with the next older one where that is not shown.
    """

    limit: Limit = 20
    cursor: Cursor | None = None
    at: MessageId | None = None


class FeedItem(Value, frozen=True):
    author: UserCard
    message: MessageJson


class Feed(Value, frozen=True):
    """Newest first. `next_cursor` leads to older messages, `previous_cursor` to newer ones: ask again with it."""

    items: list[FeedItem]
    omitted: Omitted
    unreachable: list[str]
    next_cursor: str | None = None
    previous_cursor: str | None = None


get_timeline = Route(
    "timeline/get_timeline",
    "GET",
    "/v1/timeline",
    TimelineAsk,
    Timeline,
    "The latest message of each friend, with name and avatar",
    refusals=(Invalid, BadCursor, Unavailable),
    can_wait=True,
    callers={"web"},
)
get_feed = Route(
    "timeline/get_feed",
    "GET",
    "/v1/feed",
    FeedAsk,
    Feed,
    "Every message of friends and oneself, newest first",
    refusals=(Invalid, BadCursor, Unavailable),
    can_wait=True,
    callers={"web"},
)


# Who is online: who holds a live stream, or held one within the last minute.


class PresenceAsk(Value, frozen=True):
    """Which friends; without `ids`, all of them."""

    ids: Annotated[list[UserId], Meta(max_length=100)] = []


class Presence(Value, frozen=True):
    """Those of them who are online, and let it be seen; of nobody else is anything said."""

    online: list[UserId]


get_presence = Route(
    "timeline/get_presence",
    "GET",
    "/v1/presence",
    PresenceAsk,
    Presence,
    "Which friends are online",
    refusals=(Unavailable,),
    can_wait=True,
    callers={"web"},
)


# The live stream. It carries that something changed, never what: a client reads again, and is checked again.

Concern = Literal["timeline", "replies", "reactions", "friends", "notifications"]


class StreamAsk(Value, frozen=True):
    """`last_event_id` is the id of the last event received; a browser sends it as the header Last-Event-ID."""

    last_event_id: Annotated[str, Meta(max_length=64)] | None = None


class Heard(Value, frozen=True):
    """The data of a stream's event: what to read again; with `resync`, everything. `last` is the event's id.

    `seen` is added on the way out: with it as the header Tidings-Seen, what is read is as new as the event.
    """

    last: str
    changed: list[Concern] = []
    resync: bool = False
    seen: str | UnsetType = UNSET


stream = Route(
    "timeline/stream",
    "GET",
    "/v1/stream",
    StreamAsk,
    Heard,
    "Server-sent events that say what changed",
    refusals=(Unavailable,),
    content_type="text/event-stream",
)

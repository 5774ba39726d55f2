"""notifications: what concerns one person, made only from events."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from tidings.contracts.messages import Message, MessageId
from tidings.contracts.users import Cursor, Limit, UserCard, UserId
from tidings.platform.clock import Instant
from tidings.platform.contract import Call, Event, Nothing, Route, Value
from tidings.platform.export import Export
from tidings.platform.occurrence import DeadLetters, EventId, Replay

Kind = Literal["friend_request", "friend_acceptance", "reply", "mention", "reaction"]


# Of one person, for that person.


export = Export(
    "notifications",
    callers={"users"},
    files={
        "notifications.json": "what you were told, by whom and about which message if you may see them",
        "read_mark.json": "up to when you have read your notifications",
    },
)


class Unread(Value, frozen=True):
    """Whether anything came since one has read."""

    unread: bool


unread = Call("notifications/unread", Nothing, Unread, safe=True, callers={"web"})


# What the operator asks.


dead_letters = Call("notifications/dead_letters", Nothing, DeadLetters, safe=True, callers={"cli"})
replay_event = Call("notifications/replay_event", EventId, Replay, callers={"cli"})  # refuses with NotFound


# Events.


class NotificationsChanged(Value, frozen=True):
    """Read one's notifications again."""

    user_id: UserId
    version: int


changed = Event("notifications.changed", NotificationsChanged, durable=False)


# Public routes.


class NotificationsAsk(Value, frozen=True):
    limit: Limit = 20
    cursor: Cursor | None = None


class Group(Value, frozen=True):
    """What belongs together: all reactions to one message, all replies to one, one request.

    `people` are up to five of the `count` who did it, newest first. `message` is what was reacted to, the newest
    reply, or what mentions you.
    """

    kind: Kind
    people: list[UserCard]
    count: int
    at: Instant  # of the newest
    unread: bool
    message: Message | None = None
    reply_to: MessageId | None = None  # yours, for replies


class Notifications(Value, frozen=True):
    """Newest first. Without messages reachable (`unreachable`), only what needs none is shown."""

    notifications: list[Group]
    unread: bool  # whether anything newer than `read_until` is on this page
    read_until: Instant | None
    unreachable: list[str]
    next_cursor: str | None = None


class NewMark(Value, frozen=True):
    """Everything up to this moment has been read: the `at` of the newest that was shown."""

    read_until: Annotated[datetime, Meta(tz=True)]


class MarkRead(Value, frozen=True):
    body: NewMark


class ReadMark(Value, frozen=True):
    """Up to when all has been read."""

    read_until: Instant


list_notifications = Route(
    "notifications/list_notifications",
    "GET",
    "/v1/notifications",
    NotificationsAsk,
    Notifications,
    "What concerns oneself, grouped",
    callers={"web"},
)
mark_read = Route(
    "notifications/mark_read",
    "PATCH",
    "/v1/notifications",
    MarkRead,
    ReadMark,
    "Mark what was read; an earlier mark changes nothing",
    callers={"web"},
)

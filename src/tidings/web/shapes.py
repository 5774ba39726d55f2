"""What others give as ready JSON, as the pages read it."""

from __future__ import annotations

from tidings.contracts.messages import Audience, Media, Message, Place, ReactionCount
from tidings.contracts.timeline import Omitted
from tidings.contracts.users import UserCard
from tidings.platform.clock import Instant
from tidings.platform.contract import Value


class Author(Value, frozen=True):
    """contracts.users.UserCard, its id as it is written: fifty of them are written again."""

    id: str
    handle: str
    name: str
    avatar: str


class Said(Value, frozen=True):
    """contracts.messages.Message, its ids as they are written."""

    id: str
    author_id: str
    text: str
    media: list[Media]
    place: Place | None
    mentions: list[str]
    tags: list[str]
    audience: Audience
    created_at: Instant
    edited_at: Instant | None
    reply_to: str | None
    version: int


class Entry(Value, frozen=True):
    author: Author
    messages: list[Said]


class Timeline(Value, frozen=True):
    """contracts.timeline.Timeline, its messages decoded."""

    entries: list[Entry]
    omitted: Omitted
    unreachable: list[str]
    newer: int = 0
    next_cursor: str | None = None
    explain: None = None


class FeedItem(Value, frozen=True):
    author: UserCard
    message: Message


class Feed(Value, frozen=True):
    """contracts.timeline.Feed, its messages decoded."""

    items: list[FeedItem]
    omitted: Omitted
    unreachable: list[str]
    next_cursor: str | None = None
    previous_cursor: str | None = None


class Seen(Value, frozen=True):
    """A message as a page shows it. Without `reactions` and `replies`, nobody could count them just now."""

    author: UserCard
    message: Message
    reactions: list[ReactionCount] | None = None
    replies: int | None = None

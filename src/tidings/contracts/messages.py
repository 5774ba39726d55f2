"""messages: JSON documents, their replies and reactions, and bulk reads by author."""

from __future__ import annotations

from typing import Annotated, Final, Literal, NewType
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tidings.contracts.users import (
    Branch,
    Branches,
    Cursor,
    Imported,
    Limit,
    Removal,
    TransactionsAsk,
    UserCard,
    UserId,
    Vote,
)
from tidings.platform.cache.registration import Registration
from tidings.platform.clock import Instant
from tidings.platform.contract import Call, Event, Invalid, NotFound, Nothing, Refusal, Route, Stale, Value
from tidings.platform.export import Export
from tidings.platform.occurrence import OccurredAsk, OccurredPage

MessageId = NewType("MessageId", UUID)
MediaId = NewType("MediaId", UUID)

LOWEST: Final = MessageId(UUID(int=0))
HIGHEST: Final = MessageId(UUID(int=(1 << 128) - 1))

Text = Annotated[str, Meta(max_length=5000)]
Alt = Annotated[str, Meta(max_length=1500, description="what a picture shows, in words")]
Tag = Annotated[str, Meta(min_length=1, max_length=50, pattern=r"^\w+$(?!\n)")]
Emoji = Annotated[str, Meta(min_length=1, max_length=16, pattern=r"^\S+$(?!\n)")]
Audience = Literal["friends", "public", "only"]
Latitude = Annotated[float, Meta(ge=-90, le=90)]
Longitude = Annotated[float, Meta(ge=-180, le=180)]
Authors = Annotated[list[UserId], Meta(max_length=5001)]

RECENT: Final = 5  # messages of each author, for who keeps them
DEEPER: Final = (
    21  # messages of an author who says much, for who keeps them: one more than a page has if none is asked for
)
MessageIds = Annotated[list[MessageId], Meta(max_length=100)]


class EmptyMessage(Refusal, code="empty_message", status=422, title="Nothing to say"):
    """A message has text or media."""


class AudienceMismatch(Refusal, code="audience_mismatch", status=422, title="Audience and names do not fit"):
    """`only` goes with at least one name, and names go with `only`."""


class TooManyReactions(Refusal, code="too_many_reactions", status=409, title="Too many reactions"):
    """One person may leave up to 20 different reactions on a message."""


# The document.


class Media(Value, frozen=True):
    """What a message says of a picture, film or sound; the media themselves are another service's."""

    media_id: MediaId
    kind: Literal["image", "video", "audio"]
    width: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    height: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    alt: Alt = ""
    blurhash: Annotated[str, Meta(max_length=100)] = ""


class NewMedia(Value, frozen=True):
    """A picture of one's own, uploaded before. Without `alt`, what was said of it when it was uploaded."""

    media_id: MediaId
    alt: Alt | None = None


class Place(Value, frozen=True):
    """Where; degrees (WGS 84), rounded to what the author chose to tell before it is stored."""

    latitude: Latitude
    longitude: Longitude
    name: Annotated[str, Meta(max_length=100)] = ""


class NewPlace(Value, frozen=True):
    """`decimals` is the precision kept: 2 is about a kilometre, 0 about a hundred."""

    latitude: Latitude
    longitude: Longitude
    name: Annotated[str, Meta(max_length=100)] = ""
    decimals: Annotated[int, Meta(ge=0, le=5)] = 2


class Message(Value, frozen=True):
    """A message as everybody who may see it sees it. `place` is shown to friends and oneself only."""

    id: MessageId
    author_id: UserId
    text: str
    media: list[Media]
    place: Place | None
    mentions: list[UserId]
    tags: list[str]
    audience: Audience
    created_at: Instant
    edited_at: Instant | None
    reply_to: MessageId | None
    version: int


# Internal calls.


class Near(Value, frozen=True):
    """Within `within_km` of a point, by great-circle distance."""

    latitude: Latitude
    longitude: Longitude
    within_km: Annotated[float, Meta(gt=0, le=20_040)]


class Rules(Value, frozen=True):
    """Which messages count: the latest message is the latest one that satisfies them all."""

    since_ms: int | None = None
    has_media: bool = False
    near: Near | None = None


class LatestAsk(Value, frozen=True):
    """The newest `per_author` messages of each author that the viewer may see.

    `friends` are believed to be the viewer's friends (only listed callers ask); of `others` public messages
    and those addressed to the viewer are given. Authors come by their newest message, newest first; only those
    whose newest is older than `before`, and at most `limit`. `as_of_ms`: leave out what is younger. Whoever keeps
    the answer (`to_keep`) is given the newest one of all `friends`, whatever else is asked.
    """

    friends: Authors
    others: Authors
    per_author: Annotated[int, Meta(ge=1, le=10)] = 1
    rules: Rules = Rules()
    as_of_ms: int | None = None
    before: MessageId | None = None
    limit: Annotated[int, Meta(ge=1, le=5001)] = 50
    to_keep: bool = False


class AuthorLatest(Value, frozen=True):
    """One author's newest messages, newest first, as JSON that is spliced and never decoded."""

    author_id: UserId
    newest_id: MessageId
    messages: list[msgspec.Raw]


class AuthorAsOf(Value, frozen=True):
    """The author's version when their latest was read, and whether every friend of theirs is shown the same."""

    author_id: UserId
    version: int
    same_for_friends: bool


class Latest(Value, frozen=True):
    """`more`: there are authors beyond `limit`. `newer`: how many authors said something after `as_of_ms`.

    `as_of`, for those who keep the answer (`to_keep`): of each of `friends`, also of those who said nothing.
    """

    authors: list[AuthorLatest]
    more: bool = False
    newer: int = 0
    as_of: list[AuthorAsOf] = []


class PageByAuthorsAsk(Value, frozen=True):
    """Messages of many authors in one order, newest first.

    At most one of `before` and `after`. With `after`, the page is the `limit` oldest of those that are younger,
    without those in `seen`. The viewer's own messages are all given if the viewer is among `friends`. Whoever keeps
    the answer (`to_keep`) is given the newest few of each author instead, however many that are, and the newest
    `DEEPER` of each of `deeper`, who are believed to be friends, too.
    """

    friends: Authors
    others: Authors
    before: MessageId | None = None
    after: MessageId | None = None
    seen: list[MessageId] = []
    limit: Limit = 20
    to_keep: bool = False
    deeper: Authors = []


class PageItem(Value, frozen=True):
    id: MessageId
    author_id: UserId
    message: msgspec.Raw


class AuthorRecents(Value, frozen=True):
    """An author's newest few, newest first, as of which version, and whether all friends are shown the same.

    `down_to`: what they said before it was left out; None: nothing was.
    """

    author_id: UserId
    version: int
    same_for_friends: bool
    down_to: MessageId | None
    items: list[PageItem]


class PageByAuthors(Value, frozen=True):
    """`read_at_ms`: the service's clock before the read began; later ids may still be on their way.

    Who keeps the answer (`to_keep`) is given `recents` of each author instead of items, and `deeper` of those.
    """

    items: list[PageItem]
    more: bool
    read_at_ms: int
    recents: list[AuthorRecents] = []
    deeper: list[AuthorRecents] = []


class AuthorPagesAsk(Value, frozen=True):
    """The newest `DEEPER` messages of each, for a cache of messages' own (`to_keep`); else there is nothing."""

    ids: Authors
    to_keep: bool = False


class CountedMessage(Value, frozen=True):
    """A message as JSON that is spliced, and how often it was answered and reacted to."""

    id: MessageId
    message: msgspec.Raw
    replies: int
    reactions: dict[str, int]


class AuthorPage(Value, frozen=True):
    """An author's newest messages, newest first, as of a version of theirs, as friends are shown them.

    `named` are shown more of the same time, and so is the author if there is anybody: what is for them alone. None:
    that is so much that it does not tell for whom.
    """

    as_of: int
    newest: list[CountedMessage]
    named: list[UserId] | None


class ByMessageIds(Value, frozen=True):
    """Which messages."""

    ids: Annotated[list[MessageId], Meta(max_length=1000)]


class ImportedMessage(Value, frozen=True):
    """`id` is minted by the importer and carries the author's bucket."""

    id: MessageId
    author_id: UserId
    text: Text
    media: list[Media] = []
    place: Place | None = None
    mentions: list[UserId] = []
    tags: list[Tag] = []
    audience: Literal["friends", "public"] = "friends"


class ImportMessages(Value, frozen=True):
    """One batch, one transaction. Messages that are there already stay as they are."""

    messages: Annotated[list[ImportedMessage], Meta(max_length=5000)]


latest_by_authors = Call("messages/latest_by_authors", LatestAsk, Latest, safe=True, callers={"timeline"})
page_by_authors = Call("messages/page_by_authors", PageByAuthorsAsk, PageByAuthors, safe=True, callers={"timeline"})
by_ids: Call[ByMessageIds, dict[MessageId, Message]] = Call(
    "messages/by_ids", ByMessageIds, dict[MessageId, Message], safe=True, callers={"notifications", "media"}
)  # what the viewer may not see is absent
# messages asks itself for what it keeps; a limit on calls would count each request twice.
author_pages: Call[AuthorPagesAsk, dict[UserId, AuthorPage]] = Call(
    "messages/author_pages",
    AuthorPagesAsk,
    dict[UserId, AuthorPage],
    safe=True,
    callers={"messages"},
    guarded=False,
)
register_cache = Call(
    "messages/register_cache", Registration, Nothing, callers={"timeline", "edge", "messages"}, guarded=False
)
occurrences = Call(
    "messages/occurrences", OccurredAsk, OccurredPage, safe=True, callers={"notifications", "media"}, guarded=False
)
export = Export(
    "messages",
    callers={"users"},
    files={
        "messages.json": "your messages, with place, mentions, tags, and whom each is for",
        "replies.json": "your replies, in the same form; what they answer is named by its id alone",
        "earlier.json": "what your messages and replies said before you edited them",
        "reactions.json": "the reactions that you left, by the ids of the messages",
        "withdrawn.json": "the ids of messages and replies that you deleted, kept so that nothing brings them back",
    },
)
import_messages = Call("messages/import_messages", ImportMessages, Imported, callers={"cli"}, deadline=30.0)

# Not guarded: the coordinator has deadlines of its own, and who is not told of the outcome keeps its locks.
prepare_removal = Call("messages/prepare_removal", Removal, Vote, callers={"users"}, guarded=False)
commit_removal = Call("messages/commit_removal", Removal, Branch, callers={"users"}, guarded=False)
abort_removal = Call("messages/abort_removal", Removal, Branch, callers={"users"}, guarded=False)
branches = Call("messages/branches", TransactionsAsk, Branches, safe=True, callers={"cli"})


# Events. `version` is that of the author's own messages, taken under the author's fence.


class MessageChanged(Value, frozen=True):
    """Read the message again. `mentions` and `media` are ids, no content."""

    message_id: MessageId
    author_id: UserId
    version: int
    reply_to: MessageId | None = None
    reply_to_author: UserId | None = None
    mentions: list[UserId] = []
    media: list[MediaId] = []  # that the message shows, as it is now


class MessagesImported(Value, frozen=True):
    """Read the author's messages again. Those that mention or show something are `posted` one by one instead."""

    author_id: UserId
    version: int


class ReactionChanged(Value, frozen=True):
    message_id: MessageId
    author_id: UserId  # of the message
    user_id: UserId  # who reacted
    version: int
    left: int = 1  # how many reactions of theirs are on it now


class AuthorRemoved(Value, frozen=True):
    """Somebody is gone: nothing of theirs is shown any more, and it is erased soon."""

    author_id: UserId
    version: int


posted = Event(
    "messages.posted",
    MessageChanged,
    durable=("reply_to", "mentions", "media"),
    stirs=("reply_to_author",),
)
imported = Event("messages.imported", MessagesImported)
edited = Event("messages.edited", MessageChanged, takes_away=True)
withdrawn = Event("messages.withdrawn", MessageChanged, takes_away=True, stirs=("reply_to_author",))
reacted = Event("messages.reacted", ReactionChanged, stirs=("author_id",))
unreacted = Event("messages.unreacted", ReactionChanged, stirs=("author_id",))
author_removed = Event("messages.author_removed", AuthorRemoved, takes_away=True)


# Public routes.


class NewMessage(Value, frozen=True):
    """What one writes. `only` names who may see it when `audience` is `only`."""

    text: Text = ""
    media: Annotated[list[NewMedia], Meta(max_length=10)] = []
    place: NewPlace | None = None
    mentions: Annotated[list[UserId], Meta(max_length=50)] = []
    tags: Annotated[list[Tag], Meta(max_length=20)] = []
    audience: Audience = "friends"
    only: Annotated[list[UserId], Meta(max_length=100)] = []


class Post(Value, frozen=True):
    body: NewMessage


class MessagePatch(Value, frozen=True):
    """A merge patch (RFC 7396); `place: null` removes the place."""

    text: Text | UnsetType = UNSET
    media: Annotated[list[NewMedia], Meta(max_length=10)] | UnsetType = UNSET
    place: NewPlace | UnsetType | None = UNSET
    mentions: Annotated[list[UserId], Meta(max_length=50)] | UnsetType = UNSET
    tags: Annotated[list[Tag], Meta(max_length=20)] | UnsetType = UNSET
    audience: Audience | UnsetType = UNSET
    only: Annotated[list[UserId], Meta(max_length=100)] | UnsetType = UNSET


class Edit(Value, frozen=True):
    message_id: MessageId
    body: MessagePatch


class FindMessages(Value, frozen=True):
    """Either `ids`, or one `author` (newest first, with `tag` only those that carry it)."""

    ids: MessageIds | None = None
    author: UserId | None = None
    tag: Tag | None = None
    limit: Limit = 20
    cursor: Cursor | None = None


class OneMessage(Value, frozen=True):
    message_id: MessageId


class RepliesAsk(Value, frozen=True):
    """From the oldest on, from where a cursor leads, or from the reply `at` on."""

    message_id: MessageId
    limit: Limit = 20
    cursor: Cursor | None = None
    at: MessageId | None = None


class ReplyTo(Value, frozen=True):
    """A reply is seen by those who see its parent, unless its own audience is narrower."""

    message_id: MessageId
    body: NewMessage


class OneReaction(Value, frozen=True):
    message_id: MessageId
    emoji: Emoji


class ReactionCount(Value, frozen=True):
    emoji: str
    count: int
    mine: bool


class Shown(Value, frozen=True):
    """A message with its author. Replies and reactions are counted as stored."""

    author: UserCard
    message: Message
    reactions: list[ReactionCount]
    replies: int


class Messages(Value, frozen=True):
    messages: list[Shown]
    next_cursor: str | None = None


class Version(Value, frozen=True):
    """What a message said before an edit."""

    version: int
    text: str
    media: list[Media]
    until: Instant


class History(Value, frozen=True):
    """Earlier versions, newest first."""

    versions: list[Version]


class Reaction(Value, frozen=True):
    emoji: str
    user: UserCard
    created_at: Instant


class Reactions(Value, frozen=True):
    reactions: list[Reaction]


find_messages = Route(
    "messages/find_messages",
    "GET",
    "/v1/messages",
    FindMessages,
    Messages,
    "Messages by ids or by author",
    refusals=(Invalid,),
    can_wait=True,
    callers={"web"},
)
post = Route(
    "messages/post",
    "POST",
    "/v1/messages",
    Post,
    Message,
    "Post a message",
    status=201,
    idempotency=True,
    refusals=(EmptyMessage, AudienceMismatch),
    callers={"web"},
)
get_message = Route(
    "messages/get_message",
    "GET",
    "/v1/messages/{message_id}",
    OneMessage,
    Shown,
    "A message",
    refusals=(NotFound,),
    callers={"web"},
)
edit = Route(
    "messages/edit",
    "PATCH",
    "/v1/messages/{message_id}",
    Edit,
    Message,
    "Edit a message of one's own",
    refusals=(NotFound, Stale, EmptyMessage, AudienceMismatch),
    conditional=True,
    callers={"web"},
)
withdraw = Route(
    "messages/withdraw",
    "DELETE",
    "/v1/messages/{message_id}",
    OneMessage,
    Nothing,
    "Delete a message of one's own",
    status=204,
    refusals=(NotFound, Stale),
    conditional=True,
    callers={"web"},
)
history = Route(
    "messages/history",
    "GET",
    "/v1/messages/{message_id}/history",
    OneMessage,
    History,
    "What it said before",
    refusals=(NotFound,),
    can_wait=True,
    callers={"web"},
)
list_replies = Route(
    "messages/list_replies",
    "GET",
    "/v1/messages/{message_id}/replies",
    RepliesAsk,
    Messages,
    "Replies, oldest first",
    refusals=(NotFound,),
    can_wait=True,
    callers={"web"},
)
reply = Route(
    "messages/reply",
    "POST",
    "/v1/messages/{message_id}/replies",
    ReplyTo,
    Message,
    "Reply",
    status=201,
    idempotency=True,
    refusals=(NotFound, EmptyMessage, AudienceMismatch),
    callers={"web"},
)
list_reactions = Route(
    "messages/list_reactions",
    "GET",
    "/v1/messages/{message_id}/reactions",
    OneMessage,
    Reactions,
    "Who reacted how",
    refusals=(NotFound,),
    can_wait=True,
    callers={"web"},
)
react = Route(
    "messages/react",
    "PUT",
    "/v1/messages/{message_id}/reactions/{emoji}",
    OneReaction,
    Nothing,
    "React",
    status=204,
    refusals=(NotFound, TooManyReactions),
    callers={"web"},
)
unreact = Route(
    "messages/unreact",
    "DELETE",
    "/v1/messages/{message_id}/reactions/{emoji}",
    OneReaction,
    Nothing,
    "Take a reaction back",
    status=204,
    refusals=(NotFound,),
    callers={"web"},
)

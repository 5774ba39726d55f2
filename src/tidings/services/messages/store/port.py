"""What the service asks of its store, whichever engine answers: reads, and writes within one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Literal, Protocol
from uuid import UUID

import msgspec

from tidings.contracts.messages import Audience, Media, MessageId, Place
from tidings.contracts.users import UserId
from tidings.platform.contract import Event, Route, Value
from tidings.platform.ids import ms_of
from tidings.platform.telling import Telling
from tidings.platform.twophase.failpoints import Failpoints
from tidings.platform.twophase.participant import Participant

Standing = Literal["own", "friend", "other", "hidden"]
Span = tuple[float, float]

# `gc=False`: thousands live for one answer, in no cycle, and the collector would walk them all.


class Document(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message or reply at rest. `ancestors` is the thread above a reply, from its first message to the parent."""

    id: MessageId
    author_id: UserId
    version: int = 1
    text: str
    media: list[Media]
    place: Place | None
    mentions: list[UserId]
    tags: list[str]
    audience: Audience
    only: list[UserId]
    edited_ms: int | None = None
    ancestors: list[MessageId] = []

    @property
    def parent(self) -> MessageId | None:
        """What it replies to."""
        return self.ancestors[-1] if self.ancestors else None

    @property
    def created_ms(self) -> int:
        """Milliseconds since 1970, as its id says."""
        return ms_of(self.id)


class Earlier(msgspec.Struct, frozen=True):
    """What a message said before an edit, and who might see that."""

    version: int
    text: str
    media: list[Media]
    audience: Audience
    only: list[UserId]
    until_ms: int


class Head(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Of one of an author's newest few, what decides whether it is shown."""

    id: MessageId
    version: int
    audience: Audience
    only: tuple[UserId, ...]  # the empty one is no new object
    has_media: bool
    place: Span | None  # latitude, longitude


class LatestRow(msgspec.Struct, frozen=True, gc=False):
    """An author's newest few, newest first, with their JSON. `complete` when the author has no others."""

    author_id: UserId
    complete: bool
    heads: list[Head]
    bodies: list[bytes]  # as many as were asked for
    version: int = 0  # the author's, in the same snapshot, where it was asked for


class Newest(msgspec.Struct, frozen=True, gc=False):
    """An author's newest message with its JSON, if there is one that all friends may see, and their version then.

    `told`: this is so for every friend; else it takes more than this to know what one of them may see.
    """

    author_id: UserId
    version: int
    told: bool
    id: MessageId | None
    body: bytes | None


class Probe(msgspec.Struct, frozen=True, gc=False):
    """One author to look through, from below an id downwards."""

    author_id: UserId
    standing: Standing
    below: MessageId


class Sieve(msgspec.Struct, frozen=True, kw_only=True):
    """Which messages of an author are wanted. The spans only narrow: the caller measures the distance."""

    above: MessageId
    has_media: bool = False
    latitudes: Span | None = None
    longitudes: tuple[Span, Span] | None = None
    tag: str | None = None


class Counts(msgspec.Struct, frozen=True):
    """How often a message was answered, and with which emoji; `mine` are the asker's."""

    replies: int = 0
    reactions: dict[str, int] = {}
    mine: frozenset[str] = frozenset()


MOST_APART: Final = 200  # messages for a few, among an author's newest: somebody may write hardly any others


class Page(msgspec.Struct, frozen=True):
    """An author's newest messages, newest first, and what is counted of them, as of a version or later.

    `named`: for whom alone there are others, among these or above; None: there are more than `MOST_APART`.
    """

    version: int
    documents: list[Document]
    named: list[UserId] | None
    counts: dict[MessageId, Counts]  # without whose they are; absent: nobody answered or reacted


class Reacted(msgspec.Struct, frozen=True):
    """One person's reaction."""

    user_id: UserId
    emoji: str
    created_ms: int


class MessageReads(Protocol):
    """Each read goes only to the buckets that the ids or authors name."""

    async def by_ids(self, ids: Iterable[MessageId]) -> dict[MessageId, Document]:
        """Messages and replies alike."""
        ...

    async def latest(self, authors: Sequence[UserId], *, bodies: int) -> dict[UserId, LatestRow]:
        """The `latest` rows, with the first `bodies` of their bodies. Without a row, there is no message."""
        ...

    async def latest_as_of(self, authors: Sequence[UserId], *, bodies: int) -> dict[UserId, LatestRow]:
        """A row of each, with the author's version in the same snapshot, also of those who said nothing."""
        ...

    async def newest_as_of(self, authors: Sequence[UserId]) -> list[Newest]:
        """Of each, in one snapshot with the version; also of those who said nothing."""
        ...

    async def latest_bodies(self, heads: Mapping[UserId, Sequence[Head]]) -> dict[tuple[MessageId, int], bytes]:
        """Bodies by id and version; absent when the message is no longer what its head said."""
        ...

    async def newest(
        self, viewer: UserId | None, probes: Sequence[Probe], sieve: Sieve, *, per_author: int
    ) -> dict[UserId, list[Document]]:
        """Of each author, the newest messages (not replies) that the viewer may see, newest first."""
        ...

    async def newest_counted(
        self, viewer: UserId, probe: Probe, sieve: Sieve, *, limit: int
    ) -> tuple[list[Document], dict[MessageId, Counts]]:
        """The same of one author, and what `counts` says of them."""
        ...

    async def pages(self, authors: Sequence[UserId], *, limit: int) -> dict[UserId, Page]:
        """Of each author, also of the silent, the newest messages (not replies) that all friends see."""
        ...

    async def mine(self, ids: Iterable[MessageId], viewer: UserId) -> dict[MessageId, frozenset[str]]:
        """With which emoji the viewer reacted. Absent: with none."""
        ...

    async def page_before(
        self, viewer: UserId | None, asked: Mapping[UserId, Standing], *, before: MessageId, limit: int
    ) -> list[Document]:
        """The newest `limit` of many authors' messages below an id, newest first."""
        ...

    async def page_after(
        self,
        viewer: UserId | None,
        asked: Mapping[UserId, Standing],
        *,
        after: MessageId,
        seen: Sequence[MessageId],
        limit: int,
    ) -> list[Document]:
        """The oldest `limit` of many authors' messages above an id and not in `seen`, oldest first."""
        ...

    async def replies(
        self, parent: MessageId, *, after: MessageId, seen: Sequence[MessageId], limit: int
    ) -> list[Document]:
        """Replies above an id and not in `seen`, oldest first."""
        ...

    async def history(self, message_id: MessageId, *, limit: int) -> list[Earlier]:
        """Earlier versions, newest first."""
        ...

    async def counts(self, ids: Iterable[MessageId], viewer: UserId | None) -> dict[MessageId, Counts]:
        """Absent: nobody answered or reacted."""
        ...

    async def reactions(self, message_id: MessageId, *, limit: int) -> list[Reacted]:
        """The newest reactions, newest first."""
        ...

    # Of one person, in the order of ids, from above `after` to below `until`. Replies and reactions lie with what
    # they are about: these reads alone go to all buckets.

    async def messages_of(
        self, author: UserId, *, after: MessageId, until: MessageId, limit: int
    ) -> list[Document]: ...

    async def replies_of(
        self, author: UserId, *, after: MessageId, until: MessageId, limit: int
    ) -> list[Document]: ...

    async def earlier_of(
        self, author: UserId, *, after: tuple[MessageId, int], until: MessageId, limit: int
    ) -> list[tuple[MessageId, Earlier]]:
        """Earlier versions of messages and replies, by message and version."""
        ...

    async def reactions_left(
        self, user_id: UserId, *, after: tuple[MessageId, str], between_ms: tuple[int, int], limit: int
    ) -> list[tuple[MessageId, Reacted]]:
        """By message and emoji; `between_ms` is when they were left, without its end."""
        ...

    async def withdrawn_by(
        self, author: UserId, *, after: MessageId, until: MessageId, limit: int
    ) -> list[MessageId]: ...


class Fenced(Protocol):
    """A subject's fence, held."""

    @property
    def state(self) -> str: ...
    @property
    def last_ms(self) -> int: ...


class MessageWrite(Protocol):
    """One open transaction. Take fences first, then lock documents, then the `latest` rows."""

    async def fence(self, own: Iterable[UserId], others: Iterable[UserId] = ()) -> Mapping[Any, Fenced]:
        """Hold the fences of `own` exclusively and of `others` shared, in key order."""
        ...

    async def raise_versions(
        self, changes: Mapping[UserId, int], last_ms: Mapping[UserId, int] | None = None
    ) -> dict[UserId, int]:
        """Raise each author's version by so many, and keep their last minted millisecond. The new versions."""
        ...

    def announce(
        self, event: Event, *, subject: UserId, version: int, body: Value, tells: tuple[Telling, ...] = ()
    ) -> None:
        """An outbox row in this commit; `tells` what is answered of its subject from then on."""
        ...

    def answers(self, route: Route[Any, Any], reply: Any) -> None:
        """Keep the answer under the request's Idempotency-Key."""
        ...

    async def locked(self, message_id: MessageId, *, shared: bool = False) -> Document | None:
        """The message or reply as it is now; nobody changes it until the commit."""
        ...

    async def post(self, document: Document, row: LatestRow, *, kept: int) -> int:
        """Add a message younger than all of its author's, and raise the author's version by one; the new version.

        `row` is the `latest` row of an author who has said only this: its message goes in front of what is there,
        and no more than `kept` stay. The author's fence is held.
        """
        ...

    async def add(self, document: Document) -> None: ...

    async def add_missing(self, documents: Sequence[Document]) -> set[MessageId]:
        """Add messages that were never there (withdrawn ones stay away); which."""
        ...

    async def replace(self, document: Document, earlier: Earlier | None) -> None: ...

    async def remove(self, document: Document) -> None:
        """Erase it with its history and reactions. Its id is remembered, so that nothing brings it back."""
        ...

    async def lock_latest(self, authors: Sequence[UserId]) -> None:
        """Make the `latest` rows that are missing, then lock all."""
        ...

    async def newest_of(self, authors: Sequence[UserId], *, per_author: int) -> dict[UserId, list[Document]]:
        """Newest messages (not replies), newest first, whoever may see them."""
        ...

    async def put_latest(self, rows: Sequence[LatestRow]) -> None: ...

    async def reactions_by(self, user_id: UserId, message_id: MessageId) -> set[str]:
        """The emoji that a person left on a message."""
        ...

    async def add_reaction(self, message_id: MessageId, reaction: Reacted) -> None: ...

    async def remove_reaction(self, message_id: MessageId, user_id: UserId, emoji: str) -> None: ...


Remove = Callable[[MessageWrite, UUID, int], Awaitable[None]]  # whom, and their new version


class MessageStore(MessageReads, Protocol):
    """Reads, and the only way to a write."""

    def write(self, *, timeout_ms: int | None = None) -> AbstractAsyncContextManager[MessageWrite]:
        """Raises `Busy` and `Unavailable`; a refusal inside rolls everything back."""
        ...

    async def post_at_once(
        self,
        document: Document,
        row: LatestRow,
        *,
        kept: int,
        body: Value,
        tells: tuple[Telling, ...],
        route: Route[Any, Any],
        answer: Any,
    ) -> bool:
        """`MessageWrite.post` as a write of its own, told by `body` but for its version, and answered.

        False: nothing was written, for it takes `write` to do it, or to tell why not.
        """
        ...

    async def recall(self) -> None:
        """Answer a retry under a known Idempotency-Key as the first time, by raising `Replayed`."""
        ...

    def participant(self, remove: Remove, failpoints: Failpoints) -> Participant:
        """The store's part in the deletion of an account."""
        ...

    async def unerased(self) -> list[UserId]:
        """Deleted people of whom something may be left."""
        ...

    async def erase_some(self, author: UserId, *, answers: Sequence[str], limit: int) -> bool:
        """Erase up to so many messages, replies and reactions of a deleted person; at last the rest of them.

        `answers` are the scopes of their Idempotency-Keys. False when nothing is left.
        """
        ...

    async def ready(self) -> None:
        """`Unavailable` unless the engine answers."""
        ...

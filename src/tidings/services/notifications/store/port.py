"""What notifications needs of a store."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID

import msgspec

from tidings.contracts.messages import MessageId
from tidings.contracts.notifications import Kind
from tidings.contracts.users import UserId
from tidings.platform.contract import Event, Value
from tidings.platform.storage.handle import Fence
from tidings.services.notifications.shapes import Effect


class Row(msgspec.Struct, frozen=True):
    """What belongs together, of one person: who did it, newest first, and about what the newest is."""

    kind: Kind
    group_id: UUID
    at_ms: int
    actors: list[UserId]
    targets: list[UUID]


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Under which group a page ended, and as of when the first one was read."""

    as_of_ms: int
    at_ms: int
    kind: str
    group_id: UUID


class ToldPlace(msgspec.Struct, frozen=True, array_like=True):
    """The key of one notification of a person: the last one given."""

    kind: str
    actor_id: UserId
    target: UUID


class Told(msgspec.Struct, frozen=True):
    """One notification that stands."""

    kind: Kind
    actor_id: UserId
    target: UUID
    at_ms: int


class NotificationWrite(Protocol):
    """One open transaction."""

    async def fence(self, own: Iterable[UUID], others: Iterable[UUID] = ()) -> dict[UUID, Fence]: ...

    async def bump(self, subjects: Iterable[UUID]) -> dict[UUID, int]: ...

    def announce(self, event: Event, *, subject: UUID, version: int, body: Value) -> None: ...

    async def put(self, effects: Collection[Effect]) -> set[UserId]:
        """Keep each that is newer than what is there under its key; whose notifications that changed."""
        ...

    async def tell(self, effects: Collection[Effect], message_id: MessageId, version: int) -> dict[UUID, int]:
        """Keep what a new message means to people, and raise their versions: the new ones.

        Nothing is kept where any state of the message was seen.
        """
        ...

    async def concerned(self, message_id: MessageId) -> set[UserId]:
        """Who is told something about this message."""
        ...

    async def advance_message(self, message_id: MessageId, version: int) -> bool:
        """Note that the message is at this version; False if a newer one, or this very one, was seen."""
        ...

    async def drop_about(
        self, message_id: MessageId, *, keep_mentions: Collection[UserId], all_: bool
    ) -> set[UserId]:
        """Remove mentions by this message of all but these, or with `all_` everything about it; whose they were."""
        ...

    async def mark_read(self, user_id: UserId, read_ms: int) -> int: ...

    async def remove_person(self, person: UserId) -> None: ...


class NotificationStore(Protocol):
    """Notifications at rest."""

    async def ready(self) -> None: ...

    async def page(self, user_id: UserId, *, below: Place | None, now_ms: int, limit: int) -> list[Row]:
        """Groups, newest first."""
        ...

    async def told(self, user_id: UserId, *, after: ToldPlace, limit: int) -> list[Told]:
        """All that stand, one by one, in the order of their keys."""
        ...

    async def unread(self, user_id: UserId) -> bool:
        """Whether anything came since this person has read."""
        ...

    async def read_ms(self, user_id: UserId) -> int | None:
        """Up to when this person has read."""
        ...

    async def tell_at_once(
        self, effects: Collection[Effect], message_id: MessageId, version: int, *, fenced: Collection[UserId]
    ) -> bool:
        """As `tell` in a write of its own, with these fences, and the event of each person whose version rose.

        False: nothing was written, and `write` tells why.
        """
        ...

    def write(self) -> AbstractAsyncContextManager[NotificationWrite]: ...

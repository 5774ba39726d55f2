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
from tidings.platform.storage.postgres import Fence
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


class NotificationWrite(Protocol):
    """One open transaction."""

    async def fence(self, own: Iterable[UUID], others: Iterable[UUID] = ()) -> dict[UUID, Fence]: ...

    async def put(self, effects: Collection[Effect]) -> None:
        """Keep each that is newer than what is there under its key."""
        ...

    async def advance_message(self, message_id: MessageId, version: int) -> bool:
        """Note that the message is at this version; False if a newer one, or this very one, was seen."""
        ...

    async def drop_about(self, message_id: MessageId, *, keep_mentions: Collection[UserId], all_: bool) -> None:
        """Remove mentions by this message of all but these; with `all_`, everything about the message."""
        ...

    async def mark_read(self, user_id: UserId, read_ms: int) -> int: ...

    async def remove_person(self, person: UserId) -> None: ...


class NotificationStore(Protocol):
    """Notifications at rest."""

    async def ready(self) -> None: ...

    async def page(self, user_id: UserId, *, below: Place | None, now_ms: int, limit: int) -> list[Row]:
        """Groups, newest first."""
        ...

    async def read_ms(self, user_id: UserId) -> int | None:
        """Up to when this person has read."""
        ...

    def write(self) -> AbstractAsyncContextManager[NotificationWrite]: ...

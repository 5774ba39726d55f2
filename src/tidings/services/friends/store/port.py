"""What friends needs of a store: shapes, reads outside of a write, and the handle that alone can write."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Literal, Protocol
from uuid import UUID

import msgspec

from tidings.contracts.friends import Circle, ImportedFriendship, Relation
from tidings.contracts.users import UserId
from tidings.platform.contract import Event, Value
from tidings.platform.storage.handle import Fence
from tidings.platform.twophase.failpoints import Failpoints
from tidings.platform.twophase.participant import Participant

Listing = Literal["friends", "incoming", "outgoing", "blocks", "mutes"]


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A place in a list: who, and since when. Lists are in this order, newest first."""

    since_ms: int
    user_id: UserId


NEWEST: Final = Entry(2**63 - 1, UserId(UUID(int=2**128 - 1)))  # before the first of every list


class Standing(msgspec.Struct, frozen=True):
    """What stands between me and one other.

    `requested`: I asked; `asked`: they did. `blocked` is true in either direction, `blocks` in mine.
    """

    state: Literal["friends", "requested", "asked"] | None = None
    since_ms: int = 0
    blocks: bool = False
    blocked: bool = False
    mutes: bool = False


class FriendsWrite(Protocol):
    """An open transaction. Hold the fences of those whose rows change before any of these."""

    async def fence(self, own: Iterable[UUID], others: Iterable[UUID] = ()) -> Mapping[UUID, Fence]: ...

    def announce(self, event: Event, *, subject: UUID, version: int, body: Value) -> None: ...

    async def raise_versions(self, by: Mapping[UserId, int]) -> dict[UserId, int]:
        """Raise each person's version by so many; the new versions. Their fences must be held exclusively."""
        ...

    async def standing(self, me: UserId, other: UserId) -> Standing: ...

    async def counts(self, people: Iterable[UserId]) -> dict[UserId, int]:
        """How many friends each has; 0 for the unknown."""
        ...

    async def friends_among(self, pairs: Sequence[ImportedFriendship]) -> int:
        """How many of these pairs are friends."""
        ...

    async def add_friendships(self, pairs: Sequence[ImportedFriendship]) -> list[ImportedFriendship]:
        """Make friends of pairs (each once), and end their requests. Those that came new.

        Who are friends stay so as they are; a pair with a block between them is left out.
        """
        ...

    async def end_friendship(self, me: UserId, other: UserId) -> None: ...

    async def add_request(self, asker: UserId, asked: UserId, since_ms: int) -> None: ...

    async def drop_requests(self, me: UserId, other: UserId) -> None:
        """Whoever of the two asked."""
        ...

    async def add_block(self, blocker: UserId, blocked: UserId, since_ms: int) -> None: ...

    async def drop_block(self, blocker: UserId, blocked: UserId) -> None: ...

    async def add_mute(self, muter: UserId, muted: UserId, since_ms: int) -> None: ...

    async def drop_mute(self, muter: UserId, muted: UserId) -> None: ...

    async def remove_person(self, user_id: UserId) -> list[UserId]:
        """Drop every friendship, request, block and mute of theirs, in key order. Who their friends were."""
        ...


Remove = Callable[[FriendsWrite, UUID, int], Awaitable[None]]  # whom, and their new version


class FriendsStore(Protocol):
    """The reads, and the way to a write. Each read sees one moment."""

    async def ready(self) -> None:
        """`Unavailable` unless the store answers."""
        ...

    async def circles(self, people: Sequence[UserId]) -> dict[UserId, Circle]: ...

    async def relations(self, user_id: UserId, others: Collection[UserId]) -> dict[UserId, Relation]:
        """Strangers are absent."""
        ...

    async def standing(self, me: UserId, other: UserId) -> Standing: ...

    async def page_before(self, listing: Listing, user_id: UserId, before: Entry, limit: int) -> list[Entry]:
        """The next older ones of one of the person's own lists, newest first."""
        ...

    async def friends_shown(self, owner: UserId, viewer: UserId, before: Entry, limit: int) -> list[Entry]:
        """The owner's friends as `page_before`, without those who block the viewer or whom the viewer blocks."""
        ...

    async def everybody(self, after: UserId, limit: int) -> list[UserId]:
        """Who stands on either side of anything here and has a greater id, in the order of ids."""
        ...

    def write(self, *, timeout_ms: int | None = None) -> AbstractAsyncContextManager[FriendsWrite]: ...

    def participant(self, remove: Remove, failpoints: Failpoints) -> Participant:
        """The store's part in the deletion of an account."""
        ...

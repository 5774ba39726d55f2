"""What users needs of a store: rows, reads outside of a write, and the handle that alone can write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

import msgspec

from tidings.contracts.users import Role, SessionId, UserId
from tidings.platform.contract import Event, Route, Value
from tidings.platform.storage.handle import Fence
from tidings.platform.twophase.coordinator import Log
from tidings.platform.twophase.transaction import Transaction

Purpose = Literal["set_up", "reset", "sign_in"]


class AccountRow(msgspec.Struct, frozen=True):
    """A live account."""

    id: UserId
    handle: str
    name: str
    bio: str
    role: Role
    suspended: bool
    version: int  # its fence's, when it last changed
    created_at: datetime
    password_hash: str | None
    avatar: UUID | None  # media keeps the picture


class CardRow(msgspec.Struct, frozen=True, gc=False):
    """What is shown of a live account, with its fence's version in the same snapshot: events carry it."""

    id: UserId
    version: int
    handle: str
    name: str
    avatar: UUID | None
    suspended: bool


class NewAccount(msgspec.Struct, frozen=True):
    """An account to be made; `entries` are the texts by whose beginning it is found."""

    id: UserId
    handle: str
    name: str
    bio: str
    role: Role
    created_at: datetime
    password_hash: str | None
    entries: tuple[str, ...]


class Found(msgspec.Struct, frozen=True):
    """An account that a search met, and the entry by which: the place to go on from."""

    entry: str
    account: AccountRow


class SessionRow(msgspec.Struct, frozen=True):
    id: SessionId
    user_id: UserId
    label: str
    created_at: datetime
    expires_at: datetime


class Holder(msgspec.Struct, frozen=True):
    """Who holds a token, until when, and the version that they had when it was read."""

    user_id: UserId
    role: Role
    session_id: SessionId
    expires_at: datetime
    version: int


class LinkRow(msgspec.Struct, frozen=True):
    purpose: Purpose
    user_id: UserId | None
    expires_at: datetime


class InviteRow(msgspec.Struct, frozen=True):
    id: UUID
    expires_at: datetime
    used: bool


class PreferencesRow(msgspec.Struct, frozen=True):
    version: int
    preferences: str  # JSON


class UsersWrite(Protocol):
    """An open transaction."""

    async def fence(self, own: Iterable[UUID], others: Iterable[UUID] = ()) -> dict[UUID, Fence]: ...

    async def bump(self, subjects: Iterable[UUID]) -> dict[UUID, int]: ...

    def announce(self, event: Event, *, subject: UUID, version: int, body: Value) -> None: ...

    def answers(self, route: Route[Any, Any], reply: Any) -> None: ...

    async def by_ids(self, ids: Sequence[UserId]) -> dict[UserId, AccountRow]: ...

    async def known(self, ids: Sequence[UserId]) -> set[UserId]:
        """Which ids are taken, also by deleted accounts."""
        ...

    async def add(self, accounts: Sequence[NewAccount]) -> set[UserId]:
        """Make accounts, at version 1; those whose handle is taken are not made. Who was."""
        ...

    async def reserved(self, digests: Sequence[bytes]) -> set[bytes]:
        """Which of these handles, as keyed digests, a deleted account had lately."""
        ...

    async def change_profile(
        self, user_id: UserId, *, name: str, bio: str, avatar: UUID | None, version: int
    ) -> None: ...

    async def change_entries(self, user_id: UserId, entries: Sequence[str]) -> None: ...

    async def change_password(self, user_id: UserId, password_hash: str) -> None: ...

    async def change_role(self, user_id: UserId, role: Role, version: int) -> None: ...

    async def change_suspension(self, user_id: UserId, suspended: bool, version: int) -> None: ...

    async def erase(self, user_id: UserId, version: int, *, reserve: bytes, until: datetime) -> None:
        """Leave the tombstone alone, and its handle's digest until it is free again."""
        ...

    async def unfinished_deletion(self, user_id: UserId) -> Transaction | None:
        """The deletion of this account that is under way; its fence is held."""
        ...

    async def begin_deletion(
        self, gid: str, user_id: UserId, participants: Sequence[str], *, seconds: float
    ) -> None:
        """It is decided within so many seconds, or aborted."""
        ...

    async def decide_deletion(self, gid: str) -> bool:
        """Decide to commit with this transaction. False: too late, or aborted already; then change nothing."""
        ...

    async def hold_administrators(self) -> set[UserId]:
        """Lock the administrators who are not suspended; fences come before."""
        ...

    async def hold_set_up(self) -> None:
        """One at a time, until the transaction ends."""
        ...

    async def preferences(self, user_id: UserId) -> PreferencesRow | None: ...

    async def replace_preferences(self, user_id: UserId, row: PreferencesRow) -> None: ...

    async def add_session(self, session: SessionRow, digest: bytes) -> None: ...

    async def session(self, user_id: UserId, session_id: SessionId) -> SessionRow | None: ...

    async def end_session(self, user_id: UserId, session_id: SessionId) -> bool: ...

    async def end_sessions(self, user_id: UserId) -> int: ...

    async def add_link(self, digest: bytes, link: LinkRow) -> None: ...

    async def take_link(self, digest: bytes, purpose: Purpose) -> LinkRow | None:
        """Use it up. None if it was used, has expired or never was."""
        ...

    async def drop_links(self, user_id: UserId) -> None: ...

    async def drop_set_up_links(self) -> None: ...

    async def add_invite(self, invite: InviteRow, digest: bytes, maker: UserId | None) -> None: ...

    async def take_invite(self, digest: bytes) -> bool:
        """Use it up. False unless it is open and its maker is in good standing."""
        ...

    async def drop_invite(self, invite_id: UUID, maker: UserId) -> bool: ...


class UsersStore(Protocol):
    """Reads, and the way to a write."""

    async def ready(self) -> None: ...

    @property
    def log(self) -> Log:
        """Of deletions."""
        ...

    def write(self, *, timeout_ms: int | None = None) -> AbstractAsyncContextManager[UsersWrite]: ...

    def coordinating(self) -> AbstractAsyncContextManager[UsersWrite]:
        """A write for a step of a deletion, which waits behind no other writers for a connection."""
        ...

    async def erase_answers(self, user_id: UserId, *, own: str, naming: str) -> None:
        """Forget answers kept under Idempotency-Keys: all of the scope `own`, and those of `naming` with the id."""
        ...

    async def by_ids(self, ids: Sequence[UserId]) -> Mapping[UserId, AccountRow]:
        """Live accounts, the suspended too."""
        ...

    async def cards_as_of(self, ids: Sequence[UserId]) -> list[CardRow]:
        """Live accounts, suspended ones too."""
        ...

    async def by_handle(self, handle: str) -> AccountRow | None: ...

    async def by_handles(self, handles: Sequence[str]) -> list[AccountRow]: ...

    async def after_handle(self, handle: str, limit: int) -> list[AccountRow]: ...

    async def count(self) -> int: ...

    async def found_after(
        self, prefix: str, after: tuple[str, UserId], limit: int, *, suspended: bool
    ) -> list[Found]:
        """Accounts with an entry that begins with `prefix`, each at its first such entry, in entry order."""
        ...

    async def holders(self, digests: Sequence[bytes]) -> dict[bytes, Holder]:
        """Who holds each token, unless it has expired or its account is suspended."""
        ...

    async def sessions(self, user_id: UserId) -> list[SessionRow]: ...

    async def sessions_after(self, user_id: UserId, after: UUID, limit: int) -> list[SessionRow]:
        """In the order of their ids, also those that have expired."""
        ...

    async def invites_after(self, maker: UserId, after: UUID, limit: int) -> list[InviteRow]:
        """In the order of their ids."""
        ...

    async def links_of(self, user_id: UserId, skip: int, limit: int) -> list[LinkRow]:
        """All but the first `skip`, by when they expire."""
        ...

    async def link(self, digest: bytes, purpose: Purpose) -> LinkRow | None: ...

    async def invites(self, maker: UserId) -> list[InviteRow]: ...

    async def hiding_presence(self, ids: Sequence[UserId]) -> set[UserId]:
        """Of these, whose preferences say that nobody may see whether they are online."""
        ...

    async def preferences(self, user_id: UserId) -> PreferencesRow | None: ...

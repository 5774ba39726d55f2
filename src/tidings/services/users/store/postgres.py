"""Users at rest in PostgreSQL: an account is one row, and its fence the row of the same id."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from tidings.contracts.users import Role, SessionId, UserId
from tidings.platform.settings import Settings
from tidings.platform.storage.postgres import Database, Write, rows_of
from tidings.platform.twophase import postgres_log
from tidings.platform.twophase.postgres_log import PostgresLog
from tidings.platform.twophase.transaction import Transaction
from tidings.services.users.store.port import (
    AccountRow,
    CardRow,
    Found,
    Holder,
    InviteRow,
    LinkRow,
    NewAccount,
    PreferencesRow,
    Purpose,
    SessionRow,
)

ACCOUNT = "a.id, a.handle, a.name, a.bio, a.role, a.suspended, a.version, a.created_at, a.password_hash, a.avatar"
BY_IDS = f"SELECT {ACCOUNT} FROM accounts a WHERE a.id = ANY($1::uuid[]) AND a.state = 'live'"  # noqa: S608
CARDS_AS_OF = """
    SELECT a.id, f.version, a.handle, a.name, a.avatar, a.suspended
    FROM accounts a JOIN subject_fence f ON f.user_id = a.id
    WHERE a.id = ANY($1::uuid[]) AND a.state = 'live'
"""
BY_HANDLE = f"SELECT {ACCOUNT} FROM accounts a WHERE a.handle = $1"  # noqa: S608
BY_HANDLES = f"SELECT {ACCOUNT} FROM accounts a WHERE a.handle = ANY($1::text[])"  # noqa: S608
AFTER_HANDLE = f"SELECT {ACCOUNT} FROM accounts a WHERE a.handle > $1 ORDER BY a.handle LIMIT $2"  # noqa: S608
COUNT = "SELECT count(*) FROM accounts WHERE handle IS NOT NULL"

# What lies between a prefix and something that begins with it, begins with it too: so `earlier` needs no LIKE.
FOUND = f"""
    SELECT e.entry, {ACCOUNT} FROM search_entries e JOIN accounts a ON a.id = e.user_id
    WHERE e.entry >= $1 AND e.entry < $1 || chr(1114111) AND (e.entry, e.user_id) > ($2, $3)
      AND (NOT a.suspended OR $5)
      AND NOT EXISTS (SELECT FROM search_entries earlier WHERE earlier.user_id = e.user_id
                      AND earlier.entry >= $1 AND earlier.entry < e.entry)
    ORDER BY e.entry, e.user_id LIMIT $4
"""  # noqa: S608

HOLDER = """
    SELECT s.digest, a.id, a.role, s.id, s.expires_at, f.version
    FROM sessions s JOIN accounts a ON a.id = s.user_id JOIN subject_fence f ON f.user_id = a.id
    WHERE s.digest = $1 AND s.expires_at > now() AND a.state = 'live' AND NOT a.suspended
"""
HOLDERS = HOLDER.replace("= $1", "= ANY($1::bytea[])")
SESSION = "SELECT id, user_id, label, created_at, expires_at FROM sessions"
HIDING_PRESENCE = (
    "SELECT user_id FROM preferences WHERE user_id = ANY($1::uuid[]) AND preferences->'presence' = 'false'::jsonb"
)
PREFERENCES = "SELECT version, preferences FROM preferences WHERE user_id = $1"

ADD = """
    INSERT INTO accounts (id, handle, name, bio, role, created_at, password_hash, version)
    SELECT *, 1 FROM unnest(
        $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[])
    ON CONFLICT (handle) WHERE handle IS NOT NULL DO NOTHING RETURNING id
"""
ADD_ENTRIES = "INSERT INTO search_entries (entry, user_id) SELECT * FROM unnest($1::text[], $2::uuid[])"
ERASE = """
    UPDATE accounts SET state = 'deleted', handle = NULL, name = '', bio = '', role = 'member', suspended = false,
        password_hash = NULL, avatar = NULL, version = $2
    WHERE id = $1
"""
ERASE_BESIDE = (
    "DELETE FROM sessions WHERE user_id = $1",
    "DELETE FROM links WHERE user_id = $1",
    "DELETE FROM invites WHERE maker_id = $1",
    "DELETE FROM preferences WHERE user_id = $1",
    "DELETE FROM search_entries WHERE user_id = $1",
    "UPDATE subject_fence SET state = 'deleted' WHERE user_id = $1",
)
RESERVE = """
    INSERT INTO reserved_handles (digest, until) VALUES ($1, $2)
    ON CONFLICT (digest) DO UPDATE SET until = excluded.until
"""
ERASE_ANSWERS = """
    DELETE FROM idempotency
    WHERE scope = $1 OR scope = $2 AND position(convert_to($3, 'UTF8') in reply) > 0
"""
TAKE_INVITE = """
    UPDATE invites SET used = true WHERE digest = $1 AND NOT used AND expires_at > now()
      AND (maker_id IS NULL OR (SELECT a.state = 'live' AND NOT a.suspended FROM accounts a WHERE a.id = maker_id))
    RETURNING id
"""
SET_UP_LOCK = 0x7365_7475_7000_0001  # one number; advisory locks belong to one database


class PostgresUsersWrite(Write):
    """An open transaction on users."""

    async def unfinished_deletion(self, user_id: UserId) -> Transaction | None:
        return await postgres_log.unfinished_of(self.connection, user_id)

    async def begin_deletion(
        self, gid: str, user_id: UserId, participants: Sequence[str], *, seconds: float
    ) -> None:
        await postgres_log.begin(self.connection, gid, user_id, participants, seconds=seconds)

    async def decide_deletion(self, gid: str) -> bool:
        return await postgres_log.decide(self.connection, gid)

    async def by_ids(self, ids: Sequence[UserId]) -> dict[UserId, AccountRow]:
        return _by_id(await self.connection.fetch(BY_IDS, ids))

    async def known(self, ids: Sequence[UserId]) -> set[UserId]:
        rows = await self.connection.fetch("SELECT id FROM accounts WHERE id = ANY($1::uuid[])", ids)
        return {row[0] for row in rows}

    async def add(self, accounts: Sequence[NewAccount]) -> set[UserId]:
        if not accounts:
            return set()
        columns = rows_of(
            [(a.id, a.handle, a.name, a.bio, a.role, a.created_at, a.password_hash) for a in accounts]
        )
        made = {row[0] for row in await self.connection.fetch(ADD, *columns)}
        entries = [(entry, a.id) for a in accounts if a.id in made for entry in a.entries]
        if entries:
            await self.connection.execute(ADD_ENTRIES, *rows_of(entries))
        return made

    async def reserved(self, digests: Sequence[bytes]) -> set[bytes]:
        rows = await self.connection.fetch(
            "SELECT digest FROM reserved_handles WHERE digest = ANY($1::bytea[]) AND until > now()", digests
        )
        return {row[0] for row in rows}

    async def change_profile(
        self, user_id: UserId, *, name: str, bio: str, avatar: UUID | None, version: int
    ) -> None:
        await self.connection.execute(
            "UPDATE accounts SET name = $2, bio = $3, avatar = $4, version = $5 WHERE id = $1",
            user_id,
            name,
            bio,
            avatar,
            version,
        )

    async def change_entries(self, user_id: UserId, entries: Sequence[str]) -> None:
        await self.connection.execute("DELETE FROM search_entries WHERE user_id = $1", user_id)
        await self.connection.execute(ADD_ENTRIES, list(entries), [user_id] * len(entries))

    async def change_password(self, user_id: UserId, password_hash: str) -> None:
        await self.connection.execute(
            "UPDATE accounts SET password_hash = $2 WHERE id = $1", user_id, password_hash
        )

    async def change_role(self, user_id: UserId, role: Role, version: int) -> None:
        await self.connection.execute(
            "UPDATE accounts SET role = $2, version = $3 WHERE id = $1", user_id, role, version
        )

    async def change_suspension(self, user_id: UserId, suspended: bool, version: int) -> None:
        await self.connection.execute(
            "UPDATE accounts SET suspended = $2, version = $3 WHERE id = $1", user_id, suspended, version
        )

    async def erase(self, user_id: UserId, version: int, *, reserve: bytes, until: datetime) -> None:
        await self.connection.execute(ERASE, user_id, version)
        for statement in ERASE_BESIDE:
            await self.connection.execute(statement, user_id)
        await self.connection.execute("DELETE FROM reserved_handles WHERE until <= now()")
        await self.connection.execute(RESERVE, reserve, until)

    async def hold_administrators(self) -> set[UserId]:
        rows = await self.connection.fetch(
            "SELECT id FROM accounts WHERE role = 'administrator' AND state = 'live' AND NOT suspended"
            " ORDER BY id FOR NO KEY UPDATE"
        )
        return {row[0] for row in rows}

    async def hold_set_up(self) -> None:
        await self.connection.execute("SELECT pg_advisory_xact_lock($1)", SET_UP_LOCK)

    async def preferences(self, user_id: UserId) -> PreferencesRow | None:
        row = await self.connection.fetchrow(PREFERENCES, user_id)
        return PreferencesRow(*row) if row else None

    async def replace_preferences(self, user_id: UserId, row: PreferencesRow) -> None:
        await self.connection.execute(
            "INSERT INTO preferences (user_id, version, preferences) VALUES ($1, $2, $3)"
            " ON CONFLICT (user_id) DO UPDATE SET version = $2, preferences = $3",
            user_id,
            row.version,
            row.preferences,
        )

    async def add_session(self, session: SessionRow, digest: bytes) -> None:
        await self.connection.execute(
            "DELETE FROM sessions WHERE user_id = $1 AND expires_at <= now()", session.user_id
        )
        await self.connection.execute(
            "INSERT INTO sessions (id, user_id, label, created_at, expires_at, digest)"
            " VALUES ($1, $2, $3, $4, $5, $6)",
            session.id,
            session.user_id,
            session.label,
            session.created_at,
            session.expires_at,
            digest,
        )

    async def session(self, user_id: UserId, session_id: SessionId) -> SessionRow | None:
        row = await self.connection.fetchrow(SESSION + " WHERE id = $1 AND user_id = $2", session_id, user_id)
        return SessionRow(*row) if row else None

    async def end_session(self, user_id: UserId, session_id: SessionId) -> bool:
        ended = await self.connection.fetch(
            "DELETE FROM sessions WHERE id = $1 AND user_id = $2 RETURNING id", session_id, user_id
        )
        return bool(ended)

    async def end_sessions(self, user_id: UserId) -> int:
        return len(await self.connection.fetch("DELETE FROM sessions WHERE user_id = $1 RETURNING id", user_id))

    async def add_link(self, digest: bytes, link: LinkRow) -> None:
        await self.connection.execute("DELETE FROM links WHERE expires_at <= now()")
        await self.connection.execute(
            "INSERT INTO links (digest, purpose, user_id, expires_at) VALUES ($1, $2, $3, $4)",
            digest,
            link.purpose,
            link.user_id,
            link.expires_at,
        )

    async def take_link(self, digest: bytes, purpose: Purpose) -> LinkRow | None:
        row = await self.connection.fetchrow(
            "DELETE FROM links WHERE digest = $1 AND purpose = $2 AND expires_at > now()"
            " RETURNING purpose, user_id, expires_at",
            digest,
            purpose,
        )
        return LinkRow(*row) if row else None

    async def drop_links(self, user_id: UserId) -> None:
        await self.connection.execute("DELETE FROM links WHERE user_id = $1", user_id)

    async def drop_set_up_links(self) -> None:
        await self.connection.execute("DELETE FROM links WHERE purpose = 'set_up'")

    async def add_invite(self, invite: InviteRow, digest: bytes, maker: UserId | None) -> None:
        await self.connection.execute(
            "INSERT INTO invites (id, expires_at, used, digest, maker_id) VALUES ($1, $2, $3, $4, $5)",
            invite.id,
            invite.expires_at,
            invite.used,
            digest,
            maker,
        )

    async def take_invite(self, digest: bytes) -> bool:
        return await self.connection.fetchval(TAKE_INVITE, digest) is not None

    async def drop_invite(self, invite_id: UUID, maker: UserId) -> bool:
        dropped = await self.connection.fetch(
            "DELETE FROM invites WHERE id = $1 AND maker_id = $2 AND NOT used RETURNING id", invite_id, maker
        )
        return bool(dropped)


class PostgresUsers:
    """The store of a running service."""

    def __init__(self, database: Database, log: PostgresLog) -> None:
        self._database = database
        self.log = log

    async def ready(self) -> None:
        await self._database.ready()

    def write(self, *, timeout_ms: int | None = None) -> AbstractAsyncContextManager[PostgresUsersWrite]:
        return self._database.write(PostgresUsersWrite, timeout_ms=timeout_ms)

    def coordinating(self) -> AbstractAsyncContextManager[PostgresUsersWrite]:
        return self.log.write(PostgresUsersWrite)

    async def erase_answers(self, user_id: UserId, *, own: str, naming: str) -> None:
        async with self.log.write(PostgresUsersWrite) as write:
            await write.connection.execute(ERASE_ANSWERS, own, naming, str(user_id))

    async def by_ids(self, ids: Sequence[UserId]) -> dict[UserId, AccountRow]:
        return _by_id(await self._database.fetch(BY_IDS, ids))

    async def cards_as_of(self, ids: Sequence[UserId]) -> list[CardRow]:
        return [CardRow(*row) for row in await self._database.fetch(CARDS_AS_OF, ids)]

    async def by_handle(self, handle: str) -> AccountRow | None:
        rows = await self._database.fetch(BY_HANDLE, handle)
        return AccountRow(*rows[0]) if rows else None

    async def by_handles(self, handles: Sequence[str]) -> list[AccountRow]:
        return [AccountRow(*row) for row in await self._database.fetch(BY_HANDLES, list(handles))]

    async def after_handle(self, handle: str, limit: int) -> list[AccountRow]:
        return [AccountRow(*row) for row in await self._database.fetch(AFTER_HANDLE, handle, limit)]

    async def count(self) -> int:
        total: int = (await self._database.fetch(COUNT))[0][0]
        return total

    async def found_after(
        self, prefix: str, after: tuple[str, UserId], limit: int, *, suspended: bool
    ) -> list[Found]:
        rows = await self._database.fetch(FOUND, prefix, *after, limit, suspended)
        return [Found(row[0], AccountRow(*row[1:])) for row in map(tuple, rows)]

    async def holders(self, digests: Sequence[bytes]) -> dict[bytes, Holder]:
        # One is what is mostly asked for. Of a list PostgreSQL does not know how long it is, so it plans each anew.
        if len(digests) == 1:
            rows = await self._database.fetch(HOLDER, digests[0])
        else:
            rows = await self._database.fetch(HOLDERS, digests)
        return {row[0]: Holder(*row[1:]) for row in map(tuple, rows)}

    async def sessions(self, user_id: UserId) -> list[SessionRow]:
        rows = await self._database.fetch(
            SESSION + " WHERE user_id = $1 AND expires_at > now() ORDER BY id DESC LIMIT 1000", user_id
        )
        return [SessionRow(*row) for row in rows]

    async def sessions_after(self, user_id: UserId, after: UUID, limit: int) -> list[SessionRow]:
        query = SESSION + " WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3"
        return [SessionRow(*row) for row in await self._database.fetch(query, user_id, after, limit)]

    async def invites_after(self, maker: UserId, after: UUID, limit: int) -> list[InviteRow]:
        rows = await self._database.fetch(
            "SELECT id, expires_at, used FROM invites WHERE maker_id = $1 AND id > $2 ORDER BY id LIMIT $3",
            maker,
            after,
            limit,
        )
        return [InviteRow(*row) for row in rows]

    async def links_of(self, user_id: UserId, skip: int, limit: int) -> list[LinkRow]:
        rows = await self._database.fetch(
            "SELECT purpose, user_id, expires_at FROM links WHERE user_id = $1"
            " ORDER BY expires_at, digest OFFSET $2 LIMIT $3",
            user_id,
            skip,
            limit,
        )
        return [LinkRow(*row) for row in rows]

    async def link(self, digest: bytes, purpose: Purpose) -> LinkRow | None:
        rows = await self._database.fetch(
            "SELECT purpose, user_id, expires_at FROM links"
            " WHERE digest = $1 AND purpose = $2 AND expires_at > now()",
            digest,
            purpose,
        )
        return LinkRow(*rows[0]) if rows else None

    async def invites(self, maker: UserId) -> list[InviteRow]:
        rows = await self._database.fetch(
            "SELECT id, expires_at, used FROM invites WHERE maker_id = $1 ORDER BY id DESC LIMIT 1000", maker
        )
        return [InviteRow(*row) for row in rows]

    async def hiding_presence(self, ids: Sequence[UserId]) -> set[UserId]:
        return {row[0] for row in await self._database.fetch(HIDING_PRESENCE, list(ids))}

    async def preferences(self, user_id: UserId) -> PreferencesRow | None:
        rows = await self._database.fetch(PREFERENCES, user_id)
        return PreferencesRow(*rows[0]) if rows else None


@asynccontextmanager
async def open_postgres(dsn: str, settings: Settings) -> AsyncIterator[PostgresUsers]:
    """Connect, and disconnect when the block ends."""
    async with (
        Database.serving("users", dsn, settings) as database,
        PostgresLog.open("users", dsn, settings) as log,
    ):
        yield PostgresUsers(database, log)


def _by_id(rows: Sequence[Any]) -> dict[UserId, AccountRow]:
    return {row[0]: AccountRow(*row) for row in rows}

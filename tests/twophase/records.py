"""What a judge reads in the database of a service that takes part in a deletion, on whichever engine it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol
from uuid import UUID

import asyncpg
from bson import UuidRepresentation, json_util

from tidings.platform.storage.mongo import MongoDatabase, keyed

SHOWN: Final = json_util.JSONOptions(uuid_representation=UuidRepresentation.STANDARD)
Rows = dict[str, list[str]]

# Where a person's rows are, in each database that has them. The array store keeps the graph otherwise.
EDGES: Final = (
    ("friendships", "user_id = $1 or friend_id = $1"),
    ("friend_requests", "asker_id = $1 or asked_id = $1"),
    ("blocks", "blocker_id = $1 or blocked_id = $1"),
    ("mutes", "muter_id = $1 or muted_id = $1"),
)
CONTENTS: Final = (
    ("message", "author_id = $1"),
    ("reply", "author_id = $1"),
    ("latest", "author_id = $1"),
    ("reaction", "user_id = $1"),
)
ACCOUNT: Final = (
    ("accounts", "id = $1"),
    ("sessions", "user_id = $1"),
    ("links", "user_id = $1"),
    ("invites", "maker_id = $1"),
    ("preferences", "user_id = $1"),
    ("search_entries", "user_id = $1"),
)
TABLES: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "users": (*ACCOUNT, ("subject_fence", "user_id = $1")),
    "friends": (*EDGES, ("subject_fence", "user_id = $1")),
    "messages": (*CONTENTS, ("subject_fence", "user_id = $1")),
}


class Records(Protocol):
    """One service's."""

    async def of(self, subject: UUID) -> Rows:
        """Every row of theirs, byte for byte, by table; that of the fence is called `subject_fence`."""
        ...

    async def branch(self, gid: str) -> str | None:
        """How it ended; None if it did not."""
        ...

    async def fence(self, subject: UUID) -> str | None: ...

    async def in_doubt(self) -> set[str]:
        """Branches that are prepared."""
        ...

    async def roll_back_by_hand(self) -> None:
        """Of the only branch that is prepared, as an operator should not."""
        ...

    async def events(self, event: str, subject: UUID) -> list[UUID]: ...

    async def erased(self, subject: UUID) -> bool: ...

    async def said(self, author: UUID) -> int:
        """How many messages (not replies) of theirs there are."""
        ...

    async def reactions(self, user_id: UUID) -> int: ...


class PostgresRecords:
    def __init__(self, service: str, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self._service = service
        self._connection = connection

    async def of(self, subject: UUID) -> Rows:
        found: Rows = {}
        for table, of_theirs in TABLES[self._service]:
            rows = await self._connection.fetch(
                f"select t::text from {table} t where {of_theirs} order by 1", subject
            )
            found[table] = [row[0] for row in rows]
        return found

    async def branch(self, gid: str) -> str | None:
        return await self._value("select state from twophase_branch where gid = $1", gid)

    async def fence(self, subject: UUID) -> str | None:
        return await self._value("select state from subject_fence where user_id = $1", subject)

    async def in_doubt(self) -> set[str]:
        """Of the whole server: services that share one see each other's here."""
        return {row[0] for row in await self._connection.fetch("select gid from pg_prepared_xacts")}

    async def roll_back_by_hand(self) -> None:
        gid = await self._value("select gid from pg_prepared_xacts where gid like 'tidings:%'")
        await self._connection.execute(f"rollback prepared '{gid}'")

    async def events(self, event: str, subject: UUID) -> list[UUID]:
        rows = await self._connection.fetch(
            "select id from outbox where event = $1 and subject = $2", event, subject
        )
        return [row[0] for row in rows]

    async def erased(self, subject: UUID) -> bool:
        found = await self._value("select erased_at from subject_fence where user_id = $1", subject)
        return found is not None

    async def said(self, author: UUID) -> int:
        return int(await self._value("select count(*) from message where author_id = $1", author))

    async def reactions(self, user_id: UUID) -> int:
        return int(await self._value("select count(*) from reaction where user_id = $1", user_id))

    async def _value(self, sql: str, *values: Any) -> Any:
        return await self._connection.fetchval(sql, *values)


class MongoRecords:
    """Of messages."""

    def __init__(self, database: MongoDatabase) -> None:
        self.database = database

    async def of(self, subject: UUID) -> Rows:
        """Without `held`, which counts who held the fence."""
        wanted = {
            "document": {"author_id": subject},
            "latest": {"_id": subject},
            "reaction": {"user_id": subject},
            "fence": {"_id": subject},
        }
        found: Rows = {}
        for name, theirs in wanted.items():
            rows = await self.database.find(name, theirs)
            for row in rows:
                row.pop("held", None)
            found[name.replace("fence", "subject_fence")] = sorted(
                json_util.dumps(row, sort_keys=True, json_options=SHOWN) for row in rows
            )
        return found

    async def branch(self, gid: str) -> str | None:
        for row in await self.database.find("branch", {"_id": gid, "state": {"$ne": "prepared"}}):
            return str(row["state"])
        return None

    async def fence(self, subject: UUID) -> str | None:
        for row in await self.database.find("fence", keyed(subject)):
            return str(row["state"])
        return None

    async def in_doubt(self) -> set[str]:
        return {f"messages {row['_id']}" for row in await self.database.find("branch", {"state": "prepared"})}

    async def roll_back_by_hand(self) -> None:
        await self.database.collection("branch").delete_one({"state": "prepared"})

    async def events(self, event: str, subject: UUID) -> list[UUID]:
        rows = await self.database.find("outbox", {"event": event, "subject": subject})
        return [row["_id"] for row in rows]

    async def erased(self, subject: UUID) -> bool:
        return bool(await self.database.find("fence", {**keyed(subject), "erased_at": {"$exists": True}}))

    async def said(self, author: UUID) -> int:
        return len(await self.database.find("document", {"author_id": author, "reply": False}))

    async def reactions(self, user_id: UUID) -> int:
        return len(await self.database.find("reaction", {"user_id": user_id}))

"""What must be true once everything runs again: the judge of every run that broke something in a deletion."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from tests.twophase.records import MongoRecords, PostgresRecords, Records
from tidings.platform.engine_url import is_mongo
from tidings.platform.settings import Settings
from tidings.platform.storage.mongo import MongoDatabase, open_client

PARTICIPANTS = ("friends", "messages")

Snapshot = dict[str, list[str]]


@dataclass(frozen=True)
class Databases:
    """A connection to each, by its service's own role; `records` are of those who take part in a deletion."""

    by_service: Mapping[str, asyncpg.Connection[asyncpg.Record]]
    records: Mapping[str, Records]

    @classmethod
    async def open(cls, dsns: Mapping[str, str], *more: str) -> Databases:
        """Of all who take part in a deletion, and `more`. One in MongoDB is not `by_service`."""
        connections: dict[str, asyncpg.Connection[asyncpg.Record]] = {}
        records: dict[str, Records] = {}
        for name in ("users", *PARTICIPANTS, *more):
            if is_mongo(dsns[name]):
                client = open_client(dsns[name], "tests", connections=2)
                records[name] = MongoRecords(MongoDatabase(name, dsns[name], client, Settings()))
                continue
            connections[name] = await asyncpg.connect(dsns[name])
            if name not in more:
                records[name] = PostgresRecords(name, connections[name])
        return cls(connections, records)

    async def close(self) -> None:
        for connection in self.by_service.values():
            await connection.close()
        for one in self.records.values():
            if isinstance(one, MongoRecords):
                await one.database.client.close()

    async def value(self, service: str, sql: str, *values: Any) -> Any:
        return await self.by_service[service].fetchval(sql, *values)


async def snapshot(databases: Databases, subject: UUID) -> Snapshot:
    """Every row of theirs, byte for byte."""
    found: Snapshot = {}
    for service, records in databases.records.items():
        for table, rows in (await records.of(subject)).items():
            found[f"{service}.{table}"] = rows
    return found


async def healed(databases: Databases, *, within: float = 15.0) -> float:
    """Wait until nothing is unfinished or in doubt; fails after `within` seconds. How long it took."""
    began = time.monotonic()
    while True:
        left = await _left(databases)
        if not left:
            return time.monotonic() - began
        assert time.monotonic() - began < within, left
        await asyncio.sleep(0.05)


async def _left(databases: Databases) -> list[str]:
    open_rows = await databases.by_service["users"].fetch(
        "select gid, outcome from twophase_log where finished_at is null"
    )
    in_doubt = {gid for one in databases.records.values() for gid in await one.in_doubt()}
    return [f"unfinished {row[0]} {row[1]}" for row in open_rows] + [f"prepared {gid}" for gid in sorted(in_doubt)]


async def judge(
    databases: Databases,
    subject: UUID,
    *,
    before: Snapshot | None,
    acknowledged: bool | None = None,
    within: float = 15.0,
) -> str:
    """Judge one deletion after healing: `deleted`, `aborted`, or `untouched` when there was none. Fails on damage.

    `before` is the snapshot of when nothing had begun (None: others wrote meanwhile); `acknowledged` is what the
    client was told, if it was: True for 204 or a status of `deleted`, False for a refusal or a status of `aborted`.
    """
    await healed(databases, within=within)
    log = await databases.by_service["users"].fetch(
        "select gid, outcome from twophase_log where subject = $1 order by begun_at", subject
    )
    committed = [row["gid"] for row in log if row["outcome"] == "COMMIT"]
    aborted = [row["gid"] for row in log if row["outcome"] == "ABORT"]
    assert len(committed) <= 1, "decided twice"
    assert len(committed) + len(aborted) == len(log), "finished without an outcome"

    state = await databases.value("users", "select state from accounts where id = $1", subject)
    assert (state == "deleted") == bool(committed), f"the account is {state}, the log says {log}"
    for service in PARTICIPANTS:
        for gid in (*committed, *aborted):
            branch = await databases.records[service].branch(gid)
            wanted = "committed" if gid in committed else "aborted"
            assert branch == wanted, f"{service} has {branch} for {gid}, wanted {wanted}"
        fence = await databases.records[service].fence(subject)
        assert (fence == "deleted") == bool(committed), f"{service}'s fence is {fence}"

    removed = await databases.value(
        "users", "select count(*) from outbox where event = 'users.removed' and subject = $1", subject
    )
    assert removed == len(committed), f"{removed} events of the removal"
    if not committed:
        if before is not None:
            changed = _changed(before, await snapshot(databases, subject))
            assert not changed, f"an aborted deletion changed something: {changed}"
        assert acknowledged is not True, "an acknowledged deletion is lost"
        return "aborted" if aborted else "untouched"
    assert acknowledged is not False, "a deletion that was called aborted has happened"
    await _nothing_left(databases, subject)
    return "deleted"


def _changed(before: Snapshot, after: Snapshot) -> list[str]:
    """In words, table by table."""
    found = []
    for table, was in before.items():
        gone, new = [row for row in was if row not in after[table]], [row for row in after[table] if row not in was]
        if gone or new:
            found.append(f"{table}: {gone} became {new}")
    return found


async def _nothing_left(databases: Databases, subject: UUID) -> None:
    after = await snapshot(databases, subject)
    kept = {"users.accounts", *(f"{service}.subject_fence" for service in databases.records)}
    edges = {
        name: rows for name, rows in after.items() if rows and name.startswith("friends.") and name not in kept
    }
    assert edges == {}, edges
    account = {name for name, rows in after.items() if rows and name.startswith("users.") and name not in kept}
    assert account == set(), account


async def erased(databases: Databases, subject: UUID, *, within: float = 20.0) -> None:
    """Wait until the contents of somebody deleted are gone from the database; fails after `within` seconds."""
    until = time.monotonic() + within
    while True:
        after = await snapshot(databases, subject)
        left = {name: len(rows) for name, rows in after.items() if rows and name.startswith("messages.")}
        if left == {"messages.subject_fence": 1} and await databases.records["messages"].erased(subject):
            return
        assert time.monotonic() < until, left
        await asyncio.sleep(0.05)


async def announced(
    databases: Databases, subject: UUID, *, friends: Collection[UUID] = (), within: float = 10.0
) -> None:
    """Wait until the removal of somebody deleted has its effects, and see that each is there exactly once.

    Needs the notifications' database too. Fails after `within` seconds.
    """
    events = []
    for service, event in (
        ("users", "users.removed"),
        ("friends", "friends.person_removed"),
        ("messages", "messages.author_removed"),
    ):
        found = await databases.records[service].events(event, subject)
        assert len(found) == 1, f"{len(found)} times {event}"
        events += found
    until = time.monotonic() + within
    while True:
        heard = await databases.value("notifications", "select count(*) from inbox where event_id = $1", events[0])
        parted = [
            row[0]
            for row in await databases.by_service["friends"].fetch(
                "select subject from outbox where event = 'friends.unfriended' and body->>'other_id' = $1",
                str(subject),
            )
        ]
        if heard and set(friends) <= set(parted):
            break
        assert time.monotonic() < until, f"heard by notifications: {heard}; friends with an event: {parted}"
        await asyncio.sleep(0.05)
    assert sorted(parted) == sorted(set(friends)), f"the friends {friends} got these events: {parted}"

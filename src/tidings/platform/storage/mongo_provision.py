"""Prepares a MongoDB for one service: its user, its collections and indexes; behind a router, what lies where.

Each bucket of every routed collection lies in one zone, and each zone on one shard: what lies with one person is
together, and a write of theirs is one shard's transaction. Run again after a shard was added, it shares the buckets
out anew, and the balancer moves them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol
from urllib.parse import unquote, urlsplit

from bson.max_key import MaxKey
from bson.min_key import MinKey
from pymongo.errors import OperationFailure, PyMongoError

from tidings.platform.data_directory import ExitCode, StartRefused
from tidings.platform.document_schema import Collection, DocumentSchema
from tidings.platform.storage.mongo import ROUTER, Row, open_client
from tidings.platform.storage.mongo_schema import upgrade

BUCKETS: Final = 4096
CHUNKS: Final = 64  # of each collection at first: what a shard that is added may be given

USER_NOT_FOUND: Final = 11

Tell = Callable[[str], None]


class Commands(Protocol):
    """Where an administrator's commands go."""

    async def command(self, database: str, command: Row) -> Row:
        """The answer. Raises OperationFailure."""
        ...


async def provision(admin_url: str, url: str, service: str, schema: DocumentSchema, tell: Tell) -> None:
    """Do all that is not done yet; `tell` gets a line for each step. Raises StartRefused."""
    try:
        await _provision(admin_url, url, service, schema, tell)
    except PyMongoError as error:
        raise StartRefused(
            f"The database of {service} could not be prepared: {error}",
            "Mend what the line above names, and run it again: what is done stays done.",
            ExitCode.MIGRATION_FAILED,
        ) from error


async def _provision(admin_url: str, url: str, service: str, schema: DocumentSchema, tell: Tell) -> None:
    client = open_client(admin_url, "tidings-provision", connections=2)

    class _Sent:
        async def command(self, database: str, command: Row) -> Row:
            return await client[database].command(command)

    try:
        commands = _Sent()
        await make_user(commands, url, tell)
        # Before they are shared out, which would make an index of the key by another name.
        await upgrade(url, service, schema, on_router=True)
        tell(f"collections and indexes of {service} are at schema {schema.revision}")
        if (await commands.command("admin", {"hello": 1})).get("msg") == ROUTER:
            await share_out(commands, database_of(url), schema, tell)
    finally:
        await client.close()


async def make_user(commands: Commands, url: str, tell: Tell) -> None:
    """The user of the store's URL, who may read and write its database, and no other."""
    parts, database = urlsplit(url), database_of(url)
    if parts.username is None:
        tell("the URL names no user: none was made")
        return
    user, password = unquote(parts.username), unquote(parts.password or "")
    roles = [{"role": "readWrite", "db": database}]
    try:
        await commands.command(database, {"updateUser": user, "pwd": password, "roles": roles})
        tell(f"user {user} of {database} has the password of the URL")
    except OperationFailure as error:
        if error.code != USER_NOT_FOUND:
            raise
        await commands.command(database, {"createUser": user, "pwd": password, "roles": roles})
        tell(f"user {user} of {database} was made")


async def share_out(commands: Commands, database: str, schema: DocumentSchema, tell: Tell) -> None:
    """Zones first, then the collections: an empty one is cut along its zones at once, and nothing has to move."""
    listed = {one["_id"]: one for one in (await commands.command("admin", {"listShards": 1}))["shards"]}
    shards = sorted(listed)
    zones = [f"{database}_buckets_{number}" for number in range(len(shards))]
    bounds = [BUCKETS * number // len(shards) for number in range(len(shards) + 1)]
    for shard, zone in zip(shards, zones, strict=True):
        for other in listed[shard].get("tags", ()):
            if other != zone and other.startswith(f"{database}_buckets_"):
                await commands.command("admin", {"removeShardFromZone": shard, "zone": other})
        await commands.command("admin", {"addShardToZone": shard, "zone": zone})
    tell(f"{len(shards)} shards: {', '.join(shards)}")
    await commands.command("admin", {"enableSharding": database})
    for collection in schema.collections:
        if collection.key is not None:
            await _share_out(commands, f"{database}.{collection.name}", collection, zones, bounds)
            tell(f"{collection.name} by {', '.join(collection.key)}: {CHUNKS} chunks in {len(zones)} zones")


async def _share_out(
    commands: Commands, namespace: str, collection: Collection, zones: Sequence[str], bounds: Sequence[int]
) -> None:
    assert collection.key is not None
    for low, high in await _zoned(commands, namespace):
        await commands.command("admin", {"updateZoneKeyRange": namespace, "min": low, "max": high, "zone": None})
    for zone, low_bucket, high_bucket in zip(zones, bounds, bounds[1:], strict=False):
        span = {"min": _bound(collection.key, low_bucket), "max": _bound(collection.key, high_bucket)}
        await commands.command("admin", {"updateZoneKeyRange": namespace, **span, "zone": zone})
    if await _is_sharded(commands, namespace):
        return
    key = dict.fromkeys(collection.key, 1)
    await commands.command("admin", {"shardCollection": namespace, "key": key})
    for number in range(1, CHUNKS):
        bucket = BUCKETS * number // CHUNKS
        if bucket not in bounds:
            middle = _bound(collection.key, bucket)
            await commands.command("admin", {"split": namespace, "middle": middle})


async def _zoned(commands: Commands, namespace: str) -> list[tuple[Row, Row]]:
    """The spans that were given to zones before."""
    found = await commands.command("config", {"find": "tags", "filter": {"ns": namespace}, "batchSize": 1000})
    return [(row["min"], row["max"]) for row in found["cursor"]["firstBatch"]]


async def _is_sharded(commands: Commands, namespace: str) -> bool:
    found = await commands.command("config", {"find": "collections", "filter": {"_id": namespace}})
    return bool(found["cursor"]["firstBatch"])


def _bound(key: Sequence[str], bucket: int) -> Row:
    """Where a bucket begins; before the first and after the last there is nothing."""
    first: Any = MinKey() if bucket == 0 else MaxKey() if bucket == BUCKETS else bucket
    rest: Any = MaxKey() if bucket == BUCKETS else MinKey()
    return {key[0]: first, **dict.fromkeys(key[1:], rest)}


def database_of(url: str) -> str:
    return unquote(urlsplit(url).path.lstrip("/"))

"""What a service's database says of itself: whether it answers, its schema, its clock. Nothing is changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import asyncpg
import msgspec

from tidings.platform.engine_url import is_mongo
from tidings.platform.storage.migrations import ServiceDatabase

PATIENCE = 3.0  # seconds


class Inspected(msgspec.Struct, frozen=True, kw_only=True):
    """`problem` says why it could not be read; the rest is None then.

    `revision` is None for a database without a schema. `server` is its engine and version, `clock_off` its clock
    less ours, in seconds.
    """

    newest: str
    revision: str | None = None
    compatible_down_to: str | None = None
    server: str | None = None
    clock_off: float | None = None
    problem: str | None = None


async def inspect(databases: Sequence[ServiceDatabase]) -> dict[str, Inspected]:
    """Look into every database at the same time."""
    found = await asyncio.gather(*(_inspected(one) for one in databases))
    return {one.service: state for one, state in zip(databases, found, strict=True)}


async def _inspected(one: ServiceDatabase) -> Inspected:
    ours = one.newest
    if is_mongo(one.dsn):
        return await _inspected_documents(one, ours)
    try:
        async with asyncio.timeout(PATIENCE):
            connection = await asyncpg.connect(one.dsn, statement_cache_size=0)
            try:
                return await _read(connection, ours)
            finally:
                await connection.close()
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as problem:
        return Inspected(newest=ours, problem=str(problem) or type(problem).__name__)


async def _inspected_documents(one: ServiceDatabase, ours: str) -> Inspected:
    from pymongo.errors import PyMongoError

    from tidings.platform.storage.mongo_schema import looked_into

    try:
        async with asyncio.timeout(PATIENCE):
            found, server, clock_off = await looked_into(one.dsn, one.service)
    except (TimeoutError, PyMongoError) as problem:
        return Inspected(newest=ours, problem=str(problem) or type(problem).__name__)
    revision, oldest = found or (None, None)
    return Inspected(
        newest=ours, revision=revision, compatible_down_to=oldest, server=f"MongoDB {server}", clock_off=clock_off
    )


async def _read(connection: asyncpg.Connection[asyncpg.Record], ours: str) -> Inspected:
    asked = time.time()
    theirs, server = await connection.fetchrow(
        "select extract(epoch from clock_timestamp())::float8, current_setting('server_version')"
    ) or (asked, "")
    clock_off = theirs - (asked + time.time()) / 2
    try:
        row = await connection.fetchrow("select version_num, compatible_down_to from alembic_version, schema_info")
    except asyncpg.UndefinedTableError:
        row = None
    revision, oldest = (row[0], row[1]) if row is not None else (None, None)
    return Inspected(
        newest=ours,
        revision=revision,
        compatible_down_to=oldest,
        server=f"PostgreSQL {server}",
        clock_off=clock_off,
    )

"""What a service's database says of itself: whether it answers, its size, its schema, its clock.

Nothing is changed. Each is asked by the URL that its service has, and so as that service.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence

import asyncpg

from tidings.platform.engine_url import is_mongo
from tidings.platform.storage.inspected import (
    NO_ANSWER,
    NO_SUCH_HOST,
    NOT_ALLOWED,
    NOTHING_LISTENS,
    PATIENCE,
    WRONG_PASSWORD,
    Inspected,
    Why,
)
from tidings.platform.storage.migrations import ServiceDatabase

__all__ = ["Inspected", "inspect"]


async def inspect(databases: Sequence[ServiceDatabase]) -> dict[str, Inspected]:
    """Look into every database at the same time."""
    found = await asyncio.gather(*(_inspected(one) for one in databases))
    return {one.service: state for one, state in zip(databases, found, strict=True)}


async def _inspected(one: ServiceDatabase) -> Inspected:
    if is_mongo(one.dsn):
        # Here, so that who has no such store does without the driver's memory.
        from tidings.platform.storage.mongo_inspection import inspect_documents

        return await inspect_documents(one.dsn, one.service, one.newest)
    try:
        async with asyncio.timeout(PATIENCE):
            connection = await asyncpg.connect(one.dsn, statement_cache_size=0)
            try:
                return await _read(connection, one.newest)
            finally:
                await connection.close()
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as problem:
        trouble, words = _why(problem)
        return Inspected(newest=one.newest, engine="PostgreSQL", problem=words, trouble=trouble)


async def _read(connection: asyncpg.Connection[asyncpg.Record], ours: str) -> Inspected:
    asked = time.time()
    theirs, server = await connection.fetchrow(
        "select extract(epoch from clock_timestamp())::float8, current_setting('server_version')"
    ) or (asked, "")
    clock_off = theirs - (asked + time.time()) / 2
    size = await connection.fetchval("select pg_database_size(current_database())")
    try:
        row = await connection.fetchrow("select version_num, compatible_down_to from alembic_version, schema_info")
    except asyncpg.UndefinedTableError:
        row = None
    revision, oldest = (row[0], row[1]) if row is not None else (None, None)
    return Inspected(
        newest=ours,
        engine="PostgreSQL",
        version=server.partition(" ")[0],  # a distribution's own name follows
        bytes=size,
        revision=revision,
        compatible_down_to=oldest,
        clock_off=clock_off,
    )


def _why(problem: Exception) -> Why:
    match problem:
        case socket.gaierror():
            return NO_SUCH_HOST
        case TimeoutError():
            return NO_ANSWER
        case ConnectionRefusedError() | FileNotFoundError():  # the latter: a Unix socket that is not there
            return NOTHING_LISTENS
        case asyncpg.CannotConnectNowError():
            return "away", "the server is starting or stopping"
        case asyncpg.TooManyConnectionsError():
            return "other", "all connections that the server allows are taken"
        case asyncpg.InvalidAuthorizationSpecificationError():
            return WRONG_PASSWORD
        case asyncpg.InsufficientPrivilegeError():
            return NOT_ALLOWED
        case asyncpg.InvalidCatalogNameError():
            return "missing", "the server answers, and has no database of that name"
    return "other", str(problem) or type(problem).__name__

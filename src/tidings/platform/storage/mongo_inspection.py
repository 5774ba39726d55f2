"""What a service's database in MongoDB says of itself."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from typing import Final

from pymongo.errors import OperationFailure, PyMongoError

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
from tidings.platform.storage.mongo import open_client
from tidings.platform.storage.mongo_schema import revision_in

UNAUTHORIZED: Final = 13
AUTHENTICATION_FAILED: Final = 18
NO_PRIMARY: Final[Why] = "other", "its set has no primary: nothing is read or written until one is elected"
# The driver tells of each member that it tried; these are parts of that.
SAYS: Final[tuple[tuple[str, Why], ...]] = (
    ("available for replica set name", ("other", "that server belongs to a set of another name")),
    ("No primary", NO_PRIMARY),
    ('match selector "Primary()"', NO_PRIMARY),
    (f"[Errno {errno.ECONNREFUSED}]", NOTHING_LISTENS),
    (f"[Errno {socket.EAI_NONAME}]", NO_SUCH_HOST),
    ("timed out", NO_ANSWER),
    ("No servers found yet", NO_ANSWER),
)


async def inspect_documents(url: str, service: str, newest: str) -> Inspected:
    """Ask as the service, in `PATIENCE` seconds at most."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await _read(url, service, newest)
    except (TimeoutError, PyMongoError) as problem:
        trouble, words = _why(problem)
        return Inspected(newest=newest, engine="MongoDB", problem=words, trouble=trouble)


async def _read(url: str, service: str, newest: str) -> Inspected:
    client = open_client(url, f"{service}-doctor", connections=1)
    try:
        await client.admin.command("ping")  # the time to connect would stand in the clock
        asked = time.time()
        hello = await client.admin.command("hello")
        clock_off = hello["localTime"].timestamp() - (asked + time.time()) / 2
        database = client.get_default_database()
        revision, oldest = await revision_in(database) or (None, None)
        return Inspected(
            newest=newest,
            engine="MongoDB",
            version=(await client.server_info())["version"],
            bytes=int((await database.command("dbStats"))["totalSize"]),  # of all shards, behind a router
            revision=revision,
            compatible_down_to=oldest,
            clock_off=clock_off,
        )
    finally:
        await client.close()


def _why(problem: Exception) -> Why:
    if isinstance(problem, TimeoutError):
        return NO_ANSWER
    if isinstance(problem, OperationFailure):
        if problem.code == AUTHENTICATION_FAILED:
            return WRONG_PASSWORD
        if problem.code == UNAUTHORIZED:
            return NOT_ALLOWED
    words = str(problem).partition(", Timeout: ")[0]
    known = (why for said, why in SAYS if said in words)
    return next(known, ("other", words or type(problem).__name__))

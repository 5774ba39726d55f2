"""What the whole run said to its databases, and whom it connected to. Ordered last, and shown to fail."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from tests.boundaries.recorder import FOLDER
from tests.boundaries.records import (
    Owned,
    Statement,
    addresses,
    in_place_of_a_table,
    processes_of_tests,
    service_of,
    statements,
    strangers,
    trespasses,
    without_literals,
)
from tests.harness.system import Whole, whole

TABLES = (
    "select c.relname, array(select attname from pg_catalog.pg_attribute where attrelid = c.oid and attnum > 0)"
    " from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace"
    " where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname not in ('pg_catalog', 'information_schema')"
    " and n.nspname !~ '^pg_'"
)
OWNERS = {"users", "friends", "messages", "media", "notifications"}


@dataclass(frozen=True)
class Finished:
    """A system apart that was used once, and what each service's own role sees in its database."""

    system: Whole
    owned: dict[str, Owned]


@pytest.fixture(scope="module")
async def used() -> AsyncIterator[Finished]:
    async with whole("apart") as system:
        alice, bob = await system.joins("Alice"), await system.joins("Bob")
        await alice.befriends(bob)
        await bob.posts("hello")
        assert (await alice.timeline())["entries"]
        owned = {}
        for service, dsn in system.system.installation.dsns.items():
            connection = await asyncpg.connect(dsn)
            rows = await connection.fetch(TABLES)
            owned[service] = Owned({row[0] for row in rows}, {column for row in rows for column in row[1]})
            await connection.close()
        yield Finished(system, owned)


async def run(records: Path, source: str, *arguments: str) -> None:
    """A process of Python with records of its own, so that what it plants stays out of this run's."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", source, *arguments), env={**os.environ, FOLDER: str(records)}
    )
    assert await child.wait() == 0


async def test_no_statement_of_a_service_names_anothers_table(used: Finished, records: Path) -> None:
    said = statements(records)
    testing = processes_of_tests(records)
    here = {service_of(one.by, OWNERS) for one in said if one.pid in testing}
    apart = {service_of(one.by, OWNERS) for one in said if one.pid not in testing}

    assert used.owned.keys() == OWNERS
    assert here >= OWNERS, "nothing was recorded in this process"
    assert apart >= OWNERS, "nothing was recorded in other processes"
    for service in OWNERS:  # what is looked for elsewhere is found where it belongs
        own = used.owned[service].tables - used.owned[min(OWNERS - {service})].tables
        mine = [one.text for one in said if service_of(one.by, OWNERS) == service]
        assert own <= set[str]().union(*(in_place_of_a_table(without_literals(text)) for text in mine))
    assert trespasses(said, used.owned) == []


TRESPASS = """
import asyncio, asyncpg, contextlib, sys

async def main(dsn):
    named = {"application_name": "tidings-friends"}
    missing = contextlib.suppress(asyncpg.UndefinedTableError)
    connection = await asyncpg.connect(dsn, server_settings=named)
    with missing:
        await connection.execute("SELECT 1 FROM Accounts")
    with missing:
        await connection.prepare('select * from friendships join public."latest" using (id)')
    with missing:
        await connection.copy_from_query("select handle from sessions", output=sys.stderr.buffer)
    await connection.close()
    async with asyncpg.create_pool(dsn, min_size=1, max_size=1, server_settings=named) as pool:
        with missing:
            await pool.fetch("select $1::int from friendships, reaction", 1)
        with missing:
            await pool.fetch("select f.user_id from friendships f, reply r")
        await pool.fetch("select 'accounts' -- message")
        await pool.fetch("select reply from idempotency")

asyncio.run(main(sys.argv[1]))
"""


async def test_a_planted_statement_on_anothers_table_is_found(used: Finished, tmp_path: Path) -> None:
    await run(tmp_path, TRESPASS, used.system.system.installation.dsns["friends"])

    found = trespasses(statements(tmp_path), used.owned)
    assert [one.partition(":")[0] for one in found] == [
        "friends names accounts",
        "friends names latest",
        "friends names reaction",
        "friends names reply",
        "friends names sessions",
    ]
    by_role = Statement("role tidings_friends_array", "select 1 from accounts", 1)
    assert len(trespasses([by_role], used.owned)) == 1


async def test_row_29_nothing_but_loopback_and_own_sockets_was_connected_to(used: Finished, records: Path) -> None:
    connected = addresses(records)
    assert used.system.system.url.startswith("http://127.0.0.1:")
    assert "127.0.0.1" in connected, "no connection was recorded"
    run_folder = used.system.system.installation.directory.run
    assert f"unix:{run_folder / 'users.sock'}" in connected, "no connection of a child process was recorded"
    assert strangers(connected) == []


CALLS_OUT = """
import asyncio, contextlib, socket, sys
import aiohttp, uvloop

plain = socket.socket()
plain.setblocking(False)
plain.connect_ex(("192.0.2.1", 80))
mapped = socket.socket(socket.AF_INET6)
mapped.setblocking(False)
with contextlib.suppress(OSError):
    mapped.connect_ex(("64:ff9b::7f00:1", 80))

async def main():
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError, TimeoutError):
        await asyncio.wait_for(loop.create_connection(asyncio.Protocol, "192.0.2.2", 80), 0.2)
    with contextlib.suppress(OSError):
        await loop.create_unix_connection(asyncio.Protocol, "/run/docker.sock")
    with contextlib.suppress(OSError):
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("192.0.2.3", 53))
        transport.close()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.2)) as session:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            await session.get("http://192.0.2.4/")

uvloop.run(main())
"""


async def test_row_29_a_planted_connection_to_elsewhere_is_found(tmp_path: Path) -> None:
    await run(tmp_path, CALLS_OUT)

    assert strangers(addresses(tmp_path)) == [
        "192.0.2.1",
        "192.0.2.2",
        "192.0.2.3",
        "192.0.2.4",
        "64:ff9b::7f00:1",
        "unix:/run/docker.sock",
    ]

"""The journeys as they are, where friends are stored otherwise or on another server, and messages in MongoDB.

Every test of tests/journeys and tests/races that is given a system is here by its own name, unchanged; only the
system under it differs.
"""

from __future__ import annotations

import importlib
import inspect
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tests.harness.mongod import runs_mongod
from tests.harness.system import Whole, whole
from tests.services.friends.array_store import array_friends
from tidings import everything
from tidings.platform.engine_url import is_mongo
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.settings import Settings
from tidings.platform.storage.mongo import open_client
from tidings.platform.topology import EMBEDDED_MONGO, Topology
from tidings.system import chosen_topology

HERE = Path(__file__).parent


def is_given_a_system(walk: object) -> bool:
    return inspect.isfunction(walk) and "tidings" in inspect.signature(walk).parameters


def chooses_its_system(thing: object) -> bool:
    """A module or a test that is about one mode only, such as what becomes of a killed process."""
    marks = getattr(thing, "pytestmark", [])
    return any(mark.args[0] == "tidings" for mark in (marks if isinstance(marks, list) else [marks]) if mark.args)


for path in sorted([*HERE.parent.glob("journeys/test_*.py"), *HERE.parent.glob("races/test_*.py")]):
    walked = importlib.import_module(f"tests.{path.parent.name}.{path.stem}")
    if not chooses_its_system(walked):
        for name, walk in vars(walked).items():
            if name.startswith("test_") and is_given_a_system(walk) and not chooses_its_system(walk):
                assert name not in globals(), f"two tests are named {name}"
                globals()[name] = walk


@asynccontextmanager
async def with_array_friends() -> AsyncIterator[Whole]:
    """One process; friends keep one row of arrays a person."""
    async with whole("near", kinds={**everything.SERVICES, "friends": array_friends}) as running:
        yield running


@asynccontextmanager
async def with_two_servers() -> AsyncIterator[Whole]:
    """One process; a topology file puts friends on a second PostgreSQL server."""
    folder = Path(tempfile.mkdtemp(prefix="tidings-second-"))
    folder.chmod(0o711)
    second = EmbeddedPostgres(folder / "postgres", socket=folder / "run", password=secrets.token_urlsafe(16))
    await second.start()
    try:
        dsn = await second.provision("friends", secrets.token_urlsafe(16))
        file = folder / "topology.toml"
        file.write_text(f'[services.friends]\nstore = "{dsn}"\n')
        topology = Topology.load(
            file, list(everything.SERVICES), storeless=everything.STORELESS, with_blobs=everything.WITH_BLOBS
        )
        async with whole("near", topology=topology) as running:
            yield running
    finally:
        await second.stop()
        shutil.rmtree(folder)


@asynccontextmanager
async def with_mongodb() -> AsyncIterator[Whole]:
    """One process; messages are in an embedded MongoDB."""
    topology = chosen_topology(Settings(), apart=False).with_store("messages", EMBEDDED_MONGO)
    async with whole("near", topology=topology) as running:
        yield running


SYSTEMS = {"array friends": with_array_friends, "two servers": with_two_servers, "mongodb": with_mongodb}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Races are about what stands between two calls, so they meet the other stores, and not the other server.

    What becomes of pictures hangs on messages: it meets the other store of those.
    """
    if "tidings" in metafunc.fixturenames:
        racing = metafunc.function.__module__.startswith("tests.races")
        pictured = metafunc.function.__module__ == "tests.journeys.test_media"
        others = {"two servers"} if racing else {"two servers", "array friends"} if pictured else set[str]()
        systems = sorted(SYSTEMS.keys() - others)
        metafunc.parametrize("tidings", systems, indirect=True, scope="module")


@pytest.fixture(scope="module")
async def tidings(request: pytest.FixtureRequest) -> AsyncIterator[Whole]:
    """In place of the three systems that all other tests see."""
    if request.param == "mongodb":
        runs_mongod()
    async with SYSTEMS[request.param]() as running:
        yield running


async def tables_behind(dsn: str) -> set[str]:
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
        return {row[0] for row in rows}
    finally:
        await connection.close()


async def server_of(dsn: str) -> str:
    """What tells one PostgreSQL server from another."""
    connection = await asyncpg.connect(dsn)
    try:
        return str(await connection.fetchval("select system_identifier from pg_control_system()"))
    finally:
        await connection.close()


async def documents_in(url: str, message_id: UUID) -> list[dict[str, Any]]:
    client = open_client(url, "tests", connections=1)
    try:
        return await client.get_default_database()["document"].find({"_id": message_id}).to_list()
    finally:
        await client.close()


async def test_the_system_under_these_journeys_is_the_one_that_is_meant(
    tidings: Whole, request: pytest.FixtureRequest
) -> None:
    alice, bob = await tidings.joins("Alice"), await tidings.joins("Bob")
    await alice.befriends(bob)
    installation = tidings.system.installation
    if request.node.callspec.params["tidings"] == "mongodb":
        assert is_mongo(installation.dsns["messages"])
        assert installation.mongod is not None
        said = (await alice.posts("where am I?"))["id"]
        rows = await documents_in(installation.dsns["messages"], UUID(said))
        assert [row["text"] for row in rows] == ["where am I?"]
        return
    where = {service: await server_of(dsn) for service, dsn in installation.dsns.items()}
    tables = await tables_behind(installation.dsns["friends"])

    if request.node.callspec.params["tidings"] == "array friends":
        assert "people" in tables
        assert "friendships" not in tables
        assert len(set(where.values())) == 1
        return
    assert "friendships" in tables
    assert where["users"] == where["messages"] != where["friends"]
    connection = await asyncpg.connect(installation.dsns["friends"])
    assert await connection.fetchval("select count(*) from friendships where user_id = $1::uuid", alice.id) == 1
    await connection.close()
    assert installation.engine is not None
    async with installation.engine._superuser() as first:  # no database of the first server has them
        databases = {row[0] for row in await first.fetch("select datname from pg_database")}
    assert databases == {"postgres", "template0", "template1", "users", "messages", "media", "notifications"}

"""The embedded MongoDB: starts after whatever happened before, and lets each service into its own database."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

from tests.harness.mongod import runs_mongod
from tidings.platform.data_directory import StartRefused
from tidings.platform.engines.mongod import EmbeddedMongod
from tidings.platform.engines.unprivileged import ENGINE_UID


@pytest.fixture
def data() -> Iterator[Path]:
    runs_mongod()
    with tempfile.TemporaryDirectory(prefix="tidings-test-") as name:
        yield Path(name) / "mongodb"


@pytest.fixture
async def server(data: Path) -> AsyncIterator[EmbeddedMongod]:
    made = EmbeddedMongod(data, password="a test's")
    yield made
    await made.stop()


async def said(url: str, word: str | None = None, *, within: str | None = None) -> list[str]:
    """Keep a word, if one is given; all that are kept."""
    client: AsyncMongoClient[Any] = AsyncMongoClient(url, serverSelectionTimeoutMS=2000)
    try:
        database = client.get_default_database() if within is None else client[within]
        if word is not None:
            await database["words"].insert_one({"word": word})
        return [row["word"] async for row in database["words"].find()]
    finally:
        await client.close()


async def test_it_keeps_its_port_and_its_data_through_kill_9(server: EmbeddedMongod) -> None:
    await server.start()
    url = (await server.provision_all({"messages": "pw"}))["messages"]
    assert await said(url, "kept") == ["kept"]
    pid = server.pid
    noticed = asyncio.ensure_future(server.died())
    await asyncio.sleep(0)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert await asyncio.wait_for(noticed, 5) == -signal.SIGKILL
    await server.start()
    assert (server.pid == pid, (await server.provision_all({"messages": "pw"}))["messages"]) == (False, url)
    assert await said(url) == ["kept"]


async def test_the_next_start_may_find_its_port_taken(server: EmbeddedMongod, data: Path) -> None:
    await server.start()
    url = (await server.provision_all({"messages": "pw"}))["messages"]
    await said(url, "kept")
    await server.stop()
    elsewhere = EmbeddedMongod(data, password="a test's")
    await elsewhere.start()
    try:
        assert elsewhere.port != server.port
        assert await said(elsewhere.urls({"messages": "pw"})["messages"]) == ["kept"]
    finally:
        await elsewhere.stop()


async def test_each_service_opens_its_own_database_alone(server: EmbeddedMongod) -> None:
    await server.start()
    urls = await server.provision_all({"messages": "pw", "media": "other"})
    await said(urls["media"], "private")
    for asked in (
        said(urls["messages"], within="media"),
        said(urls["messages"].replace(":pw@", ":guess@")),
        said(f"mongodb://{server.address}/media?directConnection=true"),
        said(urls["messages"], within="admin"),
    ):
        with pytest.raises(OperationFailure) as refused:
            await asked
        assert refused.value.code in (13, 18)  # unauthorized, or not authenticated


async def test_it_listens_on_loopback_alone_with_private_files(server: EmbeddedMongod) -> None:
    await server.start()
    assert server.pid is not None
    process = psutil.Process(server.pid)
    assert {one.laddr.ip for one in process.net_connections("inet") if one.status == "LISTEN"} == {"127.0.0.1"}
    assert process.uids().effective == (ENGINE_UID if os.geteuid() == 0 else os.geteuid())
    assert ((server.data / "key").stat().st_mode & 0o777, server.data.stat().st_mode & 0o777) == (0o600, 0o700)
    assert "a test's" not in " ".join(process.cmdline())


async def test_refusals_say_what_is_wrong(server: EmbeddedMongod, data: Path) -> None:
    with pytest.raises(StartRefused, match="no MongoDB server"):
        await EmbeddedMongod(data, password="x", program=data / "nowhere").start()
    await server.start()
    await server.stop()
    with pytest.raises(StartRefused, match="another password"):
        await EmbeddedMongod(data, password="not that").start()
    assert server.pid is None

"""The embedded Valkey, and temporary data in it: counted together, gone without harm."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from valkey.asyncio import Valkey
from valkey.exceptions import AuthenticationError, NoPermissionError

from tidings.platform.engines.unprivileged import ENGINE_UID
from tidings.platform.engines.valkey import EmbeddedValkey
from tidings.platform.temporary.memory import InMemory
from tidings.platform.temporary.opening import open_temporary
from tidings.platform.temporary.port import Temporary, ValkeyAddress
from tidings.platform.temporary.valkey import AWAY, InValkey

PASSWORDS = {"edge": "a test's", "timeline": "another's"}


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedValkey]:
    with tempfile.TemporaryDirectory(prefix="tidings-test-") as name:
        Path(name).chmod(0o711)
        made = EmbeddedValkey(Path(name) / "valkey", passwords=PASSWORDS)
        await made.start()
        yield made
        await made.stop()


def address(server: EmbeddedValkey, user: str = "edge") -> ValkeyAddress:
    return ValkeyAddress(server.address, user, PASSWORDS[user])


@pytest.fixture(params=["valkey", "memory"])
async def temporary(request: pytest.FixtureRequest, server: EmbeddedValkey) -> AsyncIterator[Temporary]:
    async with open_temporary(address(server) if request.param == "valkey" else None) as one:
        assert isinstance(one, InValkey if request.param == "valkey" else InMemory)
        yield one


async def test_counters_add_up_and_end(temporary: Temporary) -> None:
    assert await temporary.add({"a": 2, "b": 1}, seconds=1) == {"a": 2, "b": 1}
    assert await temporary.add({"a": 3}, seconds=60) == {"a": 5}  # it ends with its first
    assert await temporary.add({"b": -1, "c": 0}, seconds=60) == {"b": 0, "c": 0}
    await asyncio.sleep(1.1)
    assert await temporary.add({"a": 1, "b": 0}, seconds=60) == {"a": 1, "b": 0}


async def test_marks_stay_until_they_end(temporary: Temporary) -> None:
    await temporary.mark(["a", "b"], seconds=1)
    await temporary.mark(["c"], seconds=60)
    assert await temporary.marked(["a", "b", "c", "never"]) == {"a", "b", "c"}
    await temporary.mark(["a"], seconds=60)  # again, for longer
    await asyncio.sleep(1.1)
    assert await temporary.marked(["a", "b", "c"]) == {"a", "c"}
    assert await temporary.marked([]) == set()
    assert await temporary.add({}, seconds=1) == {}


async def test_two_processes_count_together(server: EmbeddedValkey) -> None:
    async with open_temporary(address(server)) as one, open_temporary(address(server)) as other:
        assert await one.add({"a": 2}, seconds=60) == {"a": 2}
        assert await other.add({"a": 2}, seconds=60) == {"a": 4}


async def test_lost_it_gives_nothing_and_costs_no_time(server: EmbeddedValkey) -> None:
    async with open_temporary(address(server)) as one:
        await one.mark(["a"], seconds=60)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGSTOP)
        began = asyncio.get_running_loop().time()
        for _ in range(20):
            assert await one.add({"a": 1}, seconds=60) is None
            assert await one.marked(["a"]) == set()
        assert asyncio.get_running_loop().time() - began < AWAY
        os.kill(server.pid, signal.SIGKILL)
        await server.died()
        await server.start()
        await asyncio.sleep(AWAY + 0.1)
        assert await one.add({"a": 1}, seconds=60) == {"a": 1}  # what it had is gone


async def test_row_36_each_service_has_its_own_keys_and_few_commands(server: EmbeddedValkey) -> None:
    def client(user: str | None, password: str | None) -> Valkey[str]:
        return Valkey(host="127.0.0.1", port=server.port, username=user, password=password, decode_responses=True)

    edge = client("edge", PASSWORDS["edge"])
    assert await edge.set("edge:{a}", 1)
    for asked in (
        lambda: edge.set("timeline:{a}", 1),
        lambda: edge.get("timeline:{a}"),
        lambda: edge.keys("*"),
        edge.flushall,
        lambda: edge.config_get("*"),
        edge.acl_list,
        lambda: edge.publish("edge:a", "b"),
    ):
        with pytest.raises(NoPermissionError):
            await asked()
    await edge.aclose()
    for user, password in (("edge", PASSWORDS["timeline"]), (None, "guess"), ("nobody", "x"), (None, None)):
        stranger = client(user, password)
        with pytest.raises(AuthenticationError):
            await stranger.get("edge:{a}")
        await stranger.aclose()


async def test_it_listens_on_loopback_alone_and_keeps_nothing(server: EmbeddedValkey) -> None:
    assert server.pid is not None
    process = psutil.Process(server.pid)
    assert {one.laddr.ip for one in process.net_connections("inet") if one.status == "LISTEN"} == {"127.0.0.1"}
    assert process.uids().effective == (ENGINE_UID if os.geteuid() == 0 else os.geteuid())
    data = Path(process.cwd()) if os.geteuid() != 0 else server.data
    async with open_temporary(address(server)) as one:
        await one.mark(["secret-mark"], seconds=60)
    await server.stop()
    assert [file.name for file in data.iterdir()] == ["valkey.conf"]
    assert (data / "valkey.conf").stat().st_mode & 0o777 == 0o600
    assert not any(password in (data / "valkey.conf").read_text() for password in PASSWORDS.values())

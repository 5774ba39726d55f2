"""The embedded NATS: starts after whatever happened before, and lets each service say and hear only its own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import nats
import psutil
import pytest

from tests.harness.bus import greeted
from tidings.platform.data_directory import StartRefused
from tidings.platform.engines.nats import EmbeddedNats
from tidings.platform.engines.unprivileged import ENGINE_UID

USERS = [{"user": "me", "password": "pw", "permissions": {"publish": [">"], "subscribe": [">"]}}]
OWNER = textwrap.dedent(
    """
    import asyncio, sys
    from pathlib import Path
    from tidings.platform.engines.nats import EmbeddedNats

    async def main():
        server = EmbeddedNats(Path(sys.argv[1]), users=[])
        await server.start()
        print(server.pid, flush=True)
        await asyncio.sleep(60)

    asyncio.run(main())
    """
)


@pytest.fixture
def data() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tidings-test-") as name:
        yield Path(name) / "nats"


@pytest.fixture
async def server(data: Path) -> AsyncIterator[EmbeddedNats]:
    made = EmbeddedNats(data, users=USERS)
    yield made
    await made.stop()


async def said(server: EmbeddedNats, word: bytes | None = None) -> list[bytes]:
    """Keep a word in a stream, if one is given; all that is in it."""
    client = await nats.connect(server.address, user="me", password="pw", allow_reconnect=False)
    try:
        stream = client.jetstream()
        await stream.add_stream(name="words", subjects=["words.>"])
        if word is not None:
            await stream.publish("words.one", word)
        count = (await stream.stream_info("words")).state.messages
        return [(await stream.get_msg("words", number)).data or b"" for number in range(1, count + 1)]
    finally:
        await client.close()


async def test_it_keeps_its_port_and_its_data_through_kill_9(server: EmbeddedNats) -> None:
    await server.start()
    assert await said(server, b"kept") == [b"kept"]
    address, pid = server.address, server.pid
    noticed = asyncio.ensure_future(server.died())
    await asyncio.sleep(0)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert await asyncio.wait_for(noticed, 5) == -signal.SIGKILL
    await server.start()
    assert (server.address, server.pid == pid) == (address, False)
    assert await said(server) == [b"kept"]


async def test_it_listens_on_loopback_alone_with_private_files(server: EmbeddedNats) -> None:
    await server.start()
    assert server.pid is not None
    process = psutil.Process(server.pid)
    assert {one.laddr.ip for one in process.net_connections("inet") if one.status == "LISTEN"} == {"127.0.0.1"}
    assert process.uids().effective == (ENGINE_UID if os.geteuid() == 0 else os.geteuid())
    assert ((server.data / "nats.conf").stat().st_mode & 0o777, server.data.stat().st_mode & 0o777) == (
        0o600,
        0o700,
    )
    assert "pw" not in " ".join(process.cmdline())
    assert await greeted(server.address, "me", "pw") == "PONG"
    assert await greeted(server.address, "me", "guess") == "-ERR 'Authorization Violation'"
    assert await greeted(server.address) == "-ERR 'Authorization Violation'"


async def test_kill_9_of_the_owner_takes_it_along_and_a_new_one_starts(server: EmbeddedNats) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, server.data], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    process = psutil.Process(int(owner.stdout.readline()))
    owner.kill()
    owner.wait()
    owner.stdout.close()
    give_up_at = time.monotonic() + 10
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < give_up_at, "the server outlived its owner"
        await asyncio.sleep(0.02)
    await server.start()
    assert await said(server, b"new") == [b"new"]


async def test_one_that_was_left_behind_is_stopped_first(server: EmbeddedNats) -> None:
    await server.start()
    left_behind = server.pid
    other = EmbeddedNats(server.data, users=USERS)
    try:
        await other.start()
        assert other.pid != left_behind
        assert left_behind is not None
        assert not psutil.pid_exists(left_behind) or psutil.Process(left_behind).status() == psutil.STATUS_ZOMBIE
    finally:
        await other.stop()


async def test_refusals_say_what_is_wrong(server: EmbeddedNats, data: Path) -> None:
    with pytest.raises(StartRefused, match="no NATS server"):
        await EmbeddedNats(data, users=[], program=data / "nowhere").start()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server.port = taken.getsockname()[1]
        with pytest.raises(StartRefused, match="address already in use"):
            await server.start()
    assert server.pid is None

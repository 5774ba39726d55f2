"""Topologies between one process and a process per service."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

import asyncpg
import pytest

from tests.harness.system import Whole, whole
from tidings import everything
from tidings.platform.topology import Topology


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


async def test_services_that_share_a_process_share_its_address(tmp_path: Path) -> None:
    file = tmp_path / "topology.toml"
    file.write_text(
        f'[services.users]\nprocess = "people"\nlisten = "tcp://127.0.0.1:{free_port()}"\n'
        '[services.friends]\nprocess = "people"\n[services.messages]\nprocess = "messages"\n'
        '[services.timeline]\nprocess = "edge"\n[edge]\nprocess = "edge"\n'
    )
    topology = Topology.load(
        file,
        list(everything.SERVICES),
        storeless=everything.STORELESS,
        with_blobs=everything.WITH_BLOBS,
        apart=True,
    )
    async with whole("apart", topology=topology) as system:
        assert set(system.system.pids) == {
            "people",
            "messages",
            "media",
            "notifications",
            "web",
            "edge",
            "postgres",
            "valkey",
            "nats",
        }
        alice, bob = [await system.joins(name) for name in ("Alice", "Bob")]
        await alice.befriends(bob)
        await bob.posts("hello")
        assert (await alice.timeline())["entries"][0]["messages"][0]["text"] == "hello"
        assert system.system.metrics_url is not None
        async with system.client.session.get(system.system.metrics_url) as response:
            assert 'process="people"' in await response.text()


@pytest.mark.parametrize("tidings", ["apart"], indirect=True)
async def test_a_write_that_was_given_up_does_not_happen_later(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    dsn = tidings.system.installation.dsns["messages"]
    connection = await asyncpg.connect(dsn)
    serving = "SELECT pid FROM pg_stat_activity WHERE application_name = 'tidings-messages'"
    stopped = [row[0] for row in await connection.fetch(serving)]
    await connection.close()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        answer = await alice.post("/v1/messages", {"text": "given up"})
        assert (answer.status, answer.body["code"]) == (503, "unavailable")
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    await asyncio.sleep(1)
    found = (await alice.get("/v1/messages", params={"author": alice.id})).ok()
    assert found["messages"] == []

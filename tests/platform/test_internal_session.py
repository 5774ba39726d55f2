"""The connections between processes: what waits for one service holds up nobody who asks another one there."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tidings.platform.http.internal import open_session
from tidings.platform.settings import Settings


@pytest.fixture(params=["unix", "tcp"])
async def address(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """Of a process with a service that never answers, and one that does."""

    async def never(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    async def answers(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.add_routes([web.get("/slow", never), web.get("/other", answers)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    folder = Path(tempfile.mkdtemp(prefix="tidings-test-"))
    try:
        if request.param == "unix":
            await web.UnixSite(runner, str(folder / "socket")).start()
            yield f"unix:{folder / 'socket'}"
        else:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"tcp://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        shutil.rmtree(folder)


async def test_as_many_calls_wait_as_a_service_may_have_and_another_answers(address: str) -> None:
    session, base = open_session(address)

    async def asks(path: str) -> int:
        async with session.get(base + path) as answer:
            return answer.status

    async with session, asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(asks("/slow")) for _ in range(Settings(data=Path("none")).max_calls_at_once)]
        await asyncio.sleep(0.2)
        async with asyncio.timeout(5):
            assert await asks("/other") == 200
        for one in waiting:
            assert not one.done()
            one.cancel()

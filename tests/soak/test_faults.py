"""What is in flight through a proxy: requests, and nothing that a driver asks for itself."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from tests.chaos.proxy import Proxy, Trouble
from tests.chaos.servers import MongoServer
from tests.harness.mongod import runs_mongod
from tests.harness.waiting import until
from tests.soak.faults import in_flight
from tidings.platform.storage.mongo import open_client


async def test_a_driver_that_awaits_news_of_its_server_has_nothing_in_flight() -> None:
    runs_mongod()
    folder = Path(tempfile.mkdtemp(prefix="c-"))  # short: sockets lie below
    folder.chmod(0o711)
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        server = MongoServer("messages", folder / "messages")
        await server.start()
        stack.push_async_callback(server.stop)
        door = folder / server.socket_path.name
        proxy = Proxy("messages's database", door, server.socket_path, {os.getpid(): "me"}.__getitem__)
        await proxy.start()
        stack.push_async_callback(proxy.stop)
        client = open_client(server.through(folder), "tests", connections=1)
        stack.push_async_callback(client.close)
        rows = client.get_default_database()["document"]
        await rows.find_one()

        async def only_the_driver_waits() -> bool:
            return proxy.in_flight() == 1

        await until(only_the_driver_waits, what="the driver's wait for news")
        assert in_flight(proxy) == 0
        held = proxy.disturb(Trouble("hold"))
        asked = asyncio.create_task(rows.find_one())

        async def a_request_waits() -> bool:
            return in_flight(proxy) == 1

        await until(a_request_waits, what="a request that has no answer")
        held.heal()
        assert await asked is None
        assert in_flight(proxy) == 0

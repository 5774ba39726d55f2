"""The ground is what it says: a server for each database, a proxy on each way, and faults that are felt."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from tests.chaos.ground import STORED, Ground
from tests.chaos.proxy import Trouble


async def test_each_database_is_on_a_server_of_its_own(ground: Ground) -> None:
    servers = set()
    for dsn in ground.dsns.values():
        connection = await asyncpg.connect(dsn)
        servers.add(await connection.fetchval("select system_identifier from pg_control_system()"))
        await connection.close()
    assert len(servers) == len(STORED) == 5


async def test_services_reach_one_another_and_their_databases_by_proxies_alone(ground: Ground) -> None:
    await ground.steady()
    assert (await ground.whole.client.ask("GET", "/")).status == 200  # the edge alone asks for pages
    for name, proxy in ground.links.items():
        assert proxy.passed > 0, name
    for name, proxy in ground.stores.items():
        assert {ground.name_of(one.pid) for one in proxy.connections} == {name}
    assert "edge" in {ground.name_of(one.pid) for one in ground.link("users").connections}


async def test_who_is_parted_from_one_still_reaches_the_other(ground: Ground) -> None:
    anna, ben = [await ground.whole.joins(name) for name in ("Anna", "Ben")]
    await anna.befriends(ben)
    trouble = ground.link("friends").disturb(Trouble("hold", caller="timeline"))
    assert (await anna.get("/v1/timeline")).status == 503  # it can't know whose messages
    assert trouble.parts > 0
    assert len((await anna.get("/v1/friends")).ok()["people"]) == 1
    ground.heal()
    await ground.steady()


async def test_what_was_killed_or_stopped_comes_back(ground: Ground) -> None:
    first = ground.kill("friends")
    await ground.databases["messages"].restart()
    await ground.steady()
    assert ground.pid("friends") != first
    ground.halt("users")
    assert ground.databases["friends"].halt() > 1
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await ground.whole.joins("Nobody")
    ground.heal()
    await ground.steady()

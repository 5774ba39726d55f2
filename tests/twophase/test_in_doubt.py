"""What an operator sees of deletions that are not over: the command, doctor and the metrics."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from tests.cli.command import tidings as command
from tests.harness.resting import scrape
from tests.harness.system import Whole
from tests.twophase.oracle import Databases, healed
from tidings.platform.twophase.transaction import new_gid

pytestmark = pytest.mark.parametrize("tidings", ["near", "apart"], indirect=True)


@pytest.fixture
async def databases(tidings: Whole) -> AsyncIterator[Databases]:
    opened = await Databases.open(tidings.system.installation.dsns)
    yield opened
    await opened.close()


async def told(tidings: Whole, *arguments: str, code: int = 0) -> Any:
    done = await asyncio.to_thread(command, *arguments, "--data", tidings.settings.data, "--json")
    assert done.returncode == code, (done.stdout, done.stderr)
    return json.loads(done.stdout)


async def in_doubt(tidings: Whole) -> tuple[float, float]:
    """How many deletions the metrics call unfinished, and the age of the oldest: of one answer, since systems that
    share a process share its metrics, and each tells its own."""
    assert tidings.system.metrics_url is not None
    async with aiohttp.ClientSession() as session:
        told = await scrape(session, tidings.system.metrics_url)
    count, oldest = (
        max(one.value for one in told[name])
        for name in ("tidings_twophase_unfinished", "tidings_twophase_oldest_seconds")
    )
    return count, oldest


async def test_what_is_under_way_is_listed_with_its_branches(tidings: Whole, databases: Databases) -> None:
    alice = await tidings.joins("Alice")
    async with tidings.points.holds("before messages/prepare_removal", viewer=alice.id) as held:
        leaving = asyncio.create_task(alice.delete("/v1/users/me"))
        await held.reached()
        found = await told(tidings, "twophase", "list")
        held.go()
    await leaving
    (row,) = found["transactions"]
    assert (row["user_id"], row["outcome"], row["participants"]) == (alice.id, None, ["friends", "messages"])
    assert [(one["service"], one["gid"], one["state"]) for one in found["branches"]] == [
        ("friends", row["gid"], "prepared")
    ]
    await healed(databases)

    shown = await told(tidings, "twophase", "show", row["gid"])
    assert shown["transactions"][0]["finished_at"]
    assert len({one["state"] for one in shown["branches"]}) == 1
    empty = await told(tidings, "twophase", "list")
    assert empty == {"transactions": [], "branches": [], "unreachable": []}
    words = await asyncio.to_thread(command, "twophase", "list", "--data", tidings.settings.data)
    assert words.stdout.strip() == "Nothing is in doubt."
    unknown = await asyncio.to_thread(command, "twophase", "show", "0" * 32, "--data", tidings.settings.data)
    assert unknown.returncode == 12


async def test_doctor_and_the_metrics_show_what_is_in_doubt_for_long(tidings: Whole, databases: Databases) -> None:
    users = databases.by_service["users"]
    report = await told(tidings, "doctor")
    assert next(one for one in report["findings"] if one["link"] == "deletions")["state"] == "ok"
    gid = new_gid()
    await users.execute(
        "insert into twophase_log (gid, subject, participants, begun_at, deadline, leased_until)"
        " values ($1, $2, '{friends,messages}', now() - interval '1 min', now() + interval '1 h', now())",
        gid,
        uuid4(),
    )
    try:
        report = await told(tidings, "doctor", code=13)
        finding = next(one for one in report["findings"] if one["link"] == "deletions")
        assert finding["state"] == "broken"
        assert "1 in doubt" in finding["detail"]
        assert "tidings twophase list" in finding["mend"]
        async with asyncio.timeout(30):
            # Waited for by its age: a count of one may be that of a deletion that was on its way a second ago.
            count, oldest = await in_doubt(tidings)
            while oldest <= 50:
                await asyncio.sleep(0.1)
                count, oldest = await in_doubt(tidings)
        assert count == 1
    finally:
        await users.execute("delete from twophase_log where gid = $1", gid)

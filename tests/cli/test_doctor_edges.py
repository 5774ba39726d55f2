"""doctor shows what stands between somebody and nobody, and takes no deletion under way for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.harness.system import Whole
from tidings.cli.doctor_edges import about_edges
from tidings.contracts import friends, users
from tidings.contracts.friends import EverybodyAsk

pytestmark = pytest.mark.parametrize("tidings", ["near", "apart"], indirect=True)


@pytest.fixture
async def graph(tidings: Whole) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(tidings.system.installation.dsns["friends"])
    yield connection
    await connection.close()


async def test_an_edge_with_nobody_is_shown_and_left_alone(tidings: Whole, graph: asyncpg.Connection[Any]) -> None:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    await alice.befriends(bob)
    await tidings.operator.call(users.suspend, users.Suspend(handle=bob.handle, suspended=True))
    healthy = await about_edges(tidings.settings)
    assert healthy.state == "ok", healthy
    nobody = {name: uuid4() for name in ("a friend", "an asker", "somebody asked", "a muted one", "a blocked one")}
    me = UUID(alice.id)
    await graph.execute("insert into friendships values ($1, $2, 1), ($2, $1, 1)", me, nobody["a friend"])
    await graph.execute("insert into friend_requests values ($1, $2, 1)", nobody["an asker"], me)
    await graph.execute("insert into friend_requests values ($1, $2, 1)", me, nobody["somebody asked"])
    await graph.execute("insert into mutes values ($1, $2, 1)", me, nobody["a muted one"])
    await graph.execute("insert into blocks values ($1, $2, 1)", me, nobody["a blocked one"])
    try:
        finding = await about_edges(tidings.settings)
        assert finding.state == "warning"
        assert finding.detail.startswith("5 without an account, among all ")
        assert {str(one) for one in nobody.values()} == set(finding.detail.rpartition(": ")[2].split(", "))
        assert "Restore both" in finding.mend
        assert (await alice.get("/v1/friends")).status == 200
        assert (
            await graph.fetchval("select count(*) from friendships where friend_id = $1", nobody["a friend"]) == 1
        )
    finally:
        for table, one, other in (
            ("friendships", "user_id", "friend_id"), ("friend_requests", "asker_id", "asked_id"),
            ("mutes", "muter_id", "muted_id"), ("blocks", "blocker_id", "blocked_id"),
        ):  # fmt: skip
            ids = list(nobody.values())
            await graph.execute(f"delete from {table} where {one} = any($1) or {other} = any($1)", ids)
    assert (await about_edges(tidings.settings)).state == "ok"


async def test_a_deletion_that_is_decided_and_not_done_is_none(tidings: Whole) -> None:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    await alice.befriends(bob)
    async with tidings.points.holds("before friends/commit_removal", viewer=alice.id) as held:
        leaving = asyncio.create_task(alice.delete("/v1/users/me"))
        await held.reached()
        finding = await about_edges(tidings.settings)
        held.go()
    assert finding.state == "ok", finding
    assert (await leaving).status in (204, 202)


async def test_all_are_looked_at_page_by_page_for_as_long_as_there_is_time(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    crowd = await tidings.crowd(alice, 25, say=None)
    seen: list[UUID] = []
    ask = EverybodyAsk(limit=7)
    while page := (await tidings.operator.call(friends.everybody, ask)).ids:
        assert len(page) <= 7
        seen += page
        ask = EverybodyAsk(after=page[-1], limit=7)
    assert seen == sorted(set(seen))
    assert {UUID(alice.id), *crowd} <= set(seen)
    whole = await about_edges(tidings.settings, at_once=7)
    assert whole.detail == f"none with somebody who has no account, among all {len(seen):,} people"
    hurried = await about_edges(tidings.settings, patience=0.0, at_once=7)
    assert hurried.detail == "none with somebody who has no account, among the first 7 people"

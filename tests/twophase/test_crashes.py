"""Real processes that are killed, stopped or cut off in the middle of a deletion: it is all or nothing then."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import aiohttp
import pytest

from tests.harness.people import Answer, Person
from tests.harness.system import Whole, whole
from tests.twophase.oracle import Databases, Snapshot, erased, judge, snapshot

HEALED = 20.0  # seconds


@dataclass(frozen=True)
class Fleet:
    """A process for each service, and the file that says where one of them fails."""

    system: Whole
    databases: Databases
    failpoint: Path

    def arm(self, what: str) -> None:
        self.failpoint.with_suffix(".fired").unlink(missing_ok=True)
        partial = self.failpoint.with_suffix(".partial")
        partial.write_text(what)
        partial.rename(self.failpoint)

    async def fired(self) -> None:
        async with asyncio.timeout(15):
            while not self.failpoint.with_suffix(".fired").exists():
                await asyncio.sleep(0.02)

    async def steady(self) -> None:
        """Every service answers."""
        anybody = await self.joins_when_ready()
        async with asyncio.timeout(20):
            while True:
                answer = await anybody.get("/v1/timeline")
                if answer.status == 200 and not answer.body["unreachable"]:
                    return
                await asyncio.sleep(0.1)

    async def joins_when_ready(self) -> Person:
        async with asyncio.timeout(20):
            while True:
                try:
                    return await self.system.joins("Anybody")
                except AssertionError:
                    await asyncio.sleep(0.1)


@pytest.fixture(scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    failpoint = tmp_path_factory.mktemp("failpoint") / "point"
    async with whole("apart", failpoint=str(failpoint), twophase_deadline=2.0, twophase_orphan_after=3.0) as system:
        databases = await Databases.open(system.system.installation.dsns)
        yield Fleet(system, databases, failpoint)
        await databases.close()


@dataclass(frozen=True)
class Leaving:
    """Alice, who leaves; Bob, her friend; and how all was before."""

    fleet: Fleet
    alice: Person
    bob: Person
    before: Snapshot

    @property
    def subject(self) -> UUID:
        return UUID(self.alice.id)

    async def leaves(self) -> Answer | None:
        """One DELETE; None if the connection broke."""
        try:
            return await self.alice.delete("/v1/users/me")
        except aiohttp.ClientError:
            return None

    async def ends(self, answer: Answer | None) -> str:
        """What became of it, by the oracle."""
        told = None
        if answer is not None and answer.status == 204:
            told = True
        elif answer is not None and answer.status == 503 and answer.body["code"] == "deletion_aborted":
            told = False
        return await judge(self.fleet.databases, self.subject, before=self.before, acknowledged=told, within=HEALED)


@pytest.fixture
async def leaving(fleet: Fleet) -> AsyncIterator[Leaving]:
    await fleet.steady()
    alice, bob = [await fleet.system.joins(name) for name in ("Alice", "Bob")]
    await alice.befriends(bob)
    await alice.posts("alice was here")
    yield Leaving(fleet, alice, bob, await snapshot(fleet.databases, UUID(alice.id)))
    fleet.failpoint.unlink(missing_ok=True)


EITHER = {"aborted", "deleted"}


@pytest.mark.parametrize(
    ("what", "outcomes"),
    [
        ("cp0@users:kill", {"untouched"}),
        ("cp1@users:kill", {"aborted"}),
        ("cp2@friends:kill", EITHER),
        ("cp3@friends:kill", EITHER),
        ("cp3@messages:kill", EITHER),
        ("cp6@users:kill", {"aborted"}),
        ("cp7@users:kill", {"deleted"}),
        ("cp8@users:kill", {"deleted"}),
        ("cp9@friends:kill", {"deleted"}),
    ],
)
async def test_a_killed_process_leaves_all_or_nothing(leaving: Leaving, what: str, outcomes: set[str]) -> None:
    leaving.fleet.arm(what)
    answer = await leaving.leaves()
    await leaving.fleet.fired()
    ended = await leaving.ends(answer)
    assert ended in outcomes
    await leaving.fleet.steady()
    timeline = await leaving.bob.timeline()
    assert len(timeline["entries"]) == (0 if ended == "deleted" else 1)
    if ended != "deleted":  # the client's retry works
        async with asyncio.timeout(20):
            while (again := await leaving.leaves()) is None or again.status not in (204, 202):
                await asyncio.sleep(0.2)
        assert await judge(leaving.fleet.databases, leaving.subject, before={}, within=HEALED) == "deleted"


@pytest.mark.parametrize(
    ("what", "status", "outcome"),
    [
        ("cp2@users:drop_request", 204, "deleted"),  # a second try arrives
        ("cp3@users:drop_reply", 204, "deleted"),
        ("cp3@friends:drop_reply", 204, "deleted"),
        ("cp6@users:drop_reply", 204, "deleted"),  # settled by compare-and-set, then read
        ("cp6@users:drop_request", 503, "aborted"),
        ("cp9@users:drop_request", 204, "deleted"),
        ("cp9@friends:drop_reply", 204, "deleted"),  # 42704, and the branch says committed
        ("cp9@messages:drop_reply", 204, "deleted"),
        ("cp2@users:dup", 204, "deleted"),
        ("cp9@users:dup", 204, "deleted"),
        ("cp13@users:dup", 204, "deleted"),
    ],
)
async def test_a_lost_or_doubled_message_changes_nothing(
    leaving: Leaving, what: str, status: int, outcome: str
) -> None:
    leaving.fleet.arm(what)
    answer = await leaving.leaves()
    await leaving.fleet.fired()
    assert answer is not None
    assert answer.status in (status, 202)  # a busy machine may take its second
    assert await leaving.ends(answer) == outcome


async def test_nobody_is_asked_before_the_log_row_is_durable(leaving: Leaving) -> None:
    """cp0: the log row is written, and its commit takes a second. Who is asked first, is asked after it."""
    leaving.fleet.arm("cp0@users:delay=1")
    async with leaving.fleet.system.points.holds("before friends/prepare_removal", viewer=leaving.alice.id) as held:
        asked = asyncio.create_task(leaving.leaves())
        await held.reached()
        rows = await leaving.fleet.databases.value(
            "users", "select count(*) from twophase_log where subject = $1", leaving.subject
        )
        assert rows == 1, "a participant was asked, and the log knows of nothing"
        held.go()
        answer = await asked
    assert await leaving.ends(answer) == "deleted"


async def test_decided_is_deleted_for_every_reader_before_anybody_is_told(leaving: Leaving) -> None:
    """cp7: users stops right after its decision; recovery tells the others when it goes on."""
    leaving.fleet.arm("cp7@users:delay=3")
    answer = await leaving.leaves()
    assert answer is not None and answer.status == 202
    assert answer.body == {"state": "deleted"}
    status = await leaving.fleet.system.client.ask("GET", answer.headers["location"])
    assert status.body == {"state": "deleted"}
    assert (await leaving.bob.timeline())["entries"] == []
    assert (await leaving.bob.get(f"/v1/users/{leaving.alice.id}")).status == 404
    assert await leaving.ends(answer) == "deleted"


async def test_a_coordinator_that_was_stopped_past_its_deadline_cannot_decide(leaving: Leaving) -> None:
    leaving.fleet.arm("cp5@users:stop")
    asked = asyncio.create_task(leaving.leaves())
    await leaving.fleet.fired()
    await asyncio.sleep(2.5)
    os.kill(leaving.fleet.system.system.pids["users"], signal.SIGCONT)
    answer = await asked
    assert await leaving.ends(answer) == "aborted"


async def test_a_recovery_that_is_killed_is_recovered(leaving: Leaving) -> None:
    leaving.fleet.arm("cp7@users:kill")
    answer = await leaving.leaves()
    await leaving.fleet.fired()
    leaving.fleet.arm("cp12@users:kill")
    await leaving.fleet.fired()
    assert await leaving.ends(answer) == "deleted"


@pytest.mark.parametrize("point", ["cp11@friends:kill", "cp11m@friends:kill", "cp11@users:drop_reply"])
async def test_an_abort_is_repeated_until_its_marker_is_in(leaving: Leaving, point: str) -> None:
    leaving.fleet.arm(point)
    async with leaving.fleet.system.points.drops("messages/prepare_removal", viewer=leaving.alice.id):
        answer = await leaving.leaves()
    await leaving.fleet.fired()
    assert await leaving.ends(answer) == "aborted"


@pytest.mark.parametrize(
    ("point", "outcomes"),
    [("after messages/prepare_removal", EITHER), ("before friends/commit_removal", {"deleted"})],
)
async def test_a_killed_database_keeps_what_was_promised(leaving: Leaving, point: str, outcomes: set[str]) -> None:
    async with leaving.fleet.system.points.holds(point, viewer=leaving.alice.id) as held:
        asked = asyncio.create_task(leaving.leaves())
        await held.reached()
        os.kill(leaving.fleet.system.system.pids["postgres"], signal.SIGKILL)
        held.go()
        answer = await asked
    await leaving.fleet.steady()
    await leaving.fleet.databases.close()
    fresh = await Databases.open(leaving.fleet.system.system.installation.dsns)
    leaving.fleet.databases.by_service.update(fresh.by_service)  # type: ignore[attr-defined]
    assert await leaving.ends(answer) in outcomes


async def test_what_a_killed_eraser_left_is_erased_after_its_start(leaving: Leaving) -> None:
    for number in range(5):
        await leaving.alice.posts(f"one more {number}")
    answer = await leaving.leaves()
    os.kill(leaving.fleet.system.system.pids["messages"], signal.SIGKILL)
    assert await leaving.ends(answer) == "deleted"
    await erased(leaving.fleet.databases, leaving.subject)

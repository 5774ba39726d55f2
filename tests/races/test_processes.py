"""Real processes that stop, hang and come back."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

import pytest

from tests.harness.people import Person
from tests.harness.system import Whole

pytestmark = pytest.mark.parametrize("tidings", ["apart"], indirect=True)


def process_of(tidings: Whole, name: str) -> int:
    return tidings.system.pids[name]


async def test_each_service_is_a_process_of_its_own(tidings: Whole) -> None:
    names = {
        "users",
        "friends",
        "messages",
        "media",
        "notifications",
        "timeline",
        "web",
        "edge",
        "postgres",
        "valkey",
        "nats",
    }
    assert names == set(tidings.system.pids)
    assert len(set(tidings.system.pids.values())) == len(names)


async def test_messages_over_its_deadline_is_left_out_in_time(tidings: Whole) -> None:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    await alice.befriends(bob)
    await bob.posts("hello")
    os.kill(process_of(tidings, "messages"), signal.SIGSTOP)
    try:
        began = time.monotonic()
        page = await alice.timeline()
        took = time.monotonic() - began
    finally:
        os.kill(process_of(tidings, "messages"), signal.SIGCONT)

    assert page["unreachable"] == ["messages"]
    assert [entry["messages"] for entry in page["entries"]] == [[]]
    # Safe calls are sent twice here, so the deadline passes twice at most.
    assert took < 2 * tidings.settings.call_deadline + 3
    assert (await alice.timeline())["unreachable"] == []


@pytest.mark.parametrize("service", ["friends", "users", "messages", "timeline"])
async def test_a_killed_service_is_named_and_comes_back(tidings: Whole, service: str) -> None:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    await alice.befriends(bob)
    await bob.posts("still there")
    before = process_of(tidings, service)
    os.kill(before, signal.SIGKILL)

    answer = await alice.get("/v1/timeline")
    if service == "messages" and answer.status == 200:
        assert answer.body["unreachable"] in (["messages"], [])
    elif answer.status != 200:
        assert (answer.status, answer.body["service"]) == (503, service)

    async with asyncio.timeout(15):
        page = await whole_timeline(alice)
    assert page["entries"][0]["messages"][0]["text"] == "still there"
    assert process_of(tidings, service) != before


async def whole_timeline(person: Person) -> dict[str, Any]:
    """As soon as there is one."""
    while (answer := await person.get("/v1/timeline")).status != 200 or answer.body["unreachable"]:
        await asyncio.sleep(0.1)
    body: dict[str, Any] = answer.body
    return body


async def test_a_killed_database_server_comes_back_with_what_was_acknowledged(tidings: Whole) -> None:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    await alice.befriends(bob)
    acknowledged = await bob.posts("acknowledged")
    os.kill(process_of(tidings, "postgres"), signal.SIGKILL)

    async with asyncio.timeout(20):
        page = await whole_timeline(alice)
    assert page["entries"][0]["messages"][0] == acknowledged
    assert (await bob.posts("and on"))["text"] == "and on"

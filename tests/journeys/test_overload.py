"""A service that got slow, and more requests than there is room for: what people meet then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.harness.people import Answer, Person
from tests.harness.system import Mode, Whole, whole
from tests.harness.waiting import until

ROOM = 8
SLOW = 2.0  # seconds
OTHERS = ("/v1/users/me", "/v1/friends", "/v1/notifications", "/v1/presence", "/settings", "/notifications")


@pytest.fixture(scope="module", params=["near", "apart"])
async def strained(request: pytest.FixtureRequest) -> AsyncIterator[Whole]:
    mode: Mode = request.param
    plain = {"repeat_safe_calls": False, "repeat_events": False, "call_deadline": SLOW}
    async with whole(mode, **plain) as running:
        yield running


@pytest.fixture(scope="module", params=["near", "apart"])
async def narrow(request: pytest.FixtureRequest) -> AsyncIterator[Whole]:
    mode: Mode = request.param
    async with whole(mode, max_requests_at_once=ROOM, repeat_safe_calls=False) as running:
        yield running


async def timed(asked: Person, path: str) -> tuple[float, Answer]:
    began = time.monotonic()
    answer = await asked.get(path)
    return time.monotonic() - began, answer


async def test_a_slow_service_slows_nothing_but_what_needs_it_and_soon_not_even_that(strained: Whole) -> None:
    people = [await strained.joins(name) for name in ("Alice", "Bob", "Carol", "Dora", "Eve", "Fay")]
    alice, bob = people[0], people[1]
    await alice.befriends(bob)
    said = await bob.posts("still there")
    for path in OTHERS:
        assert (await alice.get(path)).status == 200
    metrics_url = strained.system.metrics_url
    assert metrics_url is not None

    with strained.points.slows("messages", seconds=SLOW):
        # Nobody has read a feed before, so nothing of one is kept: each asks messages.
        feeds = [asyncio.create_task(timed(one, "/v1/feed")) for one in people for _ in range(4)]
        await asyncio.sleep(0.2)
        while not all(one.done() for one in feeds):
            for path in OTHERS:
                seconds, answer = await timed(alice, path)
                assert answer.status == 200, (path, answer.raw)
                assert seconds < SLOW / 2, path
        for _, answer in await asyncio.gather(*feeds):
            assert answer.status in (200, 503)
            assert b"messages" in answer.raw

        async def at_once() -> Answer | None:
            seconds, answer = await timed(alice, "/v1/feed")
            return answer if seconds < SLOW / 2 else None

        answer = await until(at_once, what="an answer at once")
        assert (answer.status, answer.body["unreachable"]) == (200, ["messages"])
        async with strained.client.session.get(metrics_url) as shown:
            text = await shown.text()
        assert any(
            line.startswith('tidings_dependency_state{callee="messages"') and not line.endswith(" 0.0")
            for line in text.splitlines()
        )

    async def whole_again() -> bool:
        page = (await alice.get("/v1/feed")).ok()
        return page["unreachable"] == [] and [one["message"]["id"] for one in page["items"]] == [said["id"]]

    assert await until(whole_again, within=4.0, what="the whole feed")


async def test_what_there_is_no_room_for_is_refused_and_what_is_inside_is_answered(narrow: Whole) -> None:
    alice, bob = [await narrow.joins(name) for name in ("Alice", "Bob")]
    await alice.befriends(bob)
    async with AsyncExitStack() as stack:
        inside = []
        for _ in range(ROOM * 3 // 4):
            held = await stack.enter_async_context(
                narrow.points.holds("before timeline/get_timeline", viewer=alice.id)
            )
            inside.append(asyncio.create_task(alice.get("/v1/timeline")))
            await held.reached()

        refused = await bob.get("/v1/timeline")
        assert (refused.status, refused.body["code"]) == (503, "overloaded")
        assert refused.headers["Retry-After"] == "1"
        assert (await bob.get("/feed")).status == 503
        posted = await bob.posts("still heard")
        assert (await bob.get("/v1/users/me")).status == 200
        assert (await bob.get(f"/v1/messages/{posted['id']}")).status == 200

        for _ in range(ROOM - ROOM * 3 // 4):
            held = await stack.enter_async_context(narrow.points.holds("before users/get_user", viewer=alice.id))
            inside.append(asyncio.create_task(alice.get("/v1/users/me")))
            await held.reached()
        full = await bob.post("/v1/messages", {"text": "not heard"})
        assert (full.status, full.body["code"], full.headers["Retry-After"]) == (503, "overloaded", "1")
        for path in ("/livez", "/readyz"):
            assert (await narrow.client.ask("GET", path)).status == 200

    answers = await asyncio.gather(*inside)
    assert [one.status for one in answers] == [200] * ROOM
    shown = (await bob.get("/v1/feed")).ok()
    assert [one["message"]["text"] for one in shown["items"]] == ["still heard"]

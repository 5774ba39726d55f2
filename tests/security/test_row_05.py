"""Row 5: a stream that is open says nothing more of somebody who may not be heard any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.harness.people import Answer, Person
from tests.harness.streams import listening
from tests.harness.system import Whole

ENDS: dict[str, Callable[[Person, Person], Awaitable[Answer]]] = {
    "they unfriend": lambda alice, bob: bob.delete(f"/v1/friends/{alice.id}"),
    "they block": lambda alice, bob: bob.put(f"/v1/blocks/{alice.id}"),
    "one unfriends": lambda alice, bob: alice.delete(f"/v1/friends/{bob.id}"),
    "one blocks": lambda alice, bob: alice.put(f"/v1/blocks/{bob.id}"),
}


@pytest.mark.parametrize("how", list(ENDS))
async def test_row_05_an_open_stream_is_filtered_within_five_seconds(tidings: Whole, how: str) -> None:
    alice, bob, carol = [await tidings.joins(name) for name in ("Alice", "Bob", "Carol")]
    await alice.befriends(bob, carol)
    (await alice.get("/v1/timeline")).ok()
    async with listening(alice) as hers:
        await bob.posts("for her")
        await hers.until("timeline")
        (await ENDS[how](alice, bob)).ok()
        await hers.until("friends", "timeline")  # which fails after five seconds
        await asyncio.sleep(0.5)
        hers.events.clear()
        await bob.posts("not for her", audience="public")
        await asyncio.sleep(1)
        assert hers.concerns() == set()
        await carol.posts("still for her")
        await hers.until("timeline")


async def test_row_05_who_was_suspended_or_deleted_is_not_heard_of(tidings: Whole) -> None:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    await alice.befriends(bob)
    async with listening(alice) as hers:
        (await bob.delete("/v1/users/me")).ok()
        await hers.until("friends", "timeline")
        assert (await alice.timeline())["entries"] == []
        assert (await bob.get("/v1/stream")).status == 401

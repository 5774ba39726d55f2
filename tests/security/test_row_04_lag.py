"""Row 4: access that was taken away is gone at once, also while no event arrives anywhere."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from tests.harness.system import Whole
from tidings.contracts import users


@contextmanager
def no_events(tidings: Whole) -> Iterator[None]:
    """Within the block the bus stands still: what is announced waits."""
    bus = tidings.system.pids["nats"]
    os.kill(bus, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(bus, signal.SIGCONT)


async def test_row_04_what_was_taken_away_is_hidden_while_events_lag(tidings: Whole) -> None:
    names = ("Unfriends", "Blocks", "Suspended", "Leaves", "Withdraws", "Narrows")
    alice, *friends = [await tidings.joins(name) for name in ("Alice", *names)]
    await alice.befriends(*friends)
    said = {one.name: (await one.posts(f"by {one.name}"))["id"] for one in friends}
    assert len((await alice.timeline())["entries"]) == len((await alice.feed())["items"]) == len(names)
    for message in said.values():
        assert (await alice.get(f"/v1/messages/{message}")).status == 200

    async def takes_away(name: str) -> None:
        one = next(friend for friend in friends if friend.name == name)
        if name == "Unfriends":
            (await one.delete(f"/v1/friends/{alice.id}")).ok()
        elif name == "Blocks":
            (await one.put(f"/v1/blocks/{alice.id}")).ok()
        elif name == "Suspended":
            await tidings.operator.call(users.suspend, users.Suspend(handle=one.handle, suspended=True))
        elif name == "Leaves":
            answer = await one.delete("/v1/users/me")
            assert answer.status in (202, 204)  # no cache can confirm now, so it takes a second
            address = answer.headers.get("location")
            while address and (await tidings.client.ask("GET", address)).ok()["state"] != "deleted":
                await asyncio.sleep(0.05)
        elif name == "Withdraws":
            (await one.delete(f"/v1/messages/{said[name]}")).ok()
        else:
            narrower = {"audience": "only", "only": [one.id]}
            (await one.patch(f"/v1/messages/{said[name]}", narrower)).ok()

    with no_events(tidings):
        for name in names:
            await takes_away(name)
            assert (await alice.get(f"/v1/messages/{said[name]}")).status == 404, name
            assert said[name] not in (await alice.get("/v1/messages", params={"ids": said[name]})).raw.decode(), (
                name
            )
            assert said[name] not in str(await alice.feed()), name
            assert said[name] not in str(await alice.timeline()), name

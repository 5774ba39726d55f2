"""The live stream says that something changed: to whom it concerns, and for as long as they may know."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from uuid import UUID

import pytest

from tests.harness.streams import Stream, listening
from tests.harness.system import Whole
from tests.harness.waiting import until
from tidings.contracts import friends, messages, users
from tidings.platform.ids import bucket_of, uuid7
from tidings.platform.settings import Settings

MARGIN = 1.0  # seconds, beyond the pause between two looks


async def test_friends_hear_that_something_changed_and_strangers_do_not(tidings: Whole) -> None:
    alice, bob, carol = [await tidings.joins(name) for name in ("Alice", "Bob", "Carol")]
    await alice.befriends(bob)
    async with listening(alice) as hers, listening(carol) as theirs:
        assert (hers.events[0][0], theirs.events[0][0]) == ("hello", "hello")
        message = await bob.posts("hello")
        await hers.until("timeline")
        assert "hello" not in json.dumps([data for _, _, data in hers.events if data.get("changed")])
        (await alice.put(f"/v1/messages/{message['id']}/reactions/+1")).ok()
        await alice.posts("mine")
        await bob.posts("with you", mentions=[alice.id])
        await hers.until("timeline", "notifications")
        assert theirs.concerns() == set()


async def test_what_was_missed_is_told_after_coming_back(tidings: Whole) -> None:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    await alice.befriends(bob)
    async with listening(alice) as first:
        last = first.last
    await bob.posts("while she was away")
    await asyncio.sleep(0.5)
    async with listening(alice, last) as again:
        await again.until("timeline")
    for unknown in ("nobody.7", "x"):
        async with listening(alice, unknown) as lost:
            assert [name for name, _, _ in lost.events] == ["resync"]


async def test_a_past_that_is_imported_is_read_anew(tidings: Whole) -> None:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    await alice.befriends(bob)
    author = users.UserId(UUID(bob.id))
    old = messages.MessageId(uuid7(1_700_000_000_000, rand_a=bucket_of(author)))
    said = messages.ImportedMessage(id=old, author_id=author, text="long ago")
    async with listening(alice) as hers:
        await tidings.operator.call(messages.import_messages, messages.ImportMessages(messages=[said]))
        await hers.until("timeline")

        async def told() -> bool:
            return "resync" in [name for name, _, _ in hers.events]

        await until(told, what="that all is to be read again")
    assert [one["message"]["text"] for one in (await alice.get("/v1/feed")).ok()["items"]] == ["long ago"]


async def falls_silent(stream: Stream) -> None:
    """Return once what came before has come."""

    async def quiet() -> bool:
        stream.events.clear()
        await asyncio.sleep(1)
        return not stream.concerns()

    await until(quiet, what="an end of what came before")


async def test_who_is_made_a_friend_by_the_operator_is_heard_from_then_on(tidings: Whole) -> None:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    a, b = (users.UserId(UUID(one.id)) for one in (alice, bob))
    pair = friends.ImportedFriendship(a=b, b=a, since_ms=1_700_000_000_000)
    async with listening(alice) as hers:
        await tidings.operator.call(friends.import_friendships, friends.ImportFriendships(friendships=[pair]))
        await hers.until("friends", "timeline")
        await falls_silent(hers)
        await bob.posts("hello")
        await hers.until("timeline")
    for one in (alice, bob):
        assert (await one.get("/v1/notifications")).ok()["notifications"] == []


async def test_row_05_an_end_of_friendship_filters_the_open_stream(tidings: Whole) -> None:
    alice, bob, carol = [await tidings.joins(name) for name in ("Alice", "Bob", "Carol")]
    await alice.befriends(bob, carol)
    async with listening(alice) as hers:
        (await bob.delete(f"/v1/friends/{alice.id}")).ok()
        (await carol.put(f"/v1/blocks/{alice.id}")).ok()
        await hers.until("friends", "timeline")
        await falls_silent(hers)
        await bob.posts("not for her")
        await carol.posts("nor this")
        await asyncio.sleep(1)
        assert hers.concerns() == set()


@pytest.mark.parametrize("how", ["sign-out", "everywhere", "suspension"])
async def test_row_05_row_15_a_stream_ends_with_its_session(tidings: Whole, how: str) -> None:
    alice = await tidings.joins("Alice")
    async with listening(alice) as stream:
        if how == "suspension":
            await tidings.operator.call(users.suspend, users.Suspend(handle=alice.handle, suspended=True))
        elif how == "everywhere":
            (await alice.delete("/v1/sessions")).ok()
        else:
            (session,) = (await alice.get("/v1/sessions")).ok()["sessions"]
            (await alice.delete(f"/v1/sessions/{session['id']}")).ok()
        began = time.monotonic()
        await stream.ends(within=15)
        within = tidings.settings.stream_look_every + MARGIN
        assert time.monotonic() - began < within * (2 if tidings.settings.repeat_safe_calls else 1)
    again = await alice.get("/v1/stream")
    assert again.status == 401


def test_row_15_without_a_setting_a_stream_ends_as_soon_as_is_promised() -> None:
    assert Settings(data=Path()).stream_look_every + MARGIN <= 5  # docs/consistency.md


async def test_a_bad_place_and_a_stranger_are_refused(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    assert (await tidings.client.ask("GET", "/v1/stream")).status == 401
    answer = await alice.get("/v1/stream", params={"last_event_id": "x" * 65})
    assert (answer.status, answer.body["errors"][0]["pointer"]) == (422, "?last_event_id")
    answer = await alice.post("/v1/stream")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    head = await tidings.client.ask("HEAD", "/v1/stream", token=alice.token)
    assert (head.status, head.headers["content-type"].partition(";")[0], head.raw) == (
        200,
        "text/event-stream",
        b"",
    )

"""Rows 1-4, 6, 7 and 28: what one may not see looks like what is not there."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from tests.api.conventions import NOBODY
from tests.harness.people import PASSWORD, SEEN, Answer
from tests.harness.system import Whole
from tests.security.timing import in_one_timing_class
from tidings.contracts import users

pytestmark = pytest.mark.parametrize("tidings", ["near"], indirect=True)


# A token holds one's own writes of the last ten seconds: of two answers, the later may hold fewer.
BRINGS_NOTHING = {SEEN: ""}


def without_trace(answer: Answer) -> tuple[int, dict[str, Any], dict[str, str]]:
    body = {name: value for name, value in answer.body.items() if name != "trace_id"}
    headers = {name.lower(): value for name, value in answer.headers.items() if name.lower() != "date"}
    headers["tidings-seen"] = str(len(headers["tidings-seen"]))  # sealed times, as many in both
    return answer.status, body, headers


async def test_row_01_a_message_for_friends_is_to_others_like_one_that_never_was(tidings: Whole) -> None:
    alice, mallory = [await tidings.joins(name) for name in ("Alice", "Mallory")]
    hidden = (await alice.posts("for friends"))["id"]
    only = (await alice.posts("for nobody but one", audience="only", only=[str(NOBODY)]))["id"]

    never = await mallory.get(f"/v1/messages/{NOBODY}", headers=BRINGS_NOTHING)
    assert never.status == 404
    for message in (hidden, only):
        there = await mallory.get(f"/v1/messages/{message}", headers=BRINGS_NOTHING)
        assert without_trace(there) == without_trace(never)
    assert await in_one_timing_class(
        lambda: mallory.get(f"/v1/messages/{hidden}"), lambda: mallory.get(f"/v1/messages/{NOBODY}"), times=15
    )


async def test_row_02_what_hangs_on_a_hidden_message_is_hidden_too(tidings: Whole) -> None:
    alice, bob, mallory = [await tidings.joins(name) for name in ("Alice", "Bob", "Mallory")]
    await alice.befriends(bob)
    hidden = (await alice.posts("for friends"))["id"]
    (await bob.post(f"/v1/messages/{hidden}/replies", {"text": "a reply"})).ok()
    (await bob.put(f"/v1/messages/{hidden}/reactions/+1")).ok()
    (await alice.patch(f"/v1/messages/{hidden}", {"text": "edited"})).ok()
    for method, tail, body in (
        ("GET", "/replies", None),
        ("GET", "/reactions", None),
        ("GET", "/history", None),
        ("POST", "/replies", {"text": "me too"}),
        ("PUT", "/reactions/+1", None),
        ("DELETE", "/reactions/+1", None),
        ("PATCH", "", {"text": "mine now"}),
        ("DELETE", "", None),
    ):
        asked = [
            await tidings.client.ask(method, f"/v1/messages/{message}{tail}", token=mallory.token, json=body)
            for message in (hidden, str(NOBODY))
        ]
        assert without_trace(asked[0]) == without_trace(asked[1]), (method, tail)
        assert asked[0].status == 404, (method, tail)
    assert (await alice.get(f"/v1/messages/{hidden}")).ok()["message"]["text"] == "edited"


async def test_row_02_an_archive_is_given_to_nobody_else(tidings: Whole) -> None:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    root = await tidings.joins("Root")
    await alice.befriends(bob)
    await tidings.operator.call(users.make_administrator, users.ByHandle(handle=root.handle))
    signed_in = {"handle": root.handle, "password": PASSWORD}
    root.token = (await tidings.client.ask("POST", "/v1/sessions", json=signed_in)).ok()["token"]
    for asker in (bob, root):
        never = await asker.get(f"/v1/users/{NOBODY}/export", headers=BRINGS_NOTHING)
        assert never.status == 404
        there = await asker.get(f"/v1/users/{alice.id}/export", headers=BRINGS_NOTHING)
        assert without_trace(there) == without_trace(never)
    assert (await alice.get(f"/v1/users/{alice.id}/export")).status == 200


async def test_row_03_a_bulk_read_gives_the_allowed_and_no_hint(tidings: Whole) -> None:
    alice, bob, mallory = [await tidings.joins(name) for name in ("Alice", "Bob", "Mallory")]
    hidden = (await alice.posts("for friends"))["id"]
    public = (await alice.posts("for all", audience="public"))["id"]
    mixed = await mallory.get("/v1/messages", params={"ids": f"{hidden},{public},{NOBODY}"})
    assert mixed.raw == (await mallory.get("/v1/messages", params={"ids": public})).raw
    (await bob.put(f"/v1/blocks/{mallory.id}")).ok()
    people = await mallory.get("/v1/users", params={"ids": f"{bob.id},{alice.id},{NOBODY}"})
    assert people.raw == (await mallory.get("/v1/users", params={"ids": alice.id})).raw


async def test_row_04_access_that_ended_is_ended_at_once(tidings: Whole) -> None:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    await alice.befriends(bob)
    message = (await bob.posts("for friends"))["id"]
    assert (await alice.get(f"/v1/messages/{message}")).status == 200
    (await bob.delete(f"/v1/friends/{alice.id}")).ok()
    assert (await alice.get(f"/v1/messages/{message}")).status == 404
    assert (await alice.timeline())["entries"] == []
    await alice.befriends(bob)
    (await bob.put(f"/v1/blocks/{alice.id}")).ok()
    assert (await alice.get(f"/v1/messages/{message}")).status == 404
    assert (await alice.feed())["items"] == []


@pytest.mark.parametrize("ending", ["suspended", "deleted"])
async def test_row_06_those_who_are_gone_are_never_shown(tidings: Whole, ending: str) -> None:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    await alice.befriends(bob)
    mine = (await alice.posts("mine"))["id"]
    his = (await bob.posts("his", audience="public"))["id"]
    (await bob.post(f"/v1/messages/{mine}/replies", {"text": "a reply"})).ok()
    (await bob.put(f"/v1/messages/{mine}/reactions/+1")).ok()
    if ending == "suspended":
        await tidings.operator.call(users.suspend, users.Suspend(handle=bob.handle, suspended=True))
    else:
        (await bob.delete("/v1/users/me")).ok()

    assert (await alice.get(f"/v1/messages/{his}")).status == 404
    assert (await alice.get("/v1/messages", params={"ids": his})).ok()["messages"] == []
    assert (await alice.get(f"/v1/messages/{mine}/replies")).ok()["messages"] == []
    assert (await alice.get(f"/v1/messages/{mine}/reactions")).ok()["reactions"] == []
    assert (await alice.timeline())["entries"] == []
    assert bob.id not in (await alice.get("/v1/feed")).raw.decode()
    assert (await alice.get(f"/v1/users/{bob.id}")).status == 404
    assert (await bob.get("/v1/timeline")).status == 401


async def test_row_07_nothing_tells_that_a_private_thing_is_there(tidings: Whole) -> None:
    alice, bob, mallory = [await tidings.joins(name) for name in ("Alice", "Bob", "Mallory")]
    await alice.befriends(bob)
    friends = [await mallory.get(f"/v1/users/{one}/friends", headers=BRINGS_NOTHING) for one in (alice.id, NOBODY)]
    assert without_trace(friends[0]) == without_trace(friends[1])
    assert friends[0].status == 404
    (await alice.put(f"/v1/blocks/{mallory.id}")).ok()
    for path in ("/v1/users/{}", "/v1/friends/{}", "/v1/users/{}/friends"):
        asked = [await mallory.get(path.format(one), headers=BRINGS_NOTHING) for one in (alice.id, NOBODY)]
        assert without_trace(asked[0]) == without_trace(asked[1]), path
    assert (await mallory.put(f"/v1/friends/{alice.id}")).status == 404
    # A picture is made from the id alone: there is one whether or not there is a person.
    pictures = [await mallory.get(f"/v1/avatars/{one}") for one in (alice.id, NOBODY)]
    assert [one.status for one in pictures] == [200, 200]
    # A count of messages would tell that there are some.
    (await alice.posts("for friends"))
    empty = await mallory.get("/v1/messages", params={"author": str(NOBODY)})
    assert (await mallory.get("/v1/messages", params={"author": alice.id})).raw == empty.raw


async def test_row_28_a_place_is_off_by_default_rounded_before_it_is_stored_and_for_friends(tidings: Whole) -> None:
    alice, bob, mallory = [await tidings.joins(name) for name in ("Alice", "Bob", "Mallory")]
    await alice.befriends(bob)
    assert (await alice.posts("nowhere"))["place"] is None

    exact = {"latitude": 38.7222524, "longitude": -9.1393366, "name": "Lisbon"}
    made = await alice.posts("here", place=exact, audience="public")
    assert made["place"] == {"latitude": 38.72, "longitude": -9.14, "name": "Lisbon"}
    coarse = await alice.posts("about here", place={**exact, "decimals": 0}, audience="public")
    assert (coarse["place"]["latitude"], coarse["place"]["longitude"]) == (39, -9)
    reply = await alice.post(f"/v1/messages/{made['id']}/replies", {"text": "there", "place": exact})

    connection = await asyncpg.connect(tidings.system.installation.dsns["messages"])
    try:
        stored = ""
        for table in ("message", "reply", "latest", "outbox", "idempotency"):
            for row in await connection.fetch(f"SELECT * FROM {table}"):
                stored += str(dict(row)) if alice.id in str(dict(row)) else ""
    finally:
        await connection.close()
    assert "38.72" in stored
    assert "38.722" not in stored
    assert "9.139" not in stored

    reads = [
        f"/v1/messages/{made['id']}",
        f"/v1/messages?ids={made['id']},{coarse['id']}",
        f"/v1/messages?author={alice.id}",
    ]
    for path in reads:
        assert b"38.72" in (await bob.get(path)).raw, path
        seen = await mallory.get(path)
        assert (seen.status, b"here" in seen.raw) == (200, True), path
        assert b"Lisbon" not in seen.raw, path
        assert b"38.7" not in seen.raw, path
    replies = f"/v1/messages/{made['id']}/replies"
    assert reply.status == 201
    assert b"Lisbon" in (await bob.get(replies)).raw
    assert b"Lisbon" not in (await mallory.get(replies)).raw

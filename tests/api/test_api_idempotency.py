"""An Idempotency-Key makes a retry safe: one effect, one answer."""

from __future__ import annotations

import asyncio
import secrets

import asyncpg
import pytest

from tests.harness.people import PASSWORD
from tests.harness.system import Whole

KEPT = ("etag", "location", "content-type", "cache-control")


def key() -> dict[str, str]:
    return {"idempotency-key": secrets.token_hex(8)}


async def test_the_same_key_gives_the_same_answer_and_one_effect(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    once = key()

    first = await alice.post("/v1/messages", {"text": "once"}, headers=once)
    again = await alice.post("/v1/messages", {"text": "once"}, headers=once)

    assert (first.status, again.status) == (201, 201)
    assert again.raw == first.raw
    assert {name: again.headers.get(name) for name in KEPT} == {name: first.headers.get(name) for name in KEPT}
    assert first.headers["location"] == f"/v1/messages/{first.body['id']}"
    listed = (await alice.get("/v1/messages", params={"author": alice.id})).ok()
    assert len(listed["messages"]) == 1
    other_key = await alice.post("/v1/messages", {"text": "once"}, headers=key())
    assert other_key.body["id"] != first.body["id"]


async def test_a_key_with_another_body_or_path_is_refused(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    once = key()
    message = (await alice.post("/v1/messages", {"text": "once"}, headers=once)).ok()

    other = await alice.post("/v1/messages", {"text": "twice"}, headers=once)
    assert (other.status, other.body["code"]) == (422, "idempotency_key_reused")

    replies = key()
    second = await alice.posts("another")
    (await alice.post(f"/v1/messages/{message['id']}/replies", {"text": "same"}, headers=replies)).ok()
    elsewhere = await alice.post(f"/v1/messages/{second['id']}/replies", {"text": "same"}, headers=replies)
    assert (elsewhere.status, elsewhere.body["code"]) == (422, "idempotency_key_reused")


async def test_a_key_is_ones_own(tidings: Whole) -> None:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    shared = key()
    hers = (await alice.post("/v1/messages", {"text": "mine"}, headers=shared)).ok()
    his = (await bob.post("/v1/messages", {"text": "mine"}, headers=shared)).ok()
    assert (hers["author_id"], his["author_id"]) == (alice.id, bob.id)


async def test_a_refused_request_leaves_its_key_free(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    once = key()
    refused = await alice.post("/v1/messages", {"text": ""}, headers=once)
    assert (refused.status, refused.body["code"]) == (422, "empty_message")
    assert (await alice.post("/v1/messages", {"text": "said"}, headers=once)).status == 201


async def test_while_the_first_is_at_work_the_second_is_told_so(tidings: Whole) -> None:
    """The first is held where a writer can be: before a row that somebody else has locked."""
    alice = await tidings.joins("Alice")
    await alice.posts("so that there is a fence")
    once = key()
    dsn = tidings.system.installation.dsns["messages"]
    rival = await asyncpg.connect(dsn)
    try:
        held = rival.transaction()
        await held.start()
        # Another writer's uncommitted claim of the very key: as the first request leaves it until its commit.
        await rival.execute(
            "INSERT INTO idempotency (scope, key, fingerprint) VALUES ($1, $2, $3)",
            f"messages/post {alice.id}",
            once["idempotency-key"],
            b"-",
        )
        refused = await alice.post("/v1/messages", {"text": "once"}, headers=once)
        await held.rollback()
    finally:
        await rival.close()

    assert (refused.status, refused.body["code"]) == (409, "idempotency_in_flight")
    assert refused.headers["retry-after"] == "1"
    assert (await alice.post("/v1/messages", {"text": "once"}, headers=once)).status == 201


async def test_many_at_once_have_one_effect(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    once = key()
    answers = await asyncio.gather(*(alice.post("/v1/messages", {"text": "once"}, headers=once) for _ in range(10)))
    ids = {answer.body["id"] for answer in answers if answer.status == 201}
    assert len(ids) == 1
    assert {answer.status for answer in answers} <= {201, 409}
    listed = (await alice.get("/v1/messages", params={"author": alice.id})).ok()
    assert len(listed["messages"]) == 1


async def test_sign_up_is_scoped_to_the_key_alone(tidings: Whole) -> None:
    once, handle = key(), f"zoe_{secrets.token_hex(5)}"
    body = {"handle": handle, "name": "Zoe", "password": PASSWORD}
    first = await tidings.client.ask("POST", "/v1/users", json=body, headers=once)
    again = await tidings.client.ask("POST", "/v1/users", json=body, headers=once)
    assert (first.status, again.status, again.raw) == (201, 201, first.raw)
    assert again.headers["location"] == first.headers["location"] == f"/v1/users/{first.body['id']}"
    other = await tidings.client.ask("POST", "/v1/users", json={**body, "name": "Zed"}, headers=once)
    assert (other.status, other.body["code"]) == (422, "idempotency_key_reused")
    assert PASSWORD.encode() not in first.raw


@pytest.mark.parametrize("tidings", ["near"], indirect=True)
async def test_sessions_keep_no_answers_under_keys(tidings: Whole) -> None:
    """Their answers are secrets: each sign-in gives a token of its own, and none is stored."""
    alice = await tidings.joins("Alice")
    once = key()
    body = {"handle": alice.handle, "password": PASSWORD}
    tokens = [
        (await tidings.client.ask("POST", "/v1/sessions", json=body, headers=once)).ok()["token"] for _ in range(2)
    ]
    assert tokens[0] != tokens[1]
    connection = await asyncpg.connect(tidings.system.installation.dsns["users"])
    try:
        kept = await connection.fetchval("SELECT count(*) FROM idempotency WHERE key = $1", once["idempotency-key"])
    finally:
        await connection.close()
    assert kept == 0


@pytest.mark.parametrize("tidings", ["near"], indirect=True)
@pytest.mark.parametrize("bad", ["", "with space", "x" * 256, "naïve"])
async def test_a_key_is_printable_ascii(tidings: Whole, bad: str) -> None:
    alice = await tidings.joins("Alice")
    refused = await alice.post("/v1/messages", {"text": "x"}, headers={"idempotency-key": bad})
    assert (refused.status, refused.body["code"]) == (400, "bad_request")

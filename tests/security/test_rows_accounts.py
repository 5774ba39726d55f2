"""Rows 8-11, 16 and 17: accounts, roles, passwords and tokens."""

from __future__ import annotations

import base64
import json
import logging
import time
from typing import Any

import asyncpg
import pytest

from tests.api.conventions import NOBODY
from tests.harness.people import PASSWORD, Answer, Person
from tests.harness.system import Whole
from tests.security.conftest import Wary
from tests.security.timing import in_one_timing_class
from tidings.contracts import users
from tidings.platform.data_directory import DataDirectory
from tidings.platform.http import wire
from tidings.platform.http.internal import ENVELOPE, MAC
from tidings.platform.request import Request, Viewer
from tidings.platform.trust import cut_ring

near = pytest.mark.parametrize("tidings", ["near"], indirect=True)


def refusal(answer: Answer) -> tuple[int, str, str]:
    return answer.status, answer.body["code"], answer.body["detail"]


@near
@pytest.mark.parametrize(
    "field", ["role", "verified", "id", "suspended", "created_at", "password", "author_id", "handle"]
)
async def test_row_08_what_is_not_ones_to_set_is_refused(tidings: Whole, field: str) -> None:
    alice = await tidings.joins("Alice")
    message = await alice.posts("hello")
    before = [(await alice.get(path)).raw for path in ("/v1/users/me", f"/v1/messages/{message['id']}")]
    value = {"role": "administrator", "verified": True, "suspended": False}.get(field, str(NOBODY))
    for answer in (
        await alice.patch("/v1/users/me", {"bio": "x", field: value}),
        await alice.put("/v1/users/me", {"name": "A", "bio": "x", field: value}),
        await alice.patch(f"/v1/messages/{message['id']}", {"text": "x", field: value}),
        await alice.post("/v1/messages", {"text": "x", field: value}),
    ):
        assert answer.status == 422
        assert field in answer.body["errors"][0]["detail"]
    assert [(await alice.get(path)).raw for path in ("/v1/users/me", f"/v1/messages/{message['id']}")] == before


@near
async def test_row_08_signing_up_gives_no_role(tidings: Whole) -> None:
    body = {"handle": "root_eve", "name": "Eve", "password": PASSWORD, "role": "administrator"}
    assert (await tidings.client.ask("POST", "/v1/users", json=body)).status == 422


@near
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_row_09_an_administrators_route_is_not_there_for_members(
    tidings: Whole, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    caplog.set_level(logging.INFO, logger="audit")
    answers = [
        await tidings.client.ask(method, f"/v1/users/{one}/suspension", token=alice.token)
        for one in (bob.id, NOBODY)
    ]
    assert [refusal(one)[:2] for one in answers] == [(404, "not_found")] * 2
    assert refusal(answers[0]) == refusal(answers[1])
    entries = [record for record in caplog.records if record.name == "audit" and alice.id in record.getMessage()]
    assert len(entries) == 2
    assert (await bob.get("/v1/users/me")).ok()["suspended"] is False


async def test_row_10_signing_in_tells_nothing_of_who_is_there(wary: Wary) -> None:
    alice = await wary.joins("Alice")
    gone = await wary.joins("Gone")
    await wary.system.operator.call(users.suspend, users.Suspend(handle=gone.handle, suspended=True))

    async def sign_in(handle: str, password: str = "not the one, surely") -> Answer:
        return await wary.client.ask("POST", "/v1/sessions", json={"handle": handle, "password": password})

    answers = [await sign_in(one) for one in (alice.handle, "nobody_here", gone.handle)]
    answers.append(await sign_in(gone.handle, PASSWORD))
    assert {refusal(one) for one in answers} == {(401, "sign_in_failed", "Handle and password do not fit.")}
    assert await in_one_timing_class(lambda: sign_in(alice.handle), lambda: sign_in("nobody_here"), times=7)
    assert await in_one_timing_class(lambda: sign_in(alice.handle), lambda: sign_in(gone.handle), times=7)


async def test_row_10_signing_up_uninvited_tells_nothing_of_who_is_there(wary: Wary) -> None:
    alice = await wary.joins("Alice")

    async def sign_up(handle: str) -> Answer:
        body = {"handle": handle, "name": "X", "password": PASSWORD, "invite": "no-such-invite"}
        return await wary.client.ask("POST", "/v1/users", json=body)

    assert refusal(await sign_up(alice.handle)) == refusal(await sign_up("nobody_here"))
    assert (await sign_up(alice.handle)).status == 403
    assert await in_one_timing_class(lambda: sign_up(alice.handle), lambda: sign_up("nobody_here"), times=7)


async def test_row_10_a_reset_needs_a_link_whoever_it_is_for(wary: Wary) -> None:
    answer = await wary.client.ask("POST", "/v1/password-resets", json={"link": "x" * 43, "password": PASSWORD})
    assert refusal(answer)[:2] == (403, "link_spent")


async def test_row_11_passwords_are_kept_as_argon2id(wary: Wary) -> None:
    alice = await wary.joins("Alice")
    connection = await asyncpg.connect(wary.system.system.installation.dsns["users"])
    try:
        kept = await connection.fetchval("SELECT password_hash FROM accounts WHERE handle = $1", alice.handle)
    finally:
        await connection.close()
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


@near
@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short77", "invalid"),
        ("x" * 257, "invalid"),
        ("password", "weak_password"),
        ("Password1", "weak_password"),
        ("12345678", "weak_password"),
        ("iloveyou", "weak_password"),
        ("Row Eleven", "weak_password"),  # the name
        ("only lower case and spaces", None),
        ("ünïcödé ☃ but long enough", None),
    ],
)
async def test_row_11_weak_passwords_are_refused_without_rules_of_composition(
    tidings: Whole, password: str, code: str | None
) -> None:
    handle = f"eleven_{time.time_ns()}"[:30]
    body = {"handle": handle, "name": "Row Eleven", "password": password}
    answer = await tidings.client.ask("POST", "/v1/users", json=body)
    if code is None:
        assert answer.status == 201
    else:
        assert refusal(answer)[:2] == (422, code)
        assert answer.body["errors"][0]["pointer"] == "/password"


async def _end_by(person: Person, how: str, tidings: Whole) -> None:
    if how == "sign-out":
        session = next(one["id"] for one in (await person.get("/v1/sessions")).ok()["sessions"] if one["current"])
        (await person.delete(f"/v1/sessions/{session}")).ok()
    elif how == "sign-out everywhere":
        (await person.delete("/v1/sessions")).ok()
    elif how == "password change":
        (await person.put("/v1/users/me/password", {"current": PASSWORD, "new": "another horse battery"})).ok()
    elif how == "suspension":
        await tidings.operator.call(users.suspend, users.Suspend(handle=person.handle, suspended=True))
    elif how == "deletion":
        (await person.delete("/v1/users/me")).ok()
    else:
        link = await tidings.operator.call(users.reset_link, users.ByHandle(handle=person.handle))
        body = {"link": link.secret, "password": "another horse battery"}
        (await tidings.client.ask("POST", "/v1/password-resets", json=body)).ok()


@pytest.mark.parametrize(
    "how", ["sign-out", "sign-out everywhere", "password change", "suspension", "deletion", "reset"]
)
async def test_row_16_a_token_is_dead_once_its_session_ended(tidings: Whole, how: str) -> None:
    alice = await tidings.joins("Alice")
    assert (await alice.get("/v1/timeline")).status == 200
    await _end_by(alice, how, tidings)
    for answer in (await alice.get("/v1/timeline"), await alice.post("/v1/messages", {"text": "still here"})):
        assert refusal(answer)[:2] == (401, "unauthenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer")


def _encoded(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@near
async def test_row_17_no_other_kind_of_token_opens_anything(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    claims = {"sub": alice.id, "role": "administrator", "aud": "elsewhere", "iss": "evil", "exp": 4_000_000_000}
    jwt = f"{_encoded({'alg': 'none', 'typ': 'JWT'})}.{_encoded(claims)}."
    for authorization in (
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {jwt}",
        f"Bearer {alice.id}",
        f"Basic {base64.b64encode(f'{alice.handle}:{PASSWORD}'.encode()).decode()}",
        f"Token {alice.token}",
        f"Bearer {alice.token[:-1]}",
        f"Bearer {alice.token}x",
        f"Bearer {alice.token} {alice.token}",
        f"Bearer {alice.token.lower()}",
        "Bearer tds_" + "A" * 43,
    ):
        answer = await tidings.client.ask("GET", "/v1/users/me", headers={"authorization": authorization})
        assert refusal(answer)[:2] == (401, "unauthenticated"), authorization
    for address in (f"/v1/users/me?access_token={alice.token}", f"/v1/users/me?token={alice.token}"):
        assert (await tidings.client.ask("GET", address)).status == 401
    cookie = {"cookie": f"session={alice.token}; token={alice.token}"}
    assert (await tidings.client.ask("GET", "/v1/users/me", headers=cookie)).status == 401


async def test_row_17_an_internal_call_means_nothing_at_the_public_listener(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    directory = DataDirectory.open(tidings.settings.data, lock=False, room_needed=0)
    ring = cut_ring(
        directory.secret("root").encode(),
        "cli",
        ["users", "edge", "friends", "messages", "notifications", "timeline"],
    )
    directory.close()
    ask = users.ByHandle(handle=alice.handle)
    request = Request(viewer=Viewer(role="operator"), caller="cli", deadline=time.monotonic() + 10)
    parcel = wire.pack(users.find, ask, request, ring)
    envelope, mac = (base64.b64encode(part).decode() for part in (parcel.envelope, parcel.mac))
    headers = {ENVELOPE: envelope, MAC: mac, "content-type": "application/json"}
    for path in ("/internal/users/find", "/v1/internal/users/find", "/v1/users/find"):
        answer = await tidings.client.ask("POST", path, data=parcel.body, headers=headers)
        assert answer.status in (404, 405), path
    for sent in ({**headers}, {**headers, "authorization": f"Bearer {mac}"}):
        answer = await tidings.client.ask("GET", "/v1/users/me", headers=sent)
        assert refusal(answer)[:2] == (401, "unauthenticated")

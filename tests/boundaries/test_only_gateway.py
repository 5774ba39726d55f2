"""Row 36: a service is the only gateway to its data; its database and its internal API are closed to all others."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import AsyncIterator
from itertools import permutations
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp
import asyncpg
import msgspec
import pytest

from tests.harness.people import Person
from tests.harness.system import Whole, whole
from tidings.contracts import friends, messages, users
from tidings.contracts.users import UserId
from tidings.platform.contract import Call, Untrusted
from tidings.platform.http.internal import ENVELOPE, MAC
from tidings.platform.request import Request, Viewer
from tidings.platform.topology import CLI, EDGE
from tidings.platform.trust import Envelope, KeyRing, cut_ring, mac
from tidings.platform.world import World

OWNERS = ("friends", "messages", "users")
ADMINISTRATOR = Viewer(user_id=UUID(int=1), role="administrator")


@pytest.fixture(scope="module")
async def system() -> AsyncIterator[Whole]:
    """One process, with its internal listener on a Unix socket as ever."""
    async with whole("near") as running:
        yield running


# Databases.


async def refused_at(dsn: str) -> None:
    with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.InvalidPasswordError)):
        await asyncpg.connect(dsn)


def at_database(dsn: str, database: str) -> str:
    return urlsplit(dsn)._replace(path=f"/{database}").geturl()


@pytest.mark.parametrize(("mine", "theirs"), list(permutations(OWNERS, 2)))
async def test_row_36_a_services_credentials_do_not_open_anothers_database(
    system: Whole, mine: str, theirs: str
) -> None:
    dsns = system.system.installation.dsns
    own = await asyncpg.connect(dsns[mine])
    assert await own.fetchval("select current_database()") == mine
    await own.close()
    await refused_at(at_database(dsns[mine], theirs))
    # The other's name with one's own password is no way either.
    user, password = urlsplit(dsns[theirs]).username, urlsplit(dsns[mine]).password
    await refused_at(urlsplit(dsns[theirs])._replace(netloc=f"{user}:{password}@").geturl())


@pytest.mark.parametrize("mine", OWNERS)
@pytest.mark.parametrize("database", ["postgres", "template1"])
async def test_row_36_a_services_credentials_do_not_open_the_servers_own_databases(
    system: Whole, mine: str, database: str
) -> None:
    await refused_at(at_database(system.system.installation.dsns[mine], database))


@pytest.mark.parametrize("mine", OWNERS)
async def test_row_36_a_services_role_has_no_power_beyond_its_database(system: Whole, mine: str) -> None:
    connection = await asyncpg.connect(system.system.installation.dsns[mine])
    role = await connection.fetchrow("select * from pg_roles where rolname = current_user")
    assert role is not None
    powers = ("rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls")
    assert [power for power in powers if role[power]] == []
    member_of = await connection.fetch("select 1 from pg_auth_members where member = $1", role["oid"])
    assert member_of == []
    for theirs in OWNERS:
        if theirs != mine:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"set role tidings_{theirs}")
    await connection.close()


# The internal API.


class Sender:
    """Somebody who reaches the internal socket, and sends what they like to it."""

    def __init__(self, system: Whole, session: aiohttp.ClientSession) -> None:
        self.system = system
        self.session = session

    def ring(self, service: str) -> KeyRing:
        return self.system.system.installation.ring(service)

    async def send(self, name: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
        """The refusal's code, or what was answered."""
        async with self.session.post(f"http://internal/internal/{name}", data=body, headers=headers) as response:
            raw = await response.read()
        if response.status == 200:
            return 200, ""
        return response.status, msgspec.json.decode(raw)["code"]

    def sealed(
        self, promise: Call[Any, Any], body: bytes, *, caller: str, key: bytes | None = None, **more: Any
    ) -> dict[str, str]:
        """The headers of a call that `caller` signs with its own key, or with another."""
        told: dict[str, Any] = {
            "caller": caller,
            "call": promise.name,
            "viewer": Viewer(role="operator"),
            "expires_ms": time.time_ns() // 1_000_000 + 5_000,
            "remaining_ms": 5_000,
            **more,
        }
        envelope = msgspec.json.encode(Envelope(**told))
        signed = mac(key or self.ring(caller).to[promise.service], envelope, body)
        return {ENVELOPE: b64encode(envelope).decode(), MAC: b64encode(signed).decode()}


@pytest.fixture
async def sender(system: Whole) -> AsyncIterator[Sender]:
    address = system.system.installation.addresses()["internal:users"]
    connector = aiohttp.UnixConnector(address.removeprefix("unix:"))
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Sender(system, session)


IMPORT = users.import_people


def a_person() -> tuple[bytes, str]:
    """A body that would make a person, and the handle by which to look."""
    one = UserId(UUID(int=time.time_ns()))
    handle = f"ghost_{time.time_ns()}"
    person = users.ImportedPerson(id=one, handle=handle, name="Ghost", bio="", created_ms=0)
    return msgspec.json.encode(users.ImportPeople(people=[person])), handle


async def exists(system: Whole, handle: str) -> bool:
    """Whether that person was made, as their service's own database says."""
    connection = await asyncpg.connect(system.system.installation.dsns["users"])
    try:
        return bool(await connection.fetchval("select count(*) from accounts where handle = $1", handle))
    finally:
        await connection.close()


async def test_row_36_what_is_signed_by_a_listed_caller_is_answered(sender: Sender) -> None:
    body, handle = a_person()
    assert await sender.send(IMPORT.name, body, sender.sealed(IMPORT, body, caller=CLI)) == (200, "")
    assert await exists(sender.system, handle)


UNSIGNED = {
    "nothing": {},
    "a public token": {"authorization": "Bearer {token}"},
    "a token as envelope": {ENVELOPE: "{token}", MAC: "{token}"},
    "an envelope that is none": {ENVELOPE: b64encode(b"{}").decode(), MAC: b64encode(b"0" * 32).decode()},
    "no MAC": {ENVELOPE: "{envelope}"},
    "an empty MAC": {ENVELOPE: "{envelope}", MAC: ""},
    "a wrong MAC": {ENVELOPE: "{envelope}", MAC: b64encode(b"0" * 32).decode()},
    "half of the MAC": {ENVELOPE: "{envelope}", MAC: "{half}"},
}


@pytest.mark.parametrize("sent", UNSIGNED, ids=str)
async def test_row_36_an_internal_call_without_a_services_signature_is_refused(sender: Sender, sent: str) -> None:
    body, handle = a_person()
    alice = await sender.system.joins("Alice")
    sealed = sender.sealed(IMPORT, body, caller=CLI)
    known = {"token": alice.token, "envelope": sealed[ENVELOPE], "half": sealed[MAC][:20]}
    headers = {name: value.format(**known) for name, value in UNSIGNED[sent].items()}

    assert await sender.send(IMPORT.name, body, headers) == (400, "untrusted")
    assert not await exists(sender.system, handle)


async def test_row_36_an_envelope_that_has_expired_is_refused(sender: Sender) -> None:
    body, handle = a_person()
    past = time.time_ns() // 1_000_000 - 1
    headers = sender.sealed(IMPORT, body, caller=CLI, expires_ms=past)
    assert await sender.send(IMPORT.name, body, headers) == (400, "untrusted")
    assert not await exists(sender.system, handle)


async def test_row_36_an_envelope_for_another_call_is_refused(sender: Sender) -> None:
    body, handle = a_person()
    headers = sender.sealed(IMPORT, body, caller=CLI, call="users/cards")
    assert await sender.send(IMPORT.name, body, headers) == (400, "untrusted")
    assert not await exists(sender.system, handle)


async def test_row_36_an_envelope_for_another_service_is_refused(sender: Sender) -> None:
    body, handle = a_person()
    headers = sender.sealed(IMPORT, body, caller=CLI, key=sender.ring(CLI).to["friends"])
    assert await sender.send(IMPORT.name, body, headers) == (400, "untrusted")
    assert not await exists(sender.system, handle)


async def test_row_36_a_body_that_was_changed_after_signing_is_refused(sender: Sender) -> None:
    (body, first), (other, second) = a_person(), a_person()
    assert await sender.send(IMPORT.name, other, sender.sealed(IMPORT, body, caller=CLI)) == (
        400,
        "untrusted",
    )
    assert not await exists(sender.system, first)
    assert not await exists(sender.system, second)


async def test_row_36_an_envelope_that_was_changed_after_signing_is_refused(sender: Sender) -> None:
    body, handle = a_person()
    headers = sender.sealed(IMPORT, body, caller="timeline")
    promoted = sender.sealed(IMPORT, body, caller=CLI)
    headers[ENVELOPE] = promoted[ENVELOPE]
    assert await sender.send(IMPORT.name, body, headers) == (400, "untrusted")
    assert not await exists(sender.system, handle)


@pytest.mark.parametrize("caller", ["timeline", "friends", "messages", "users", EDGE])
async def test_row_36_a_service_that_the_call_does_not_list_is_refused(sender: Sender, caller: str) -> None:
    body, handle = a_person()
    headers = sender.sealed(IMPORT, body, caller=caller, viewer=ADMINISTRATOR)
    assert await sender.send(IMPORT.name, body, headers) == (400, "untrusted")
    assert not await exists(sender.system, handle)


async def test_row_36_a_caller_whom_nobody_knows_is_refused(sender: Sender) -> None:
    body, handle = a_person()
    stranger = cut_ring(b"a root of one's own", "stranger", ["users"])
    headers = sender.sealed(IMPORT, body, caller="stranger", key=stranger.to["users"])
    assert await sender.send(IMPORT.name, body, headers) == (400, "untrusted")
    assert not await exists(sender.system, handle)


@pytest.mark.parametrize("mine", ["timeline", "friends", "messages", EDGE])
async def test_row_36_nobody_speaks_for_another_with_a_key_of_their_own(sender: Sender, mine: str) -> None:
    """Not with the key towards the callee, nor with that which the callee uses towards them."""
    body, handle = a_person()
    for key in (sender.ring(mine).to["users"], sender.ring(mine).of["users"]):
        headers = sender.sealed(IMPORT, body, caller=CLI, key=key)
        assert await sender.send(IMPORT.name, body, headers) == (400, "untrusted")
    assert not await exists(sender.system, handle)


async def test_row_36_a_route_of_the_public_is_not_open_to_services(sender: Sender) -> None:
    """Only the edge speaks for people: a service can't act as anybody through another's public routes."""
    for caller in ("timeline", "friends", "messages"):
        route = users.delete_user.call
        body = msgspec.json.encode({"user_id": ADMINISTRATOR.user_id})
        headers = sender.sealed(route, body, caller=caller, viewer=ADMINISTRATOR)
        assert await sender.send(route.name, body, headers) == (400, "untrusted")


# In one process a call is a plain await: the list of callers holds there too.


class Reached:
    """A link over which nothing may be sent."""

    async def send(self, call: Call[Any, Any], ask: Any, request: Request) -> tuple[Any, int]:
        raise AssertionError(f"{request.caller} sent {call.name}")


NOT_LISTED: list[tuple[str, Call[Any, Any], Any]] = [
    ("users", friends.circles, users.ByIds(ids=[])),
    ("media", friends.circles, users.ByIds(ids=[])),
    (EDGE, friends.circles, users.ByIds(ids=[])),
    ("friends", messages.latest_by_authors, messages.LatestAsk(friends=[], others=[])),
    ("users", messages.page_by_authors, messages.PageByAuthorsAsk(friends=[], others=[])),
    ("timeline", users.import_people, users.ImportPeople(people=[])),
    (EDGE, messages.import_messages, messages.ImportMessages(messages=[])),
]


@pytest.mark.parametrize(
    ("caller", "call", "ask"), NOT_LISTED, ids=[f"{one[0]} {one[1].name}" for one in NOT_LISTED]
)
async def test_row_36_in_one_process_who_is_not_listed_is_refused_by_both_ends(
    system: Whole, caller: str, call: Call[Any, Any], ask: Any
) -> None:
    process = system.system.process
    assert process is not None
    request = Request(viewer=ADMINISTRATOR, caller=caller, deadline=time.monotonic() + 5)
    with pytest.raises(Untrusted, match="does not list"):
        await process.world(caller).call(call, ask, request=request)
    with pytest.raises(Untrusted, match="does not list"):  # the caller's end alone: nothing leaves it
        await World(caller, {call.service: Reached()}, deadline=5).call(call, ask, request=request)
    with pytest.raises(Untrusted, match="does not list"):  # the callee's end alone
        await process.servings[call.service].answer(call.name, ask, request)


# The public listener.


async def test_row_36_the_internal_api_is_not_at_the_public_listener(sender: Sender) -> None:
    body, handle = a_person()
    headers = sender.sealed(IMPORT, body, caller=CLI)
    for path in (f"/internal/{IMPORT.name}", f"/v1/../internal/{IMPORT.name}", f"//internal/{IMPORT.name}"):
        answer = await sender.system.client.ask("POST", path, data=body, headers=headers)
        assert answer.status == 404, path
    assert not await exists(sender.system, handle)


async def test_row_36_an_internal_token_at_the_public_listener_is_refused(sender: Sender) -> None:
    alice: Person = await sender.system.joins("Alice")
    viewer = Viewer(user_id=UUID(alice.id), role="administrator")
    sealed = sender.sealed(IMPORT, b"", caller=EDGE, viewer=viewer)
    assert (await sender.system.client.ask("GET", "/v1/users/me", headers=sealed)).status == 401
    for token in (sealed[ENVELOPE], sealed[MAC], f"{sealed[ENVELOPE]}.{sealed[MAC]}"):
        for scheme in ("Bearer", "Tidings"):
            answer = await sender.system.client.ask(
                "GET", "/v1/users/me", headers={**sealed, "authorization": f"{scheme} {token}"}
            )
            assert answer.status == 401
            assert answer.body["code"] == "unauthenticated"

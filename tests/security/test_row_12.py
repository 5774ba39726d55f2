"""Row 12: guessing across many addresses, and asking too often, are limited, with Retry-After, over processes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.harness.people import PASSWORD, Answer
from tests.harness.system import Mode, Whole, whole
from tests.harness.waiting import until

FAILURES = 4
PERSON = 30
ADDRESS = 40


@pytest.fixture(scope="module", params=["near", "apart"])
async def limited(request: pytest.FixtureRequest) -> AsyncIterator[Whole]:
    mode: Mode = request.param
    async with whole(
        mode,
        trusted_proxies=("127.0.0.1/32",),
        sign_in_failures=FAILURES,
        limit_person=PERSON,
        limit_address=ADDRESS,
    ) as running:
        yield running


async def signs_in(system: Whole, handle: str, password: str, *, address: str) -> Answer:
    body = {"handle": handle, "password": password}
    return await system.client.ask("POST", "/v1/sessions", json=body, headers={"x-forwarded-for": address})


async def joins(system: Whole, name: str, *, address: str) -> str:
    """Somebody's handle; each comes from an address of their own, so that nobody uses up another's requests."""
    handle = f"{name}_{os.urandom(5).hex()}"
    body = {"handle": handle, "name": name, "password": PASSWORD}
    (await system.client.ask("POST", "/v1/users", json=body, headers={"x-forwarded-for": address})).ok()
    return handle


async def test_row_12_wrong_passwords_for_one_account_from_many_addresses(limited: Whole) -> None:
    handle = await joins(limited, "victim", address="192.0.2.1")
    for number in range(FAILURES):
        assert (await signs_in(limited, handle, "a guess", address=f"198.51.100.{number}")).status == 401
    refused = await signs_in(limited, handle, PASSWORD, address="198.51.100.200")
    assert refused.status == 429
    assert 0 < int(refused.headers["retry-after"]) <= 900
    assert refused.body["code"] == "too_many_requests"


async def test_row_12_many_guesses_at_once_are_as_many(limited: Whole) -> None:
    handle = await joins(limited, "hurried", address="192.0.2.6")
    guesses = [signs_in(limited, handle, "a guess", address=f"198.51.103.{number}") for number in range(20)]
    told = Counter(one.status for one in await asyncio.gather(*guesses))
    # Who comes second here and first in Valkey is refused with who comes first here: never are there more.
    assert 0 < told[401] <= FAILURES
    assert told[401] + told[429] == len(guesses)


async def test_row_12_who_signs_in_often_is_not_taken_for_a_guesser(limited: Whole) -> None:
    handle = await joins(limited, "frequent", address="192.0.2.7")
    for _ in range(2 * FAILURES):
        assert (await signs_in(limited, handle, PASSWORD, address="192.0.2.7")).status == 201


async def test_row_12_an_account_that_is_not_there_is_limited_alike(limited: Whole) -> None:
    for number in range(FAILURES):
        assert (await signs_in(limited, "nobody_is_here", "x", address=f"198.51.101.{number}")).status == 401
    assert (await signs_in(limited, "nobody_is_here", "x", address="198.51.101.200")).status == 429


async def test_row_12_wrong_passwords_for_many_accounts_from_one_address(limited: Whole) -> None:
    for number in range(5 * FAILURES):
        assert (await signs_in(limited, f"somebody_{number}", "x", address="203.0.113.9")).status == 401
    handle = await joins(limited, "other", address="192.0.2.2")
    assert (await signs_in(limited, handle, PASSWORD, address="203.0.113.9")).status == 429
    assert (await signs_in(limited, handle, PASSWORD, address="203.0.113.10")).status == 201


async def test_each_answer_says_what_is_left_and_the_last_when_to_go_on(limited: Whole) -> None:
    handle = await joins(limited, "busy", address="192.0.2.3")
    token = (await signs_in(limited, handle, PASSWORD, address="192.0.2.3")).ok()["token"]

    async def asks() -> Answer:
        return await limited.client.ask("GET", "/v1/users/me", token=token)

    first = await asks()
    assert first.headers["ratelimit-policy"] == f'"person";q={PERSON};w=60'
    left = re.fullmatch(r'"person";r=(\d+);t=(\d+)', first.headers["ratelimit"])
    assert left is not None
    assert int(left[1]) < PERSON
    answers = [await asks() for _ in range(2 * PERSON + 2)]  # a window may end meanwhile
    refused = [one for one in answers if one.status == 429]
    assert refused
    assert {one.status for one in answers} == {200, 429}
    assert all(0 < int(one.headers["retry-after"]) <= 60 for one in refused)
    assert refused[0].headers["ratelimit"].startswith('"person";r=0;')
    assert (await limited.client.ask("GET", "/v1/openapi.json")).status == 200  # the edge's own


async def test_who_is_not_signed_in_is_counted_by_address(limited: Whole) -> None:
    async def asks(address: str) -> int:
        path = "/v1/avatars/01890000-0000-7000-8000-000000000000"
        return (await limited.client.ask("GET", path, headers={"x-forwarded-for": address})).status

    assert 429 in [await asks("2001:db8:1::1") for _ in range(2 * ADDRESS + 2)]
    assert 429 in [await asks(f"2001:db8:2::{number:x}") for number in range(1, 2 * ADDRESS + 3)]  # one household
    assert await asks("192.0.2.77") == 200


async def test_without_valkey_nothing_fails_and_limits_are_each_process_s(limited: Whole) -> None:
    handle = await joins(limited, "patient", address="192.0.2.4")
    token = (await signs_in(limited, handle, PASSWORD, address="192.0.2.4")).ok()["token"]
    async with AsyncExitStack() as stack:
        pid = limited.system.pids["valkey"]
        os.kill(pid, signal.SIGSTOP)
        stack.callback(os.kill, pid, signal.SIGCONT)
        answers = [await limited.client.ask("GET", "/v1/users/me", token=token) for _ in range(8)]
        assert {one.status for one in answers} == {200}
        for number in range(FAILURES):
            assert (await signs_in(limited, handle, "a guess", address=f"198.51.102.{number}")).status == 401
        assert (await signs_in(limited, handle, PASSWORD, address="198.51.102.99")).status == 429


async def test_a_valkey_that_is_killed_comes_back_and_no_answer_is_an_error(limited: Whole) -> None:
    handle = await joins(limited, "steady", address="192.0.2.5")
    token = (await signs_in(limited, handle, PASSWORD, address="192.0.2.5")).ok()["token"]
    before = limited.system.pids["valkey"]
    os.kill(before, signal.SIGKILL)

    async def back() -> bool:
        assert (await limited.client.ask("GET", "/v1/users/me", token=token)).status in (200, 429)
        return limited.system.pids.get("valkey") not in (None, before)

    await until(back, what="another Valkey")

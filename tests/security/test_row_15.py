"""Row 15: a new password, a sign-out everywhere and a deletion end every session, token, link and open stream."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from tests.harness.people import PASSWORD, Answer, Person
from tests.harness.streams import listening
from tests.harness.system import Whole
from tests.harness.waiting import until
from tidings.contracts import users

NEW = "another horse battery"


async def ends(alice: Person, how: str) -> Answer:
    if how == "password change":
        return await alice.put("/v1/users/me/password", {"current": PASSWORD, "new": NEW})
    if how == "sign-out everywhere":
        return await alice.delete("/v1/sessions")
    answer = await alice.delete("/v1/users/me")
    if answer.status == 202:  # on a machine in use it is decided a little later

        async def decided() -> bool:
            where = answer.headers["location"]
            return bool((await alice.client.ask("GET", where)).ok()["state"] == "deleted")

        await until(decided, what="the end of the deletion")
    return answer


@pytest.mark.parametrize("how", ["password change", "sign-out everywhere", "deletion"])
async def test_row_15_every_session_token_link_and_stream_is_dead(tidings: Whole, how: str) -> None:
    alice = await tidings.joins("Alice")
    sign_in = {"handle": alice.handle, "password": PASSWORD}
    tokens = [alice.token]
    tokens += [(await tidings.client.ask("POST", "/v1/sessions", json=sign_in)).ok()["token"] for _ in range(2)]
    devices = [replace(alice, token=token) for token in tokens]
    links = [await tidings.operator.call(link, users.ByHandle(handle=alice.handle))
             for link in (users.sign_in_link, users.reset_link)]  # fmt: skip
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(listening(device)) for device in devices]
        ended = await ends(alice, how)
        assert ended.status in (200, 202, 204)
        began = time.monotonic()
        for device in devices:
            for path in ("/v1/users/me", "/v1/timeline", "/v1/stream"):
                assert (await device.get(path)).status == 401, path
            assert (await device.post("/v1/messages", {"text": "still here"})).status == 401
        for stream in streams:
            await stream.ends(within=15)
        # Each listening is asked for twice here, one after the other.
        assert time.monotonic() - began < 5 * (2 if tidings.settings.repeat_safe_calls else 1)

    opened = await tidings.client.ask("POST", "/v1/sessions", json={"link": links[0].secret})
    assert opened.status == 403, opened.raw
    assert opened.body["code"] == "link_spent"
    reset = {"link": links[1].secret, "password": "a third horse battery"}
    again = await tidings.client.ask("POST", "/v1/password-resets", json=reset)
    assert again.status == 403, again.raw
    assert again.body["code"] == "link_spent"
    old = await tidings.client.ask("POST", "/v1/sessions", json=sign_in)
    assert old.status == (201 if how == "sign-out everywhere" else 401)
    if how == "password change":
        mine = replace(alice, token=ended.body["token"])
        (session,) = (await mine.get("/v1/sessions")).ok()["sessions"]
        assert session["current"]

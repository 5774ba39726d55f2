"""Valkey flushed, stopped and started under load: laxer for a while, never wrong, no error to whoever asks."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count

import pytest
from valkey.asyncio import Valkey

from tests.harness.people import PASSWORD, SEEN, Answer, Person
from tests.harness.streams import listening
from tests.harness.system import Mode, Whole, whole
from tests.harness.waiting import until
from tidings.platform.engines.valkey import EmbeddedValkey

FAILURES = 4
FLUSHER = "a test's own"
FIRST_SECOND = 1.0  # in which an error would be forgiven after each fault


@pytest.fixture(scope="module", params=["near", "apart"])
async def limited(request: pytest.FixtureRequest) -> AsyncIterator[Whole]:
    """With one more user of Valkey, who may flush it and list what is in it."""
    mode: Mode = request.param
    made = EmbeddedValkey._configuration

    def with_flusher(server: EmbeddedValkey) -> list[str]:
        digest = sha256(FLUSHER.encode()).hexdigest()
        return [*made(server), f"user flusher on #{digest} allkeys -@all +flushall +dbsize +ping"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EmbeddedValkey, "_configuration", with_flusher)
        proxies = ("127.0.0.1/32",)
        async with whole(mode, trusted_proxies=proxies, sign_in_failures=FAILURES, limit_person=100_000) as running:
            yield running


@asynccontextmanager
async def flusher(system: Whole) -> AsyncIterator[Valkey[str]]:
    valkey = system.system.installation.valkey
    assert valkey is not None and valkey.port is not None
    client = Valkey(host="127.0.0.1", port=valkey.port, username="flusher", password=FLUSHER, decode_responses=True)
    try:
        yield client
    finally:
        await client.aclose()


@dataclass
class Load:
    """People who go on asking, and what was wrong with what they were told."""

    system: Whole
    reader: Person
    writer: Person
    hidden: Person
    wrong: list[str] = field(default_factory=list)
    asked: int = 0
    lost_at: float = 0.0  # by time.monotonic()
    said: int = -1
    told: str = ""  # what a friend is told who is told of it

    async def reads(self) -> None:
        """A friend's word is never older than what they knew had been said."""
        known = self.said
        answer = await self.reader.get("/v1/timeline", headers={SEEN: self.told})
        if self._fine(answer, 200):
            (text,) = [
                one["messages"][0]["text"]
                for one in answer.body["entries"]
                if one["author"]["id"] == self.writer.id
            ]
            if int(text) < known:
                self.wrong.append(f"{text} was shown after {known}")

    async def writes(self) -> None:
        number = self.said + 1
        answer = await self.writer.post("/v1/messages", {"text": str(number)})
        if self._fine(answer, 201):
            self.said, self.told = number, answer.headers[SEEN]

    async def looks_who_is_there(self) -> None:
        answer = await self.reader.get("/v1/presence")
        if self._fine(answer, 200) and not {*answer.body["online"]} <= {self.writer.id}:
            self.wrong.append(f"online: {answer.body['online']}")

    async def signs_in(self) -> None:
        """Who knows the password is never taken for a guesser, nor a guesser for them."""
        self._fine(await signs_in(self.system, self.hidden.handle, PASSWORD, "192.0.2.1"), 201)

    async def guesses(self) -> None:
        self._fine(await signs_in(self.system, self.writer.handle, "a guess", "198.51.100.7"), 401, 429)

    def _fine(self, answer: Answer, *expected: int) -> bool:
        self.asked += 1
        if answer.status in expected:
            return True
        if answer.status < 500 or time.monotonic() - self.lost_at > FIRST_SECOND:
            self.wrong.append(f"{answer.status} {answer.raw!r}")
        return False

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        over = asyncio.Event()

        async def again(act: Callable[[], Awaitable[None]], pause: float) -> None:
            while not over.is_set():
                await act()
                await asyncio.sleep(pause)

        async with asyncio.TaskGroup() as group:
            for act, pause in (
                (self.reads, 0.01),
                (self.writes, 0.05),
                (self.looks_who_is_there, 0.02),
                (self.signs_in, 0.1),
                (self.guesses, 0.1),
            ):
                group.create_task(again(act, pause))
            try:
                yield
            finally:
                over.set()


async def signs_in(system: Whole, handle: str, password: str, address: str) -> Answer:
    body = {"handle": handle, "password": password}
    return await system.client.ask("POST", "/v1/sessions", json=body, headers={"x-forwarded-for": address})


async def test_flushed_stopped_and_killed_under_load_it_makes_nothing_wrong(limited: Whole) -> None:
    reader, writer, hidden, stranger = [await limited.joins(name) for name in ("Ada", "Bob", "Cy", "Di")]
    await reader.befriends(writer, hidden)
    (await hidden.put("/v1/users/me/preferences", {"presence": False})).ok()
    load = Load(limited, reader, writer, hidden)
    await load.writes()

    async def online() -> bool:
        return bool((await reader.get("/v1/presence")).ok()["online"])

    async with AsyncExitStack() as stack:
        for one in (writer, hidden, stranger):
            await stack.enter_async_context(listening(one))
        await until(online, what="the writer is online")
        async with load.going_on():
            for _ in range(3):
                async with flusher(limited) as client:
                    assert await client.dbsize() > 0  # else a flush would change nothing
                    load.lost_at = time.monotonic()
                    await client.flushall()
                await asyncio.sleep(0.7)
            pid = limited.system.pids["valkey"]
            load.lost_at = time.monotonic()
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(2.5)
            os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(1.5)
            load.lost_at = time.monotonic()
            os.kill(pid, signal.SIGKILL)

            async def back() -> bool:
                return limited.system.pids.get("valkey") not in (None, pid)

            await until(back, what="another Valkey")
            await asyncio.sleep(1.5)
        assert load.wrong == []
        assert load.asked > 100 and load.said > 20
        await until(online, what="the writer is online again")


async def test_flushed_it_lets_nobody_guess_for_ever(limited: Whole) -> None:
    """Each process still knows what it counted itself; what was counted anew is shared again."""
    victim = await limited.joins("Victim")
    tries = count()

    async def guesses() -> int:
        return (await signs_in(limited, victim.handle, "a guess", f"198.51.104.{next(tries)}")).status

    assert [await guesses() for _ in range(FAILURES)] == [401] * FAILURES
    async with flusher(limited) as client:
        await client.flushall()
    assert await guesses() == 429
    async with flusher(limited) as client:
        assert await client.dbsize() > 0

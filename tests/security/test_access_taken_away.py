"""What takes access away holds from its acknowledgement on: whatever was cached, and however the bus fares.

The readers here send no Tidings-Seen: what was taken away is gone for those who know nothing of it, too.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.harness.people import PASSWORD, Answer, Person
from tests.harness.system import Mode, Whole, whole
from tests.harness.waiting import until
from tidings.contracts import users

Bus = Literal["up", "slow", "stopped", "killed"]

SLOW = 0.3  # seconds, by which caches hear everything late; a beat that old still lets them use what they hold
LOOKED = 0.5  # seconds of reading after an acknowledgement
WAITED = 1.0  # seconds after its commit, at most, for caches that do not confirm
SLACK = 2.0  # seconds, for a machine in use
# All deeds come at once, on a machine in use: an answer may take its time, but has to come.
CALM: dict[str, Any] = {
    "call_deadline": 12.0,
    "lock_timeout_ms": 5_000,
    "transaction_timeout_ms": 10_000,
    "repeat_safe_calls": False,
    "repeat_events": False,
}

COMPOSED = frozenset({"timeline", "feed"})
EVERYWHERE = COMPOSED | {"message", "by ids", "by author", "notifications"}


@dataclass(frozen=True)
class Place:
    """A system, and what happens to its bus while access is taken away."""

    system: Whole
    bus: Bus
    administrator: Person

    @asynccontextmanager
    async def trouble(self) -> AsyncIterator[None]:
        pid = self.system.system.pids["nats"]
        if self.bus == "stopped":
            os.kill(pid, signal.SIGSTOP)
        elif self.bus == "killed":
            os.kill(pid, signal.SIGKILL)
        try:
            yield
        finally:
            if self.bus == "stopped":
                os.kill(pid, signal.SIGCONT)
            await until(self._runs, what="the bus")

    async def _runs(self) -> bool:
        return "nats" in self.system.system.pids


# Places of one mode are on one system, the killed bus last; but a slow one is slow from its start.
PLACES: list[tuple[Mode, Bus]] = [
    ("near", "up"),
    ("near", "stopped"),
    ("near", "slow"),
    ("wire", "up"),
    ("wire", "stopped"),
    ("wire", "slow"),
    ("apart", "up"),
    ("apart", "stopped"),
    ("apart", "killed"),
    ("apart", "slow"),
]


class Ground:
    """The one system that runs, until a place wants another. The people of each test are its own."""

    def __init__(self) -> None:
        self._as: tuple[Mode, float] | None = None
        self._stack = AsyncExitStack()
        self._found: tuple[Whole, Person]

    async def of(self, mode: Mode, hear_delay: float) -> tuple[Whole, Person]:
        """It, and who administers it."""
        if self._as != (mode, hear_delay):
            await self.end()
            system = await self._stack.enter_async_context(whole(mode, hear_delay=hear_delay, **CALM))
            root = await system.joins("Root")
            await system.operator.call(users.make_administrator, users.ByHandle(handle=root.handle))
            root.token = (await signed_in(root)).ok()["token"]
            self._as, self._found = (mode, hear_delay), (system, root)
        return self._found

    async def end(self) -> None:
        self._as = None
        await self._stack.aclose()


@pytest.fixture(scope="module")
async def ground() -> AsyncIterator[Ground]:
    found = Ground()
    yield found
    await found.end()


@pytest.fixture(scope="module", params=PLACES, ids="-".join)
async def place(request: pytest.FixtureRequest, ground: Ground) -> Place:
    mode, bus = request.param
    system, root = await ground.of(mode, SLOW if bus == "slow" else 0.0)
    return Place(system, bus, root)


async def signed_in(person: Person) -> Answer:
    body = {"handle": person.handle, "password": PASSWORD}
    return await person.client.ask("POST", "/v1/sessions", json=body)


@dataclass(frozen=True)
class Scene:
    """Ada reads. Bob, her friend, said something that mentions her, and is signed in twice. Carol is his friend."""

    place: Place
    ada: Person
    bob: Person
    carol: Person
    message: str
    canary: str
    other_token: str
    other_session: str
    looks: Iterator[int] = field(default_factory=itertools.count)

    @classmethod
    async def make(cls, place: Place) -> Scene:
        ada, bob, carol = [await place.system.joins(name) for name in ("Ada", "Bob", "Carol")]
        await bob.befriends(ada, carol)
        canary = f"canary{secrets.token_hex(8)}"
        said = await bob.posts(canary, mentions=[ada.id])
        other = (await signed_in(bob)).ok()
        return cls(place, ada, bob, carol, said["id"], canary, other["token"], other["session_id"])

    @property
    def paths(self) -> dict[str, str]:
        return {
            "timeline": "/v1/timeline",
            "feed": "/v1/feed",
            "message": f"/v1/messages/{self.message}",
            "by ids": f"/v1/messages?ids={self.message}",
            "by author": f"/v1/messages?author={self.bob.id}",
            "notifications": "/v1/notifications",
        }

    async def warm(self) -> None:
        """Read it all until it is all there, and then more, from what is cached."""

        async def all_there() -> bool:
            return set(await self.shown()) == set(self.paths)

        await until(all_there, what="what Bob said, on each path")
        for _ in range(2):
            assert await all_there()
            assert await self.let_in(self.bob.token, self.other_token)

    async def shown(self, persons_too: frozenset[str] = frozenset()) -> list[str]:
        """Where Ada is shown what Bob said, or, on `persons_too`, Bob himself.

        Every other time a path is asked as it never was before: else whole responses are kept, too.
        """
        look = next(self.looks)
        anew = [bool((look + number) % 2) for number in range(len(self.paths))]
        asks = zip(self.paths.values(), anew, strict=True)
        found = await asyncio.gather(*(self._asks(self.ada.token, path, made_anew) for path, made_anew in asks))
        for answer in found:
            assert answer.status in (200, 404), (answer.status, answer.raw)
            assert b'"unreachable":[]' in answer.raw or b"unreachable" not in answer.raw, answer.raw
        return [
            name
            for name, answer in zip(self.paths, found, strict=True)
            if self.canary.encode() in answer.raw or (name in persons_too and self.bob.id.encode() in answer.raw)
        ]

    async def let_in(self, *tokens: str) -> list[str]:
        """What these sessions of Bob's may still read."""
        asked = [(token, path) for token in tokens for path in ("/v1/users/me", "/v1/timeline")]
        found = await asyncio.gather(*(self._asks(*one) for one in asked))
        for answer in found:
            assert answer.status in (200, 401), (answer.status, answer.raw)
        return [path for (_, path), answer in zip(asked, found, strict=True) if answer.status == 200]

    async def _asks(self, token: str, path: str, anew: bool = False) -> Answer:
        """As by a client that keeps no Tidings-Seen."""
        unlike = {"x-look": secrets.token_hex(8)} if anew else None  # another header is another request
        return await self.ada.client.ask("GET", path, token=token, headers=unlike)


@dataclass(frozen=True)
class Deed:
    """Something that takes access away, and from which reads."""

    do: Callable[[Scene], Awaitable[Answer]]
    hides_what_was_said: bool = True
    hides_bob_on: frozenset[str] = frozenset()
    ends: Literal["nothing", "the other session", "both sessions"] = "nothing"

    async def holds(self, scene: Scene) -> None:
        """Look, again and again; nothing shows what was taken away, not once."""
        until_then = time.monotonic() + LOOKED
        looks = 0
        while looks < 2 or time.monotonic() < until_then:
            looks += 1
            still = await scene.shown(self.hides_bob_on) if self.hides_what_was_said else []
            if self.ends != "nothing":
                ended = [scene.other_token, *([scene.bob.token] if self.ends == "both sessions" else [])]
                still += await scene.let_in(*ended)
            assert not still, f"look {looks} after the acknowledgement: still there on {still}"


async def delete_account(scene: Scene) -> Answer:
    """Acknowledged by 204, or by `deleted` at the status address. On a slow machine some are aborted: ask again."""
    for _ in range(10):
        answer = await scene.bob.delete("/v1/users/me")
        if answer.status == 202 and await ended(scene.bob, answer.headers["location"]) == "deleted":
            return Answer(204, answer.headers, b"", answer.trace)
        if answer.status not in (202, 503):
            break
    return answer


async def ended(person: Person, where: str) -> str:
    """How a deletion ended whose status is there."""

    async def state() -> str | None:
        said: str = (await person.client.ask("GET", where)).ok()["state"]
        return None if said == "deciding" else said

    return str(await until(state, what="the end of the deletion"))


async def change_password(scene: Scene) -> Answer:
    change = {"current": PASSWORD, "new": "another horse, another battery"}
    return await scene.bob.put("/v1/users/me/password", change)


DEEDS = {
    "block": Deed(lambda scene: scene.bob.put(f"/v1/blocks/{scene.ada.id}"), hides_bob_on=EVERYWHERE),
    "block, by the reader": Deed(
        lambda scene: scene.ada.put(f"/v1/blocks/{scene.bob.id}"), hides_bob_on=EVERYWHERE
    ),
    "unfriend": Deed(lambda scene: scene.bob.delete(f"/v1/friends/{scene.ada.id}"), hides_bob_on=COMPOSED),
    "withdrawal": Deed(lambda scene: scene.bob.delete(f"/v1/messages/{scene.message}")),
    "narrower audience": Deed(
        lambda scene: scene.bob.patch(
            f"/v1/messages/{scene.message}", {"audience": "only", "only": [scene.carol.id]}
        )
    ),
    "suspension": Deed(
        lambda scene: scene.place.administrator.put(f"/v1/users/{scene.bob.id}/suspension"),
        hides_bob_on=EVERYWHERE,
        ends="both sessions",
    ),
    "deletion": Deed(delete_account, hides_bob_on=EVERYWHERE, ends="both sessions"),
    "sign-out": Deed(
        lambda scene: scene.bob.delete(f"/v1/sessions/{scene.other_session}"),
        hides_what_was_said=False,
        ends="the other session",
    ),
    "sign-out of itself": Deed(
        lambda scene: scene.ada.client.ask(
            "DELETE", f"/v1/sessions/{scene.other_session}", token=scene.other_token
        ),
        hides_what_was_said=False,
        ends="the other session",
    ),
    "sign-out everywhere": Deed(
        lambda scene: scene.bob.delete("/v1/sessions"), hides_what_was_said=False, ends="both sessions"
    ),
    "change of password": Deed(change_password, hides_what_was_said=False, ends="both sessions"),
}


async def test_what_is_taken_away_is_gone_from_its_acknowledgement_on(place: Place) -> None:
    """Each of the deeds, by people of its own, at the same time."""
    scenes = {name: await Scene.make(place) for name in DEEDS}
    for scene in scenes.values():
        await scene.warm()
    failed: dict[str, str] = {}

    async def take_away(name: str) -> None:
        scene, deed = scenes[name], DEEDS[name]
        await scene.warm()
        try:
            answer = await deed.do(scene)
            assert answer.status in (200, 204), (answer.status, answer.raw)
            await deed.holds(scene)
        except AssertionError as problem:
            failed[name] = str(problem)

    async def look_again(name: str) -> None:
        try:
            await DEEDS[name].holds(scenes[name])
        except AssertionError as problem:
            failed.setdefault(name, f"once the bus is back: {problem}")

    async with place.trouble():
        await asyncio.gather(*(take_away(name) for name in DEEDS))
    await asyncio.gather(*(look_again(name) for name in DEEDS))
    assert not failed, "\n".join(f"{name}: {why}" for name, why in failed.items())


async def test_what_is_read_again_comes_from_caches(place: Place) -> None:
    """Or nothing above would mean anything."""
    scene = await Scene.make(place)
    await scene.warm()

    async def hits() -> bool:
        before = await cache_hits(place.system)
        for _ in range(40):
            assert "timeline" in await scene.shown()
        found = await cache_hits(place.system) - before
        # Of Ada's circle, the cards in it and what they said; and of who she is.
        return found["timeline"] >= 40 and found["edge"] >= 40

    await until(hits, what="forty times in which no beat came late")


async def cache_hits(system: Whole) -> Counter[str]:
    """So far, by who holds the cache."""
    assert system.system.metrics_url is not None
    async with system.client.session.get(system.system.metrics_url) as response:
        families = text_string_to_metric_families(await response.text())
    hits: Counter[str] = Counter()
    for family in families:
        if family.name == "tidings_cache_reads":
            for sample in family.samples:
                if sample.labels["outcome"] == "hit":
                    hits[sample.labels["holder"]] += int(sample.value)
    return hits


@pytest.mark.parametrize("place", [("apart", "up")], ids=["apart"], indirect=True)
async def test_a_process_that_stands_still_delays_the_acknowledgement_and_shows_nothing_stale(place: Place) -> None:
    """Its cache cannot confirm. Reads that wait for it since the acknowledgement are answered when it goes on."""
    scene, deed = await Scene.make(place), DEEDS["block"]
    await scene.warm()
    process = place.system.system.pids["timeline"]
    os.kill(process, signal.SIGSTOP)
    try:
        began = time.monotonic()
        answer = await deed.do(scene)
        took = time.monotonic() - began
        assert answer.status == 204
        waiting = asyncio.create_task(scene.shown(EVERYWHERE))
        await asyncio.sleep(0.2)
    finally:
        os.kill(process, signal.SIGCONT)
    assert await waiting == []
    await deed.holds(scene)
    assert WAITED / 2 < took < WAITED + SLACK

"""A whole system in one of three modes: near (one process), wire (one process, all encoded), apart (processes)."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import aiohttp

from tests.harness import sharing
from tests.harness.made import copy, fits, made
from tests.harness.people import Client, Person
from tests.harness.points import Watcher
from tidings import everything
from tidings.cli.operator import Operator, operator
from tidings.contracts import friends, messages, users
from tidings.contracts.messages import MessageId
from tidings.contracts.users import UserId
from tidings.platform.clock import now_ms
from tidings.platform.ids import bucket_of, uuid7
from tidings.platform.service import ServiceKind
from tidings.platform.settings import Settings
from tidings.platform.topology import Topology
from tidings.system import System, chosen_topology, running

Mode = Literal["near", "wire", "apart"]


@dataclass(frozen=True)
class Whole:
    """A running system with what tests do to it."""

    mode: Mode
    settings: Settings
    system: System
    client: Client
    points: Watcher
    operator: Operator

    async def joins(self, name: str = "Ada") -> Person:
        return await self.client.joins(name)

    async def crowd(self, around: Person, size: int, *, say: str | None = "hello") -> list[UserId]:
        """Make `size` friends of somebody, by import; each says one thing."""
        now = now_ms()
        mark = secrets.token_hex(4)
        ids = [UserId(uuid7(now)) for _ in range(size)]
        people = [
            users.ImportedPerson(id=one, handle=f"c_{mark}_{n}", name=f"Friend {n}", bio="", created_ms=now)
            for n, one in enumerate(ids)
        ]
        me = UserId(type(ids[0])(around.id)) if ids else None
        for start in range(0, size, 1000):
            part = slice(start, start + 1000)
            await self.operator.call(users.import_people, users.ImportPeople(people=people[part]))
            assert me is not None
            await self.operator.call(
                friends.import_friendships,
                friends.ImportFriendships(
                    friendships=[friends.ImportedFriendship(a=me, b=one, since_ms=now) for one in ids[part]]
                ),
            )
            if say is not None:
                await self.operator.call(
                    messages.import_messages,
                    messages.ImportMessages(
                        messages=[
                            messages.ImportedMessage(
                                id=MessageId(uuid7(now - 10_000 + n, rand_a=bucket_of(one))),
                                author_id=one,
                                text=say,
                            )
                            for n, one in enumerate(ids[part])
                        ]
                    ),
                )
        return ids


def settings_for(data: Path, points: Path | None = None, **more: Any) -> Settings:
    """Settings of a test's system: any free port, cheap passwords, every safe call twice."""
    defaults: dict[str, Any] = {
        "data": data,
        "port": 0,
        "metrics_port": 0,
        "log_to": "file",
        "log_format": "json",
        "signup": "open",
        "argon2_memory_kib": 8,
        "argon2_time": 1,
        "points": points,
        "repeat_safe_calls": True,
        "repeat_events": True,
        "event_backoff": 0.01,
        "call_deadline": 3.0,
        "transaction_timeout_ms": 2_800,  # a run of all tests keeps the machine busy: one was still for 1.5 s
        "stream_look_every": 0.5,
        "limit_person": 0,
        "limit_address": 0,
        "max_requests_at_once": 0,  # what is too much has tests of its own
        "sign_in_failures": 0,
    }
    return Settings(**{**defaults, **more})


@asynccontextmanager
async def whole(
    mode: Mode,
    *,
    kinds: Mapping[str, ServiceKind[Any]] = everything.SERVICES,
    topology: Topology | None = None,
    folder: Path | None = None,
    watched: bool = True,
    **more: Any,
) -> AsyncIterator[Whole]:
    """Start a system on a new folder of its own (`folder`, if it matters where); stop it and remove that.

    Without being `watched` it is quicker, and its points are those of production.
    """
    folder = folder or Path(tempfile.mkdtemp(prefix="tidings-test-"))
    folder.mkdir(exist_ok=True)
    folder.chmod(0o711)
    watcher = Watcher()
    await watcher.start()
    settings = settings_for(folder / "data", watcher.path if watched else None, **more)
    chosen = topology or chosen_topology(settings, apart=mode == "apart")
    try:
        if sharing.begun() and kinds is everything.SERVICES and fits(chosen):
            copy(await made(), settings.data)
        async with (
            running(settings, chosen, mode="wire" if mode == "wire" else "near", kinds=kinds) as system,
            operator(settings) as reached,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        ):
            yield Whole(mode, settings, system, Client(session, system.url), watcher, reached)
    finally:
        await watcher.stop()
        shutil.rmtree(folder)

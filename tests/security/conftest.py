"""A wary system: short time-outs, real password hashes, invites, a trusted proxy and one origin of another site."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.harness.people import PASSWORD, Person
from tests.harness.system import Whole, whole
from tidings.contracts import users
from tidings.platform.contract import Nothing


class Wary:
    """The system, and people who come by invite."""

    def __init__(self, system: Whole) -> None:
        self.system = system
        self.client = system.client
        self.host, self.port = "127.0.0.1", int(system.system.url.rpartition(":")[2])

    async def joins(self, name: str) -> Person:
        link = await self.system.operator.call(users.invite, Nothing())
        handle = f"{name.lower()}_{secrets.token_hex(5)}"
        body = {"handle": handle, "name": name, "password": PASSWORD, "invite": link.secret}
        made = (await self.client.ask("POST", "/v1/users", json=body)).ok()
        signed = {"handle": handle, "password": PASSWORD}
        token = (await self.client.ask("POST", "/v1/sessions", json=signed)).ok()["token"]
        return Person(self.client, handle, name, made["id"], token)


@pytest.fixture(scope="session")
async def wary() -> AsyncIterator[Wary]:
    settings: dict[str, Any] = {
        "header_timeout": 0.6,
        "body_timeout": 0.8,
        "idle_timeout": 2.0,
        "max_body": 65_536,
        "max_connections": 60,
        "argon2_memory_kib": 19_456,
        "argon2_time": 2,
        "signup": "invite",
        "trusted_proxies": ("127.0.0.0/8", "10.0.0.0/8"),
        "cors_origins": ("https://app.example",),
        "repeat_safe_calls": False,
    }
    async with whole("near", **settings) as system:
        yield Wary(system)

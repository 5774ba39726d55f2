"""Temporary data in Valkey, for all processes together. Whoever cannot ask it in time goes on without."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs, urlsplit

from valkey.asyncio import Valkey
from valkey.asyncio.cluster import ValkeyCluster
from valkey.exceptions import ValkeyError

from tidings.platform import logs
from tidings.platform.temporary.port import Temporary, ValkeyAddress

log = logs.get_logger("temporary")

PATIENCE: Final = 0.25  # seconds for an answer
AWAY: Final = 1.0  # seconds for which it is not asked again once it did not answer
CONNECTIONS: Final = 8
TROUBLE: Final = (ValkeyError, OSError, TimeoutError)

Answer = TypeVar("Answer")


class InValkey:
    """`Temporary`. Each key is a slot of its own (its name is its hash tag), so that a cluster spreads them."""

    def __init__(self, client: Any, user: str) -> None:
        self._client = client
        self._user = user
        self._ask_again_at = 0.0

    async def add(self, counts: Mapping[str, int], *, seconds: int) -> dict[str, int] | None:
        async def ask() -> dict[str, int]:
            pipeline = self._client.pipeline(transaction=False)
            for key, count in counts.items():
                pipeline.incrby(self._key(key), count)
                pipeline.expire(self._key(key), seconds, nx=True)
            answers = await pipeline.execute()
            return dict(zip(counts, answers[::2], strict=True))

        return await self._asked(ask) if counts else {}

    async def mark(self, keys: Collection[str], *, seconds: int) -> None:
        async def ask() -> None:
            pipeline = self._client.pipeline(transaction=False)
            for key in keys:
                pipeline.set(self._key(key), 1, ex=seconds)
            await pipeline.execute()

        if keys:
            await self._asked(ask)

    async def marked(self, keys: Collection[str]) -> set[str]:
        async def ask() -> set[str]:
            pipeline = self._client.pipeline(transaction=False)
            for key in keys:
                pipeline.exists(self._key(key))
            answers = await pipeline.execute()
            return {key for key, found in zip(keys, answers, strict=True) if found}

        return (await self._asked(ask) or set()) if keys else set()

    async def _asked(self, ask: Callable[[], Awaitable[Answer]]) -> Answer | None:
        if time.monotonic() < self._ask_again_at:
            return None
        try:
            async with asyncio.timeout(PATIENCE):
                return await ask()
        except TROUBLE as error:
            self._ask_again_at = time.monotonic() + AWAY
            log.warning("valkey_away", user=self._user, error=repr(error))
            return None

    def _key(self, name: str) -> str:
        return f"{self._user}:{{{name}}}"


@asynccontextmanager
async def opened(address: ValkeyAddress) -> AsyncIterator[Temporary]:
    """Connects when it is needed."""
    client = _client(address)
    try:
        yield InValkey(client, address.user)
    finally:
        await client.aclose()


def _client(address: ValkeyAddress) -> Any:
    parts = urlsplit(address.url)
    how: dict[str, Any] = {
        "host": parts.hostname,
        "port": parts.port or 6379,
        "username": address.user,
        "password": address.password,
        "ssl": parts.scheme == "valkeys",
        "socket_timeout": PATIENCE,
        "socket_connect_timeout": PATIENCE,
        "max_connections": CONNECTIONS,
        "decode_responses": True,
    }
    if parse_qs(parts.query).get("cluster") == ["true"]:
        return ValkeyCluster(**how)
    return Valkey(**how)

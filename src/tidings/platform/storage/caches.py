"""The register of caches at rest: which processes keep answers of this service, and until when they may."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

STALE: Final = timedelta(minutes=1)

REGISTER: Final = """
insert into cache_register (cache, holder, until) values ($1, $2, clock_timestamp() + $3::interval)
on conflict (cache) do update set until = excluded.until
"""
FORGET: Final = "delete from cache_register where until < clock_timestamp() - $1::interval"
LEAVE: Final = "delete from cache_register where cache = $1"
LIVE: Final = "select cache from cache_register where until > clock_timestamp()"


class PostgresCaches:
    """`CacheRegister`, on a few connections of its own."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def register(self, cache: UUID, holder: str, seconds: float) -> None:
        await self._pool.execute(REGISTER, cache, holder, timedelta(seconds=seconds))
        await self._pool.execute(FORGET, STALE)

    async def leave(self, cache: UUID) -> None:
        """It keeps nothing any more."""
        await self._pool.execute(LEAVE, cache)

    async def live(self) -> set[UUID]:
        return {row[0] for row in await self._pool.fetch(LIVE)}

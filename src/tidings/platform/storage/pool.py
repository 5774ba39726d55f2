"""Connections to PostgreSQL that are used again. One that needs nothing done to it goes back at once.

By itself the library makes a task of that, which takes as long as a short statement does. Here the library (whose
version is locked) is asked whether there is anything to do; where there may be, it does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import asyncpg
from asyncpg.pool import PoolConnectionProxy

INACTIVE = 300.0  # seconds, after which a connection that nobody wanted is closed
QUERIES = 50_000  # of one connection; the library's own number


class Pool(asyncpg.Pool):
    """The library's, but for `release`. What is set on a session has to end with its transaction."""

    __slots__ = ()

    # NOTE: as PoolConnectionHolder.release and Connection._reset of asyncpg 0.32 do it; before an upgrade, compare.
    async def release(self, connection: Any, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - its signature
        holder: Any = connection._holder if type(connection) is PoolConnectionProxy else None
        if holder is None or not self._is_as_it_was(connection._con, holder):
            await super().release(connection, timeout=timeout)
            return
        connection._con._on_release()
        holder._timeout = None
        holder._release()
        holder._setup_inactive_callback()

    def _is_as_it_was(self, connection: Any, holder: Any) -> bool:
        """Whether it is open and whole, in no transaction, and nothing was left on it.

        While somebody waits for one it is not, or whoever gives it back could take it again before them.
        """
        if connection is None or connection.is_closed() or holder._pool is not self or self._queue._getters:
            return False
        protocol = connection._protocol
        return bool(
            holder._generation == self._generation
            and protocol.queries_count < holder._max_queries
            and not protocol._is_cancelling()
            and not protocol.is_in_transaction()
            and connection._top_xact is None
            and not connection._listeners
            and not connection._log_listeners
        )


async def open_pool(
    dsn: str,
    *,
    least: int,
    most: int,
    settings: Mapping[str, str],
    init: Any = None,
    command_timeout: float | None = None,
) -> Pool:
    """A pool with `least` connections at first; `settings` are the server's, of each session.

    `init` is awaited with each new connection.
    """
    return await Pool(
        dsn,
        min_size=least,
        max_size=most,
        max_queries=QUERIES,
        max_inactive_connection_lifetime=INACTIVE,
        init=init,
        reset=_as_it_was,
        loop=None,
        connection_class=asyncpg.Connection,
        record_class=asyncpg.Record,
        command_timeout=command_timeout,
        server_settings=dict(settings),
    )


async def _as_it_was(connection: Any) -> None:
    """What is done with a connection that comes back: nothing, so that it takes no round trip."""

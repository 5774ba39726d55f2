"""Connections to PostgreSQL that are used again. One that needs nothing done to it goes back at once.

By itself the library makes a task of that, which takes as long as a short statement does, and whoever asks next may
have it though others have waited. Here the library (whose version is locked) is asked whether there is anything to
do; where there may be, it does it. And those who wait have their turns.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from asyncpg.pool import _PoolConnectionHolderQueue as LiveFirst  # type: ignore[attr-defined]

INACTIVE = 300.0  # seconds, after which a connection that nobody wanted is closed
QUERIES = 50_000  # of one connection; the library's own number


class _InTurn(LiveFirst):  # type: ignore[misc]  # in no stub
    """Who has waited longest is handed what comes back.

    The library's wakes them, and if somebody else came between, they are the last again: some waited for a second.
    """

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        self._waiting: deque[asyncio.Future[Any]] = deque()

    async def get(self) -> Any:
        if not self.empty():
            return self.get_nowait()
        turn: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it had just been handed over
                self.put_nowait(turn.result())
            raise

    def put_nowait(self, holder: Any) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # not given up
                turn.set_result(holder)
                return
        super().put_nowait(holder)


class Pool(asyncpg.Pool):
    """The library's, but for `release` and whose turn it is. What is set on a session ends with its transaction."""

    __slots__ = ()

    async def _initialize(self) -> None:
        await super()._initialize()  # type: ignore[misc]
        in_turn = _InTurn()
        came: asyncio.Queue[Any] = self._queue  # type: ignore[has-type]
        while not came.empty():
            in_turn.put_nowait(came.get_nowait())
        self._queue = in_turn

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
        """Whether it is open and whole, in no transaction, and nothing was left on it."""
        if connection is None or connection.is_closed() or holder._pool is not self:
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

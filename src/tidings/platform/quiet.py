"""Work that can wait a moment lets requests go first."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final
from weakref import WeakKeyDictionary

QUIET: Final = 0.0002  # seconds; a turn of the loop that took longer had something to do
PATIENCE: Final = 0.05  # seconds; nothing waits longer for a quiet turn


async def when_quiet() -> None:
    """Return after a turn of the event loop in which nothing else had to be done, or after `PATIENCE`.

    Of several that wait the first goes on; the others wait for the next such turn, in which its work is counted.
    """
    loop = asyncio.get_running_loop()
    waiting = _waiting.get(loop)
    if waiting is None:
        waiting = _waiting[loop] = Waiting()
    await waiting.turn()


class Waiting:
    """Those of one event loop. It is looked at once a turn while somebody waits, however many they are."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._queue: deque[tuple[float, asyncio.Future[None]]] = deque()  # until when they wait, the first in front
        self._began = 0.0

    def turn(self) -> asyncio.Future[None]:
        """Done when its turn has come. Who waits for it no longer cancels it."""
        if not self._queue:
            self._look_next_turn()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((time.monotonic() + self._patience, turn))
        return turn

    def _look_next_turn(self) -> None:
        self._began = time.monotonic()
        asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        now = time.monotonic()
        goes = now - self._began < QUIET
        while self._queue and (goes or self._queue[0][0] <= now or self._queue[0][1].done()):
            _, turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                goes = False
        if self._queue:
            self._look_next_turn()


_waiting: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, Waiting]] = WeakKeyDictionary()

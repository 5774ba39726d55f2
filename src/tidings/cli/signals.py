"""How a server at the command line ends: the first signal cancels its start, or ends its run."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tidings.cli.options import EXIT_INTERRUPTED, Problem

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Signals:
    """SIGTERM, SIGINT and SIGHUP of this process."""

    def __init__(self, starting: asyncio.Task[None] | None) -> None:
        self.raised = asyncio.Event()
        self._starting = starting

    def started(self) -> None:
        """From now on a signal only sets `raised`."""
        self._starting = None

    def on_signal(self) -> None:
        if self._starting is not None and not self.raised.is_set():
            self._starting.cancel()
        self.raised.set()


@asynccontextmanager
async def signals() -> AsyncIterator[Signals]:
    """Within the block, signals end the start (`Problem`, after all is cleaned up) or set `raised`."""
    found = Signals(asyncio.current_task())
    for number in ENDING:
        asyncio.get_running_loop().add_signal_handler(number, found.on_signal)
    try:
        yield found
    except asyncio.CancelledError:
        if not found.raised.is_set():
            raise
        raise Problem("Stopped before it was ready.", exit_code=EXIT_INTERRUPTED) from None

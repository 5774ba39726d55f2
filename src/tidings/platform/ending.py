"""A task that was told to end does end, even if a library on the way lost that it was told.

Python 3.11's `asyncio.wait_for`, which the clients of NATS and MongoDB await everywhere, returns a result that
comes in the moment of a cancellation, and forgets the cancellation (python/cpython#86296, mended in 3.12).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

AGAIN: Final = 2.0  # seconds in which a task that was told may tidy up


def heed_cancellation() -> None:
    """Raise CancelledError if this task was cancelled and goes on all the same."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


@contextmanager
def heeding_cancellation() -> Iterator[None]:
    """The same at the end of the block, whatever comes out of it."""
    try:
        yield
    finally:
        heed_cancellation()


async def ended(*tasks: asyncio.Task[None]) -> list[BaseException | None]:
    """Cancel tasks, and again where that was lost, until each has ended. What came of them."""
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=AGAIN)
    return await asyncio.gather(*tasks, return_exceptions=True)

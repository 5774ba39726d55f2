"""A task that was told to end does end, even if a library on the way lost that it was told.

Python 3.11's `asyncio.wait_for`, which the clients of NATS and MongoDB await everywhere, returns a result that
comes in the moment of a cancellation, and forgets the cancellation (python/cpython#86296, mended in 3.12).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


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

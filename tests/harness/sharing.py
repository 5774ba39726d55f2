"""A folder that all workers of a run share: what one of them makes there, the others use."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

_FOLDER = "SHARED_BY_TESTS"  # the environment variable that says where it is


def begin(config: pytest.Config) -> None:
    """Make it, in the process that starts the workers; it goes when the run ends."""
    if _FOLDER not in os.environ:
        os.environ[_FOLDER] = tempfile.mkdtemp(prefix="tidings-shared-")
        config.add_cleanup(lambda: shutil.rmtree(os.environ.pop(_FOLDER)))


def begun() -> bool:
    """Whether there is one: a command that is no test run has none."""
    return _FOLDER in os.environ


@asynccontextmanager
async def shared() -> AsyncIterator[Path]:
    """The folder, for one worker at a time."""
    folder = Path(os.environ[_FOLDER])
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        await asyncio.to_thread(fcntl.flock, held, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(held)

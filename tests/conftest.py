"""What many tests stand on: one PostgreSQL server a run."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.harness.system import Whole, whole

from tidings.platform.engines.postgres import EmbeddedPostgres


@pytest.fixture(scope="session")
async def postgres() -> AsyncIterator[EmbeddedPostgres]:
    """A real server of this run's own, empty at first."""
    folder = Path(tempfile.mkdtemp(prefix="tidings-test-"))
    folder.chmod(0o711)
    server = EmbeddedPostgres(folder / "postgres", socket=folder / "run", password=secrets.token_urlsafe(16))
    await server.start()
    yield server
    await server.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="session", params=["near", "wire", "apart"])
async def tidings(request: pytest.FixtureRequest) -> AsyncIterator[Whole]:
    """One running system a mode and run; the same tests see each."""
    async with whole(request.param) as running:
        yield running

"""What many tests stand on: one PostgreSQL server a run, one system a mode, and a record of what both were told."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.boundaries import recorder
from tests.harness import sharing
from tests.harness.mongod import runs_mongod
from tests.harness.schedule import BySystem, turn
from tidings.platform.engines.mongod import EmbeddedMongod
from tidings.platform.engines.postgres import EmbeddedPostgres

if TYPE_CHECKING:
    from tests.harness.system import Whole

# Nothing here outlives the run: no need to wait for the disk. Whole systems wait for it a little more (made.py).
QUICK = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
RECORDS = pytest.StashKey[Path]()
OWNED = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """Records go where an outer run (tools/test.sh, or the process that started this worker) keeps them, if any."""
    outer = os.environ.get(recorder.FOLDER)
    config.stash[OWNED] = outer is None
    config.stash[RECORDS] = Path(outer or tempfile.mkdtemp(prefix="tidings-records-"))
    recorder.begin(config.stash[RECORDS])
    sharing.begin(config)


def pytest_unconfigure(config: pytest.Config) -> None:
    if config.stash[OWNED]:
        shutil.rmtree(config.stash[RECORDS])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What the whole run said to databases, and whom it called, is judged last; a system is flooded when it may."""
    items.sort(
        key=lambda item: (
            item.path.name == "test_recorded.py",
            turn(item.nodeid),
            item.get_closest_marker("flooding") is not None,
        )
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> BySystem:
    return BySystem(config, log)


@pytest.fixture(scope="session")
def records(pytestconfig: pytest.Config) -> Path:
    """The folder of what was recorded so far in this run."""
    return pytestconfig.stash[RECORDS]


@pytest.fixture(scope="session")
async def postgres() -> AsyncIterator[EmbeddedPostgres]:
    """A real server of this run's own, empty at first."""
    folder = Path(tempfile.mkdtemp(prefix="tidings-test-"))
    folder.chmod(0o711)
    server = EmbeddedPostgres(
        folder / "postgres", socket=folder / "run", password=secrets.token_urlsafe(16), settings=QUICK
    )
    await server.start()
    yield server
    await server.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
async def mongod() -> AsyncIterator[EmbeddedMongod]:
    """A real MongoDB of this run's own, empty at first; skipped where its program cannot run."""
    runs_mongod()
    folder = Path(tempfile.mkdtemp(prefix="tidings-test-"))
    folder.chmod(0o711)
    # On a machine in use an import of thousands may take longer than a person's write ever should.
    server = EmbeddedMongod(folder / "mongod", password=secrets.token_urlsafe(16), longest_transaction=30)
    await server.start()
    yield server
    await server.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="session", params=["near", "wire", "apart"])
async def tidings(request: pytest.FixtureRequest) -> AsyncIterator[Whole]:
    """One running system a mode and run; the same tests see each."""
    from tests.harness.system import whole  # imports every service: a tree that holds one has no whole system
    from tests.security.canaries import logs_with_secrets

    async with whole(request.param) as running:
        running.client.confiding = True  # who acts in a test for somebody to see it lets them know
        yield running
        assert logs_with_secrets(running.settings.data) == []  # row 39, over all that the run did with it

"""One server that the tests of a run share, and data folders that start quickly."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.command import Server, up
from tests.harness.made import copy, made


@contextmanager
def own_folder() -> Iterator[Path]:
    """A folder that the database server's own user may pass, removed afterwards whatever happens."""
    with tempfile.TemporaryDirectory(prefix="tidings-cli-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


@pytest.fixture(scope="session")
async def made_data() -> Path:
    """A data folder whose databases are made; nothing runs on it. Copy it."""
    return await made()


@pytest.fixture
def new_data() -> Iterator[Path]:
    """Where a data folder is to be."""
    with own_folder() as folder:
        yield folder / "data"


@pytest.fixture(scope="module")
def data(made_data: Path) -> Iterator[Path]:
    """A data folder on which the tests of a module start servers, one after the other."""
    with own_folder() as folder:
        yield copy(made_data, folder / "data")


@pytest.fixture(scope="session")
def server(made_data: Path) -> Iterator[Server]:
    """A running server, for tests that do it no harm."""
    with own_folder() as folder, up(copy(made_data, folder / "data")) as running:
        yield running
        assert running.stop() == 0

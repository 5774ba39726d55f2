"""One server that the tests of a run share, and data folders that start quickly."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.command import Server, up


@contextmanager
def own_folder() -> Iterator[Path]:
    """A folder that the database server's own user may pass, removed afterwards whatever happens."""
    with tempfile.TemporaryDirectory(prefix="tidings-cli-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


def copied(made: Path, folder: Path) -> Path:
    return shutil.copytree(made, folder / "data", ignore=shutil.ignore_patterns("run"))


@pytest.fixture(scope="session")
def made_data() -> Iterator[Path]:
    """A data folder whose databases are made; nothing runs on it. Copy it."""
    with own_folder() as folder:
        with up(folder / "made") as server:
            assert server.stop() == 0
        yield folder / "made"


@pytest.fixture(scope="module")
def data(made_data: Path) -> Iterator[Path]:
    """A data folder on which the tests of a module start servers, one after the other."""
    with own_folder() as folder:
        yield copied(made_data, folder)


@pytest.fixture(scope="session")
def server(made_data: Path) -> Iterator[Server]:
    """A running server, for tests that do it no harm."""
    with own_folder() as folder, up(copied(made_data, folder)) as running:
        yield running
        assert running.stop() == 0

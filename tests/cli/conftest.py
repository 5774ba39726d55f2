"""One server that the tests of a run share, and data folders that start quickly."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.command import Server, up


@pytest.fixture(scope="session")
def made_data() -> Iterator[Path]:
    """A data folder whose databases are made; nothing runs on it. Copy it."""
    folder = Path(tempfile.mkdtemp(prefix="tidings-cli-"))
    folder.chmod(0o711)
    with up(folder / "made") as server:
        assert server.stop() == 0
    yield folder / "made"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def data(made_data: Path) -> Iterator[Path]:
    """A data folder on which the tests of a module start servers, one after the other."""
    folder = Path(tempfile.mkdtemp(prefix="tidings-cli-"))
    folder.chmod(0o711)
    yield shutil.copytree(made_data, folder / "data", ignore=shutil.ignore_patterns("run"))
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def server(made_data: Path) -> Iterator[Server]:
    """A running server, for tests that do it no harm."""
    folder = Path(tempfile.mkdtemp(prefix="tidings-cli-"))
    folder.chmod(0o711)
    with up(shutil.copytree(made_data, folder / "data", ignore=shutil.ignore_patterns("run"))) as running:
        yield running
        assert running.stop() == 0
    shutil.rmtree(folder)

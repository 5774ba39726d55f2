"""What several documents' tests stand on: a system whose source has what the documents add."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.docs.documents import ROOT, copy_with, up
from tests.harness.people import Client


@pytest.fixture(scope="session")
async def grown() -> AsyncIterator[Path]:
    """The source with the service and the composite of the documents."""
    documents = [(ROOT / "docs" / name).read_text() for name in ("add-a-service.md", "add-a-composite.md")]
    async with copy_with(*documents) as folder:
        yield folder


@pytest.fixture(scope="session", params=[(), ("--apart",)], ids=["near", "apart"])
async def client(grown: Path, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """That source, running: in one process, then on the same data with a process a service."""
    async with up(grown, *request.param) as running:
        yield running

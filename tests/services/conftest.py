"""Each service's tests run twice: with the service in this process, and with it in one of its own."""

from __future__ import annotations

import pytest

from tests.harness.lone import Mode


@pytest.fixture(scope="session", params=["wire", "apart"])
def mode(request: pytest.FixtureRequest) -> Mode:
    """Where the service runs: here, with all encoded as between processes, or apart, over its socket."""
    chosen: Mode = request.param
    return chosen

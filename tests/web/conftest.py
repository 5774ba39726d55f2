"""Who is there on pages' tests: Alice, with a browser, and Bob."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.harness.people import Person
from tests.harness.system import Whole
from tests.web.browsing import Browser, browsing


@pytest.fixture
async def alice(tidings: Whole) -> Person:
    return await tidings.joins("Alice")


@pytest.fixture
async def bob(tidings: Whole) -> Person:
    return await tidings.joins("Bob")


@pytest.fixture
async def browser(tidings: Whole, alice: Person) -> AsyncIterator[Browser]:
    """Alice's."""
    async with browsing(tidings.system.url, alice) as made:
        yield made

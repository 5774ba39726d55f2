"""What fronts tell each other of who has asked how often."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from uuid import UUID, uuid4

import pytest

from tidings.edge.limits import WINDOW, WORTH_TELLING, Limits
from tidings.platform.settings import Settings
from tidings.platform.temporary.memory import InMemory

PERSON = 600
WORTH = PERSON // WORTH_TELLING


class Shared(InMemory):
    """Notes of how many it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.told = 0

    async def add(self, counts: Mapping[str, int], *, seconds: int) -> dict[str, int]:
        self.told += len(counts)
        return await super().add(counts, seconds=seconds)


@pytest.fixture(autouse=True)
async def within_a_window() -> None:
    left = WINDOW - time.time() % WINDOW
    if left < 2:
        await asyncio.sleep(left)


def left_after(limits: Limits, who: UUID, times: int) -> int:
    allowances = [limits.spend(who, "") for _ in range(times)]
    assert allowances[-1] is not None
    return allowances[-1].left


async def test_who_asks_seldom_is_told_of_when_it_adds_up() -> None:
    shared, who = Shared(), uuid4()
    here, there = (Limits(shared, Settings(limit_person=PERSON)) for _ in range(2))
    left_after(here, who, WORTH - 1)
    await here.exchange()
    assert shared.told == 0
    assert left_after(here, who, 1) == PERSON - WORTH  # nothing of it is forgotten
    await here.exchange()
    assert shared.told == 1
    assert left_after(there, who, WORTH) == PERSON - WORTH
    await there.exchange()
    assert left_after(there, who, 1) == PERSON - 2 * WORTH - 1
    await there.exchange()
    assert shared.told == 2


async def test_each_request_counts_of_a_small_limit() -> None:
    shared, who = Shared(), uuid4()
    here, there = (Limits(shared, Settings(limit_person=WORTH_TELLING - 1)) for _ in range(2))
    left_after(here, who, 1)
    await here.exchange()
    left_after(there, who, 1)
    await there.exchange()
    assert left_after(there, who, 1) == WORTH_TELLING - 1 - 3

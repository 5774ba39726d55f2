"""When garbage is looked for in a process that serves."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any
from uuid import UUID

import pytest

from tidings.contracts.messages import AuthorAsOf
from tidings.contracts.users import CardAsOf, UserCard, UserId
from tidings.platform.garbage import NEVER, collecting


class Ring:
    """Holds itself: no count of references ends it."""

    def __init__(self) -> None:
        self.itself: Any = self


@pytest.fixture(autouse=True)
def thawed() -> Any:
    yield
    gc.unfreeze()


async def gone(ring: weakref.ref[Ring]) -> None:
    async with asyncio.timeout(10):
        while ring() is not None:
            await asyncio.sleep(0.01)


async def test_new_cycles_go_although_python_never_looks_at_everything() -> None:
    before = gc.get_threshold()
    async with collecting(every=0.02):
        assert gc.get_threshold()[2] == NEVER
        await gone(weakref.ref(Ring()))
    assert gc.get_threshold() == before


def test_values_that_travel_are_no_part_of_it() -> None:
    """They are trees: a thousand for one answer, none of them in a cycle."""
    card = UserCard(UserId(UUID(int=1)), "ada", "Ada", "/v1/avatars/1")
    assert not any(
        map(gc.is_tracked, (card, CardAsOf(card=card, as_of=1), AuthorAsOf(card.id, 1, same_for_friends=True)))
    )


async def test_what_has_outlived_a_look_is_looked_at_seldom_and_then_goes_too() -> None:
    kept = Ring()
    watched = weakref.ref(kept)
    async with collecting(every=0.02, everything=10_000):
        async with asyncio.timeout(10):
            while any(one is kept for one in gc.get_objects()):  # frozen is out of every generation
                await asyncio.sleep(0.01)
        del kept
        await asyncio.sleep(0.1)
        assert watched() is not None
    async with collecting(every=0.02, everything=2):
        await gone(watched)

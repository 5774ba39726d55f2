"""Some cells of the failpoint matrix with messages in MongoDB; `make chaos-matrix ARGS=--mongodb` tries all."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.chaos.case import SETTINGS, Arms, run
from tests.chaos.cells import cells
from tests.chaos.ground import Ground, fleet
from tests.harness.mongod import runs_mongod

CHOSEN = (
    "cp3/coordinator/kill",
    "cp3/participant/reply-lost",
    "cp4/its-database/kill",
    "cp8/participant/kill",
    "cp8/its-database/request-lost",
    "cp9/its-database/kill",
    "cp14/coordinator-and-one-database/kill",
    "cp16/coordinator/partition",
)
EVERY = {cell.name: cell for cell in cells(on_mongodb=("messages",))}


@pytest.fixture(scope="module")
async def on_mongodb(arms: Arms) -> AsyncIterator[Ground]:
    runs_mongod()
    async with fleet(on_mongodb=("messages",), failpoint=str(arms.file), **SETTINGS) as one:
        await one.steady(within=60)
        yield one


@pytest.mark.parametrize("name", CHOSEN)
async def test_a_fault_at_a_point_leaves_all_or_nothing(on_mongodb: Ground, arms: Arms, name: str) -> None:
    result = await run(on_mongodb, arms, EVERY[name])
    assert (result.violation, result.missed) == (None, None)
    assert result.bit, result


def test_all_cells_but_those_of_slots_have_a_meaning_there_too() -> None:
    theirs = {cell.name for cell in cells() if cell.reason is None}
    without = theirs - {name for name, cell in EVERY.items() if cell.reason is None}
    assert {name.partition("/")[0] for name in without} == {"cp15"}
    assert len(without) < 10

"""Cells of the failpoint matrix, one or more of each point and each fault; `make chaos-matrix` tries them all."""

from __future__ import annotations

import pytest

from tests.chaos.case import Arms, run
from tests.chaos.cells import FAULTS, cells
from tests.chaos.ground import Ground

CHOSEN = (
    "cp0/users-database/kill",
    "cp2/its-database/reply-lost",
    "cp3/coordinator/kill",
    "cp4/participant/partition",
    "cp5/coordinator/stop",
    "cp6/users-database/reply-lost",
    "cp7/coordinator-and-one-database/kill",
    "cp8/participant/request-lost",
    "cp9/its-database/kill",
    "cp11/its-database/reply-lost",
    "cp12/coordinator/kill",
    "cp13/its-database/kill",
    "cp14/participant/kill",
    "cp15/its-database/partition",
    "cp16/users-database/request-lost",
)
EVERY = {cell.name: cell for cell in cells()}


@pytest.mark.parametrize("name", CHOSEN)
async def test_a_fault_at_a_point_leaves_all_or_nothing(ground: Ground, arms: Arms, name: str) -> None:
    result = await run(ground, arms, EVERY[name])
    assert (result.violation, result.missed) == (None, None)
    assert result.bit, result


def test_every_cell_of_the_matrix_says_what_is_expected_or_why_it_has_no_meaning() -> None:
    meant = [cell for cell in EVERY.values() if cell.reason is None]
    assert len({(cell.point.name, cell.point.role, cell.fault) for cell in EVERY.values()}) == len(EVERY)
    assert {cell.point.name for cell in meant} >= {f"cp{number}" for number in range(17)}
    assert sum(cell.fault in FAULTS for cell in meant) >= 150
    assert all(cell.outcomes for cell in meant)
    assert all(not cell.outcomes for cell in EVERY.values() if cell.reason is not None)

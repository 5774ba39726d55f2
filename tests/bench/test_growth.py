"""Growth: sizes that grow in steps, ratios of what a request costs, and a run from end to end."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tidings.bench import growth, room
from tidings.bench.growth import Plan, Size, caches_in, outcome, planned, room_needed
from tidings.bench.rounds import Ratio, Turn
from tidings.bench.sides import Side
from tidings.cli import bench as command
from tidings.cli import bench_results
from tidings.platform import metrics

SMALL, MORE, PEOPLE = Size(10, 2), Size(10, 20), Size(100, 2)
PLAN = Plan((SMALL, MORE), (SMALL, PEOPLE), rounds=3)


def turn(cost_us: float) -> Turn:
    return Turn(100.0, 1.0, 2.0, 1000.0, server_us=cost_us - 10, engines_us=10.0)


def test_each_step_has_ten_times_as_much_and_the_last_is_what_was_asked_for() -> None:
    plan = planned(at=10_000, messages=5_000_000, people=100_000, rounds=5, seconds=3.0)
    assert [size.messages for size in plan.more_messages] == [10_000, 100_000, 1_000_000, 5_000_000]
    assert {size.people for size in plan.more_messages} == {10_000}
    assert [size.people for size in plan.more_people] == [1000, 10_000, 100_000]
    assert {size.each for size in plan.more_people} == {10}
    assert len(plan.sizes) == 6  # one is on both ways


def test_a_ratio_is_of_what_a_request_costs_at_the_largest_and_the_smallest_of_the_same_round() -> None:
    costs = {SMALL: (100, 200, 100), MORE: (100, 400, 300), PEOPLE: (50, 100, 50)}
    turns = {size: [turn(cost) for cost in each] for size, each in costs.items()}
    found = outcome(PLAN, {"warm": turns}, {})
    assert found.ratios == {"messages_warm": Ratio(2, 1, 3), "people_warm": Ratio(0.5, 0.5, 0.5)}
    assert list(found.figures["people_warm"]) == [SMALL.name, PEOPLE.name]


def test_what_caches_hold_is_told_by_who_keeps_it() -> None:
    metrics.watch_cache(holder="growth", producer="users", state=lambda: metrics.CacheState(2, 70))
    metrics.watch_cache(holder="growth", producer="messages", state=lambda: metrics.CacheState(1, 30))
    assert caches_in(metrics.render().decode())["growth"] == 100


def test_room_is_needed_for_what_is_not_there_yet(tmp_path: Path) -> None:
    everything = room_needed(PLAN, tmp_path)
    (tmp_path / f"{MORE.name}.there").write_text("150")
    assert everything - room_needed(PLAN, tmp_path) == 150 * room.MESSAGE_BYTES
    (tmp_path / f"{MORE.name}.there").write_text("200")
    assert everything - room_needed(PLAN, tmp_path) > 200 * room.MESSAGE_BYTES
    for size in PLAN.sizes:
        (tmp_path / f"{size.name}.there").write_text(str(size.messages))
    assert room_needed(PLAN, tmp_path) == 0


@pytest.mark.skipif(shutil.which("wrk") is None, reason="the load comes from wrk")
async def test_a_run_goes_on_with_what_was_filled_and_measures_both_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "READERS", 4)
    told: list[str] = []
    tmp_path.chmod(0o711)
    size = Size(20, 2)
    compared, noted = growth.sides.compared, []

    async def looked_at(side: Side) -> None:
        noted.append((tmp_path / f"{size.name}.there").read_text())
        await compared(side)

    monkeypatch.setattr(growth.sides, "compared", looked_at)
    plan = Plan((size,), (size,), rounds=1, seconds=1.0, friends=5)
    found = await growth.measure(plan, tmp_path, command._operator, told.append)
    assert {name: ratio.median for name, ratio in found.ratios.items()} == dict.fromkeys(
        ("messages_warm", "messages_cold", "people_warm", "people_cold"), 1.0
    )
    figures = found.figures["messages_warm"][size.name], found.figures["messages_cold"][size.name]
    assert figures[0].server_us < figures[1].server_us
    parts = figures[1].parts
    assert 0 < parts["database messages"] < parts["tidings"]
    assert sum(parts.values()) == pytest.approx(figures[1].server_us + figures[1].engines_us, rel=0.1)
    # What has come of an answer when time is up counts, too.
    assert figures[0].bytes_each == pytest.approx(figures[1].bytes_each, rel=0.25)
    assert figures[0].bytes_each > 1000
    held = found.held[size.name]
    assert min(held.caches["edge"], held.caches["timeline"]) > 0
    assert max(held.caches.values()) < held.bound
    assert noted == ["39"]  # who is interrupted then compares again
    assert room_needed(plan, tmp_path) == 0
    bench_results.print_growth(found)

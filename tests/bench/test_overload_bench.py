"""Too much to do, and a slow service: what counts as good, what is refused, and a run of each from end to end."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from tidings.bench import mix, overload
from tidings.bench.graph import make_graph
from tidings.bench.openloop import Became
from tidings.bench.overload import Pages, Plan, Run, acknowledged, overloaded, run_of, slowed
from tidings.bench.runs import Failed
from tidings.bench.slowing import slowing
from tidings.bench.sweep import Steps
from tidings.cli import bench as command
from tidings.cli import bench_results

GRAPH = make_graph(people=40, mean=4, seed=7)
TINY = mix.Plan(seconds=1.0, warm_up=1, posting=2, steps=Steps(start=40.0))


def became(seconds: float = 0.1, status: int = 200, failed: str = "", body: str = "") -> Became:
    return Became(0, 1.0, seconds, status, failed, body)


def strained(times: float, good: float, *, acknowledged: int = 10, lost: int = 0) -> Run:
    return Run(times, 100.0 * times, good, 0.1, 50.0, acknowledged, lost)


def test_good_is_what_is_whole_and_in_time() -> None:
    requests = [
        became(),
        became(1.01),
        became(failed="partial"),
        became(0.001, 503, "5xx"),
        became(5.0, 0, "unanswered"),
        became(0.9, 201, body='{"id":"a"}'),
    ]
    found = run_of(2.0, 2.0, requests, lost=0, p99_ms=9.0)
    assert (found.offered, found.good, round(found.refused, 3), found.acknowledged) == (3, 1, 0.167, 1)
    assert acknowledged(requests) == [{"id": "a"}]


@pytest.mark.parametrize("status", [400, 404, 500])
def test_too_much_to_do_is_no_reason_for_other_refusals(status: int) -> None:
    with pytest.raises(Failed, match=str(status)):
        run_of(1.0, 1.0, [became(), became(status=status, failed="x")], lost=0, p99_ms=1.0)


def test_good_at_twice_the_rate_is_a_part_of_the_most_at_any() -> None:
    runs = [
        strained(1, 100),
        strained(2, 90),
        strained(3, 120),
        strained(1, 100),
        strained(2, 110),
        strained(3, 130),
    ]
    found = overloaded(100.0, (1.0, 2.0, 3.0), runs)
    assert (found.of_peak, found.of_offered, found.checked, found.lost) == (0.8, 0.5, 60, 0)
    assert [(one.good, one.good_least, one.good_most) for one in found.levels][1] == (100, 90, 110)


def test_no_figure_comes_of_messages_that_are_lost_or_of_none() -> None:
    with pytest.raises(Failed, match="Of 20 messages that were acknowledged, 1 are not there"):
        overloaded(100.0, (1.0, 2.0), [strained(1, 100), strained(2, 100, lost=1)])
    with pytest.raises(Failed, match="Of 0 messages"):
        overloaded(100.0, (2.0,), [strained(2, 100, acknowledged=0)])


def test_a_ratio_is_of_each_round_its_own() -> None:
    rounds = [Pages(10, 20, 1, 2000, 0.9, 0.5), Pages(10, 10, 1, 2000, 1, 0), Pages(100, 110, 1, 2000, 1, 0)]
    found = slowed(Plan(), rounds)
    assert (found.ratio, found.ratio_least, found.ratio_most) == (1.1, 1, 2)
    assert (found.before_ms, found.while_ms, found.answered, found.whole) == (10, 20, 1, 0)


async def test_what_passes_is_late_but_none_waits_for_another() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while said := await reader.read(100):
            writer.write(said)
        writer.close()

    async with slowing() as slow:
        behind = await asyncio.start_server(echo, "127.0.0.1", slow.target)
        reader, writer = await asyncio.open_connection("127.0.0.1", slow.port)

        async def takes(*parts: bytes) -> float:
            began = time.monotonic()
            for part in parts:
                writer.write(part)
                await asyncio.sleep(0.05)
            assert await reader.readexactly(sum(map(len, parts))) == b"".join(parts)
            return time.monotonic() - began

        assert await takes(b"quick") < 1.5
        slow.seconds = 2.0
        assert 2.0 < await takes(b"a", b"b", b"c") < 4.0
        slow.seconds = 0.0
        assert await takes(b"quick again") < 1.5
        writer.close()
        await writer.wait_closed()
        behind.close()


async def test_at_twice_the_rate_all_that_was_acknowledged_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mix, "ENOUGH", 20)
    tmp_path.chmod(0o711)
    plan = Plan(rate=40.0, times=(2.0,), rounds=1, seconds=1.5, mix=TINY)
    found = await overload.measure_overload(plan, GRAPH, tmp_path, command._operator, lambda _: None)
    assert (found.rate, found.of_peak, found.lost) == (40.0, 1.0, 0)
    assert found.checked > 0
    assert found.levels[0].good > 0
    bench_results.print_overloaded(found)


async def test_pages_that_need_nothing_of_a_slow_service_are_answered(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    plan = Plan(rounds=1, seconds=1.0, slow=1.5, slow_rate=30.0)
    found = await overload.measure_slowed(plan, GRAPH, tmp_path, command._operator, lambda _: None)
    assert found.needing_before_ms < 1500 < found.needing_while_ms
    assert found.while_ms < 1500
    assert msgspec.json.encode(found)
    bench_results.print_slowed(found)

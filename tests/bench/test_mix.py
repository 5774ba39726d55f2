"""The mix from end to end, with few people and one rate."""

from pathlib import Path

import msgspec
import pytest

from tidings.bench import mix, sweep
from tidings.bench.graph import make_graph
from tidings.cli import bench as command
from tidings.cli import bench_results


async def test_a_rate_that_is_borne_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mix, "ENOUGH", 20)
    monkeypatch.setattr(sweep, "MOST", 100)  # no higher rate is tried
    tmp_path.chmod(0o711)
    steps = sweep.Steps(start=60.0, factor=2.0, narrowings=0, repetitions=1, p99_ms=2000.0)
    plan = mix.Plan(seconds=1.0, warm_up=1, posting=2, steps=steps)
    graph = make_graph(people=40, mean=4, seed=7)
    found = await mix.measure(plan, graph, tmp_path, command._operator, lambda _: None)
    assert (found.rate, found.people, found.runs) == (60, 40, 1)
    assert set(found.operations) == {"feed", "author", "compose"}
    assert found.non_empty == 1
    assert 0 < found.p50_ms <= found.p99_ms
    assert msgspec.json.encode(found)
    bench_results.print_mix(found)

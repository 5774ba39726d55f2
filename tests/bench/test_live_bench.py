"""The live stream's bench: which event counts for which post, what is refused, and a run from end to end."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tidings.bench import listening, live
from tidings.bench.listening import Listener
from tidings.bench.live import Plan, Run, delivered, outcome, town_of
from tidings.bench.openloop import Spread
from tidings.bench.runs import Failed
from tidings.cli import bench as command
from tidings.cli import bench_results


def run(rate: float, p99_ms: float = 50.0, *, refused: int = 0, missing: int = 0) -> Run:
    spread = Spread(1.0, 2.0, p99_ms, 2 * p99_ms)
    return Run(rate, 100, refused, 5000, missing, spread, 0.0, spread, cut=0, post_us=5000.0, kept_up=True)


def delays(due: list[float], heard: list[float]) -> list[float]:
    return [round(one, 3) for one in delivered(due, heard).delays]


def test_each_post_counts_with_its_own_event() -> None:
    assert delays([1.0, 2.0, 3.0], [1.1, 2.2, 3.3]) == [0.3, 0.2, 0.1]
    assert delays([1.0, 1.05], [1.2, 1.3]) == [0.25, 0.2]


def test_of_two_posts_with_one_event_both_count_with_it_and_none_before_or_after() -> None:
    found = delivered([1.0, 2.0, 2.1, 3.0], [1.1, 2.5, 3.1])
    assert ([round(one, 3) for one in found.delays], found.together, found.missing) == ([0.1, 0.4, 0.5, 0.1], 1, 0)


def test_where_it_is_not_certain_the_latest_counts() -> None:
    assert delays([1.0], [1.1, 1.9]) == [0.9]


def test_a_post_after_which_nothing_came_is_missing() -> None:
    found = delivered([1.0, 2.0, 3.0], [1.1, 2.2])
    assert (len(found.delays), found.missing) == (2, 1)
    assert delivered([1.0], []).missing == 1


def test_no_figure_comes_of_deliveries_that_are_missing() -> None:
    with pytest.raises(Failed, match="1 never came"):
        outcome(Plan(), [run(25), run(50, missing=1)])
    with pytest.raises(Failed, match="Nothing could be posted"):
        outcome(Plan(), [run(25, refused=100)])


def test_a_rate_holds_with_the_median_of_its_rounds_and_only_if_all_below_do() -> None:
    runs = [run(25), run(50, 200), run(50, 90), run(50, 80), run(100, 101), run(200, 5)]
    assert outcome(Plan(), runs).rate == 50
    assert outcome(Plan(), [run(25), run(50, refused=1)]).rate == 25
    assert outcome(Plan(), [run(25, 101), run(50)]).rate == 0
    step = outcome(Plan(), runs).steps[1]
    assert (step.p99_ms, step.p99_least_ms, step.p99_most_ms, step.max_ms) == (90, 80, 200, 400)


def test_everybody_who_listens_has_one_friend_who_posts() -> None:
    town = town_of(Plan(authors=3, friends=4))
    assert len(town.people) == len(set(town.people)) == 15
    assert [friend for author in town.people[:3] for friend in town.friends[author]] == town.people[3:]


async def test_events_are_known_however_they_come() -> None:
    listener = Listener(listening.Plan("127.0.0.1", 1, ""), "token")

    def chunk(text: str) -> bytes:
        return b"%x\r\n%b\r\n" % (len(text), text.encode())

    whole = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunk("retry: 1000\n\n")
    whole += chunk('id: a.1\nevent: hello\ndata: {"last":"a.1","changed":[]}\n\n')
    whole += chunk('id: a.2\nevent: changed\ndata: {"last":"a.2","changed":["friends"],"resync":false}\n\n')
    whole += chunk(": still here\n\n")
    whole += chunk('id: a.3\nevent: changed\ndata: {"last":"a.3","changed":["friends","timeline"]}\n\n')
    whole += chunk('id: b.9\nevent: resync\ndata: {"last":"b.9","changed":[],"resync":true}\n\n')
    for at in range(len(whole)):
        listener.data_received(whole[at : at + 1])
    assert (len(listener.heard), listener._last) == (2, "b.9")
    listener.data_received(chunk('id: b.10\nevent: changed\ndata: {"changed":["timeline"]}\n\n') * 2)
    assert len(listener.heard) == 4


async def test_posts_are_in_the_streams_of_friends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "WARM_UP", 0.5)
    tmp_path.chmod(0o711)
    told: list[str] = []
    plan = Plan((5.0, 20.0), authors=2, friends=3, seconds=1.0, rounds=1)
    found = await live.measure(plan, tmp_path, command._operator, told.append)
    assert (found.streams, [step.rate for step in found.steps]) == (6, [5.0, 20.0])
    for step in found.steps:
        assert (step.refused, step.missing, step.deliveries) == (0, 0, 3 * step.posts)
        assert 0 < step.p50_ms <= step.p99_ms <= step.max_ms
    assert msgspec.json.encode(found)
    bench_results.print_live(found)

"""What `make sessions` and the cost of tokens conclude from figures. No system is started."""

from __future__ import annotations

import random
import statistics

import pytest

from tests.sessions.__main__ import failure
from tests.sessions.cost import interval
from tests.sessions.run import Judged


def found(violations: int = 0, hits: int = 1) -> Judged:
    kinds = {"monotonic reads": violations} if violations else {}
    return Judged(
        trials=100,
        kinds={},
        unanswered=0,
        reads=250,
        hits=hits,
        misses=9,
        violations=kinds,
        wrong=violations,
        seconds=1.0,
    )


@pytest.mark.parametrize(
    ("freshness", "delay_ms", "judged", "words"),
    [
        ("on", 0, found(), None),
        ("on", 1000, found(hits=0), None),  # beats come too late for any entry to be used
        ("on", 200, found(1), "broke a guarantee"),
        ("on", 0, found(hits=0), "nothing was tried"),
        ("off", 0, found(), None),
        ("off", 0, found(3), None),
        ("off", 50, found(3), None),
        ("off", 50, found(), "proves nothing"),
        ("off", 1000, found(3, hits=0), "nothing was tried"),
    ],
)
def test_what_a_run_has_to_show(freshness: str, delay_ms: int, judged: Judged, words: str | None) -> None:
    why = failure(freshness, delay_ms, judged)
    assert why is None if words is None else words in (why or "")


def test_the_interval_holds_the_median_as_often_as_it_says() -> None:
    chance = random.Random(1)
    held = 0
    for _ in range(2000):
        low, high = interval([chance.lognormvariate(0, 1) for _ in range(15)])
        held += low <= 1.0 <= high  # the median of that distribution
    assert 0.95 <= held / 2000 <= 0.98


def test_the_interval_of_fifteen_leaves_out_three_on_each_side() -> None:
    """As the tables have it: the 4th and the 12th, 96.5 %."""
    values = list(range(1, 16))
    random.Random(2).shuffle(values)
    assert interval(values) == (4, 12)
    assert statistics.median(values) == 8


def test_five_values_are_too_few_for_an_interval() -> None:
    with pytest.raises(ValueError, match="too few"):
        interval([1.0, 2.0, 3.0, 4.0, 5.0])

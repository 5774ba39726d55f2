"""How doctor judges another machine's clock, which it reads some time between a question and its answer."""

from __future__ import annotations

import pytest

from tidings.cli.doctor_clocks import of_databases, of_services, off_by

MS = 1_000_000


@pytest.mark.parametrize(
    ("theirs", "seconds"),
    [(1000, 0.0), (1400, 0.0), (1200, 0.0), (1401, 0.001), (2000, 0.6), (999, -0.001), (0, -1.0)],
)
def test_a_clock_is_off_by_what_the_answers_time_cannot_explain(theirs: int, seconds: float) -> None:
    assert off_by(theirs * MS, 1000 * MS, 1400 * MS) == pytest.approx(seconds)


def test_more_than_the_rule_allows_is_broken_and_says_where() -> None:
    assert of_services(["users"], 0.2) == []
    [found] = of_services(["users", "friends"], -0.25)
    assert (found.link, found.state) == ("clock", "broken")
    assert "-250 ms" in found.detail
    assert "users, friends" in found.detail
    assert "Synchronise" in (found.mend or "")


def test_of_databases_the_worst_is_told() -> None:
    assert of_databases([]) == []
    [right] = of_databases([0.1, -0.2])
    assert (right.state, "-200 ms" in right.detail) == ("ok", True)
    [wrong] = of_databases([0.1, -0.25, 0.2])
    assert (wrong.state, "-250 ms" in wrong.detail) == ("broken", True)

"""The highest rate that is borne is found from either side, repeated, and never a lucky one."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tidings.bench.sweep import Found, NoRate, Steps, highest


@dataclass(frozen=True)
class Run:
    p99_ms: float
    failures: int = 0


async def found(of: Callable[[float, int], Run]) -> Found[Run]:
    """`of` is told the rate, and which try of it this is."""
    tries: Counter[float] = Counter()

    async def attempt(rate: float) -> Run:
        tries[rate] += 1
        return of(rate, tries[rate])

    return await highest(attempt, Steps())


@pytest.mark.parametrize("capacity", [230, 555, 1000, 4000])
async def test_what_is_found_lies_just_below_what_is_borne(capacity: float) -> None:
    one = await found(lambda rate, _: Run(5 if rate <= capacity else 50))
    assert 0.95 * capacity <= one.rate <= capacity
    assert [run.p99_ms for run in one.runs] == [5] * 5


async def test_a_machine_that_bears_less_than_the_first_rate_is_measured_too() -> None:
    one = await found(lambda rate, _: Run(5 if rate <= 70 else 50))
    assert 60 <= one.rate <= 70


async def test_failures_are_not_borne_however_fast_they_come() -> None:
    one = await found(lambda rate, _: Run(5, failures=int(rate > 500)))
    assert 470 <= one.rate <= 500


async def test_one_run_that_something_else_disturbed_does_not_end_the_search() -> None:
    one = await found(lambda rate, nth: Run(90 if rate > 700 or (rate < 500 and nth == 1) else 5))
    assert one.rate > 660


async def test_a_rate_that_was_borne_by_luck_is_not_what_is_found() -> None:
    lucky = await found(lambda rate, nth: Run(5 if rate < 400 or (nth == 1 and rate < 1000) else 30))
    assert lucky.rate < 400
    assert len(lucky.runs) == 5
    assert all(run.p99_ms == 5 for run in lucky.runs)


async def test_where_nothing_is_borne_that_is_said() -> None:
    with pytest.raises(NoRate, match="Not even 25 requests a second"):
        await found(lambda _rate, _nth: Run(21))


async def test_a_search_that_does_not_end_is_given_up() -> None:
    """As where others use the machine now and then."""
    with pytest.raises(NoRate, match="In 60 runs"):
        await found(lambda _rate, nth: Run(5 if nth == 1 else 1000) if nth < 3 else Run(1000 - nth))

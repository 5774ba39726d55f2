"""The highest rate that is borne: rates rise until one is not, then what lies between is narrowed and repeated."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from statistics import median
from typing import Final, Generic, Protocol, TypeVar

LEAST: Final = 25.0  # a second: below that there is no rate to find
MOST: Final = 1e6  # a second: who bears that is not asked


class Run(Protocol):
    """What is judged of a run at one rate."""

    @property
    def p99_ms(self) -> float: ...
    @property
    def failures(self) -> int: ...


R = TypeVar("R", bound=Run)


class NoRate(Exception):
    """No rate at all was borne."""


@dataclass(frozen=True)
class Steps:
    """How rates are tried. `narrowings` halve (by ratio) what lies between borne and not borne."""

    start: float = 200.0
    factor: float = 1.4
    narrowings: int = 3
    repetitions: int = 5
    back: float = 0.85  # of a rate that was not borne when it was repeated
    p99_ms: float = 20.0
    most_runs: int = 60


@dataclass(frozen=True)
class Found(Generic[R]):
    """`runs`: those at that rate, of which the median was within the limit and none failed. `tried`: all."""

    rate: float
    runs: list[R]
    tried: list[tuple[float, R]]


async def highest(attempt: Callable[[float], Awaitable[R]], steps: Steps) -> Found[R]:
    """Raises `NoRate`."""
    tried: list[tuple[float, R]] = []

    async def run(rate: float) -> R:
        if len(tried) == steps.most_runs:
            raise NoRate(f"In {steps.most_runs} runs no rate was borne again and again. Let nothing else run.")
        tried.append((rate, await attempt(rate)))
        return tried[-1][1]

    async def borne(rate: float) -> bool:
        """A rate that is not has a second try: others may have used the machine during the first."""
        return _within([await run(rate)], steps) or _within([await run(rate)], steps)

    rate = steps.start
    while not await borne(rate):
        rate /= 2
        if rate < LEAST:
            raise NoRate(f"Not even {rate * 2:g} requests a second were answered within {steps.p99_ms:g} ms.")
    low, high = rate, rate * (2 if rate < steps.start else steps.factor)
    while rate >= steps.start and high < MOST and await borne(high):
        low, high = high, high * steps.factor
    for _ in range(steps.narrowings):
        middle = (low * high) ** 0.5
        if await borne(middle):
            low = middle
        else:
            high = middle
    while low >= LEAST:
        runs = [await run(low) for _ in range(steps.repetitions)]
        if _within(runs, steps):
            return Found(low, runs, tried)
        low *= steps.back
    raise NoRate(f"No rate was answered within {steps.p99_ms:g} ms again and again.")


def _within(runs: list[R], steps: Steps) -> bool:
    return not any(one.failures for one in runs) and median(one.p99_ms for one in runs) <= steps.p99_ms

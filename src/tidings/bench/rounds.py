"""Rounds in which every side has its turn, and what they come to: medians, with how far single rounds lie apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from tidings.bench.wrk import Rate


@dataclass(frozen=True, slots=True)
class Figure:
    """Of one side under one load: the median of its rounds, and the least and the most."""

    per_second: float
    least: float
    most: float
    p50_ms: float
    p99_ms: float
    bytes_each: float

    @classmethod
    def of(cls, rates: Sequence[Rate]) -> Figure:
        per_second = [one.per_second for one in rates]
        return cls(
            round(median(per_second), 1),
            round(min(per_second), 1),
            round(max(per_second), 1),
            round(median(one.p50_ms for one in rates), 2),
            round(median(one.p99_ms for one in rates), 2),
            round(median(one.bytes_each for one in rates)),
        )


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times the other's requests per second: the median over rounds, each with its own pair."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, ours: Sequence[Rate], theirs: Sequence[Rate]) -> Ratio:
        each = [one.per_second / other.per_second for one, other in zip(ours, theirs, strict=True)]
        return cls(round(median(each), 2), round(min(each), 2), round(max(each), 2))


def figures(measured: Mapping[str, Sequence[Rate]]) -> dict[str, Figure]:
    return {name: Figure.of(rates) for name, rates in measured.items()}

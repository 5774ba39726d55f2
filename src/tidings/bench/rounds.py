"""Rounds in which every side has its turn, and what they come to: medians, with how far single rounds lie apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import msgspec


class Turn(msgspec.Struct, frozen=True):
    """What one side did in its turn. Latencies are in milliseconds, processor times in microseconds a request.

    Latencies of 0 were not measured. `parts`: processor time by service and by database.
    """

    per_second: float
    p50_ms: float
    p99_ms: float
    bytes_each: float
    server_us: float
    engines_us: float
    parts: dict[str, float] = {}


def cost_us(turn: Turn) -> float:
    """Microseconds of processor time a request, of the server with its engines."""
    return turn.server_us + turn.engines_us


def per_second(turn: Turn) -> float:
    return turn.per_second


class Figure(msgspec.Struct, frozen=True):
    """Of one side under one load: medians over its rounds, and the least and the most requests per second."""

    per_second: float
    least: float
    most: float
    p50_ms: float
    p99_ms: float
    bytes_each: float
    server_us: float
    engines_us: float
    parts: dict[str, float] = {}

    @classmethod
    def of(cls, turns: Sequence[Turn]) -> Figure:
        rates = [one.per_second for one in turns]

        def middle(name: str, digits: int) -> Any:
            return round(median(getattr(one, name) for one in turns), digits)

        return cls(
            per_second=middle("per_second", 1),
            least=round(min(rates), 1),
            most=round(max(rates), 1),
            p50_ms=middle("p50_ms", 2),
            p99_ms=middle("p99_ms", 2),
            bytes_each=middle("bytes_each", 0),
            server_us=middle("server_us", 1),
            engines_us=middle("engines_us", 1),
            parts={
                name: round(median(one.parts.get(name, 0.0) for one in turns), 1)
                for name in sorted({name for one in turns for name in one.parts})
            },
        )


class Ratio(msgspec.Struct, frozen=True):
    """How many times the other's: the median over rounds, each with its own pair."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, ours: Sequence[Turn], theirs: Sequence[Turn], *, by: Callable[[Turn], float] = per_second) -> Ratio:
        """Of requests per second, or of what `by` says."""
        each = [by(one) / by(other) for one, other in zip(ours, theirs, strict=True)]
        return cls(round(median(each), 2), round(min(each), 2), round(max(each), 2))

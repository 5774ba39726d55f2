"""Counters and histograms for the hot path: a dictionary and plain numbers, made into samples at a scrape.

They are counted on the one thread of an event loop.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Generic, TypeVar

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

OTHER: Final = "other"
Labels = tuple[str, ...]
Series = TypeVar("Series")


class ByLabels(Generic[Series]):
    """Series by their labels. Beyond `most()` sets what is new is `OTHER`, but for the last label.

    That one is the status class or the outcome: few, and worth keeping.
    """

    def __init__(self, make: Callable[[Labels], Series], most: Callable[[], int]) -> None:
        self._make = make
        self._most = most
        self.series: dict[Labels, Series] = {}

    def __getitem__(self, labels: Labels) -> Series:
        found = self.series.get(labels)
        if found is not None:
            return found
        if len(self.series) >= self._most():
            labels = (*(OTHER for _ in labels[:-1]), labels[-1])
            found = self.series.get(labels)
        if found is None:
            found = self.series[labels] = self._make(labels)
        return found


class Count:
    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class Counts(Collector):
    """Counters of one name."""

    def __init__(self, name: str, about: str, labels: Sequence[str], most: Callable[[], int]) -> None:
        self._described = (name, about, labels)
        self.by = ByLabels(lambda _: Count(), most)

    def collect(self) -> Iterable[Metric]:
        name, about, labels = self._described
        family = CounterMetricFamily(name, about, labels=labels)
        for values, count in list(self.by.series.items()):
            family.add_metric(values, count.value)
        return [family]


class Times:
    """How often something took how long."""

    __slots__ = ("_bounds", "buckets", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        self.total = 0.0

    def took(self, seconds: float) -> None:
        self.buckets[bisect_left(self._bounds, seconds)] += 1
        self.total += seconds


class Timings(Collector):
    """Histograms of one name, in seconds; `counted` is the name of a counter of the same things."""

    def __init__(
        self,
        name: str,
        about: str,
        labels: Sequence[str],
        most: Callable[[], int],
        *,
        bounds: Sequence[float],
        counted: tuple[str, str] | None = None,
    ) -> None:
        self._described = (name, about, labels)
        self._names = [*(str(float(bound)) for bound in bounds), "+Inf"]
        self._counted = counted
        self.by = ByLabels(lambda _: Times(bounds), most)

    def collect(self) -> Iterable[Metric]:
        name, about, labels = self._described
        found = list(self.by.series.items())
        family = HistogramMetricFamily(name, about, labels=labels)
        for values, times in found:
            running, buckets = 0, []
            for bound, count in zip(self._names, times.buckets, strict=True):
                running += count
                buckets.append((bound, running))
            family.add_metric(values, buckets, times.total)
        if self._counted is None:
            return [family]
        counter = CounterMetricFamily(*self._counted, labels=labels)
        for values, times in found:
            counter.add_metric(values, sum(times.buckets))
        return [counter, family]

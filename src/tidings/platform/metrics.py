"""Metrics in Prometheus' text format: requests, internal calls, database pools and the process.

Labels have few values: routes are templates, statuses are classes, and whatever comes after the
first few hundred label sets of a metric is counted under `other`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Protocol

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from tidings.platform.tallies import OTHER, ByLabels, Counts, Timings

Outcome = Literal["ok", "refused", "fault", "deadline", "unreachable"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MOST_LABEL_SETS = 400


class DependencyState(Protocol):
    """A service that is called from here: 0 for one that is called, 1 for one cut off, 2 while it is probed."""

    @property
    def state(self) -> int: ...
    @property
    def under_way(self) -> int: ...


class CacheState(msgspec.Struct, frozen=True):
    """A cache as it is now: entries, and bytes."""

    entries: int
    size: int


class PoolState(msgspec.Struct, frozen=True):
    """A database pool as it is now, in connections."""

    open: int
    busy: int
    most: int


def request_served(*, route: str | None, method: str, status: int, seconds: float) -> None:
    """Count a public request; `route` is the path template, None where no route matched."""
    method = method if method in _METHODS else OTHER
    group = _GROUPS.get(status // 100, OTHER)
    _requests.by[route or "unmatched", method, group].took(seconds)


def call_made(*, caller: str, call: str, outcome: Outcome, seconds: float) -> None:
    """Count an internal call, as its caller saw it."""
    _calls.by[caller, call, outcome if outcome in _OUTCOMES else OTHER].took(seconds)


def call_held_back(*, callee: str, reason: Literal["full", "open"]) -> None:
    """Count an internal call that was refused here, before it was sent."""
    _held_back[callee, reason].inc()


def request_shed(*, kind: Literal["can_wait", "other"]) -> None:
    """Count a public request that was refused before anything was done for it."""
    _shed[(kind,)].inc()


def watch_dependency(callee: str, dependency: DependencyState) -> None:
    """Read it at each scrape; in one process the last of that name counts."""
    _dependencies.watched[callee] = dependency


def events_relayed(*, service: str, count: int) -> None:
    """Count events that the bus acknowledged, that were said in passing, or handed over."""
    _relayed[(service,)].inc(count)


def outbox_waits(*, service: str, count: int, oldest: float) -> None:
    """How many events wait for the bus or for neighbours, and for how many seconds the oldest has."""
    _waiting[(service,)].set(count)
    _oldest[(service,)].set(oldest)


def event_handled(*, service: str, event: str, outcome: str, seconds: float) -> None:
    """Count a reaction: `done`, `failed` (it will be tried again) or `dead` (it was set aside)."""
    _reactions.by[service, event, outcome].took(seconds)


def cache_read(*, holder: str, call: str, hits: int, misses: int) -> None:
    """Count what one bulk read found in the cache, in entries, and what it had to ask for."""
    if hits:
        _cache_reads.by[holder, call, "hit"].value += hits
    if misses:
        _cache_reads.by[holder, call, "miss"].value += misses


def watch_cache(*, holder: str, producer: str, state: Callable[[], CacheState]) -> None:
    """Read at each scrape what a service keeps of a producer's answers; the last one of that name counts."""
    _caches.watched[holder, producer] = state


def watch_pool(*, service: str, pool: str, state: Callable[[], PoolState]) -> Callable[[], None]:
    """Read `state` at each scrape; the answer stops that."""
    key = (service, pool)
    _pools.watched[key] = state

    def stop() -> None:
        if _pools.watched.get(key) is state:
            del _pools.watched[key]

    return stop


def transactions_unfinished(service: str, count: int, oldest: float) -> None:
    """How many two-phase transactions of a coordinator are unfinished, and the age of the oldest in seconds."""
    _unfinished[(service,)].set(count)
    _oldest_unfinished[(service,)].set(oldest)


def branches_prepared(service: str, count: int) -> None:
    """How many branches of a participant hold their locks until they are told the outcome."""
    _branches[(service,)].set(count)


def render() -> bytes:
    return generate_latest(_registry)


def merge(expositions: Mapping[str, bytes]) -> bytes:
    """One exposition of several processes: families together, each sample with the label `process`.

    Keys are process names, one a process (`messages-1`, `messages-2`). Raises ValueError on malformed text.
    """
    families: dict[str, Metric] = {}
    for process, text in expositions.items():
        for family in text_string_to_metric_families(text.decode("utf-8")):
            merged = families.setdefault(
                family.name, Metric(family.name, family.documentation, family.type, family.unit)
            )
            merged.samples += [
                sample._replace(labels={**sample.labels, "process": process}) for sample in family.samples
            ]
    return generate_latest(_Fixed(families.values()))


class _Caches(Collector):
    def __init__(self) -> None:
        self.watched: dict[tuple[str, str], Callable[[], CacheState]] = {}

    def collect(self) -> Iterable[Metric]:
        labels = ["holder", "producer"]
        entries = GaugeMetricFamily("tidings_cache_entries", "Entries in a cache.", labels=labels)
        size = GaugeMetricFamily("tidings_cache_bytes", "Bytes in a cache.", labels=labels)
        for key, read in list(self.watched.items()):
            state = read()
            entries.add_metric(key, state.entries)
            size.add_metric(key, state.size)
        return [entries, size]


class _Pools(Collector):
    def __init__(self) -> None:
        self.watched: dict[tuple[str, str], Callable[[], PoolState]] = {}

    def collect(self) -> Iterable[Metric]:
        gauge = GaugeMetricFamily(
            "tidings_pool_connections", "Database connections, by state.", labels=["service", "pool", "state"]
        )
        for key, read in list(self.watched.items()):
            state = read()
            for name in ("open", "busy", "most"):
                gauge.add_metric([*key, name], getattr(state, name))
        return [gauge]


class _Dependencies(Collector):
    def __init__(self) -> None:
        self.watched: dict[str, DependencyState] = {}

    def collect(self) -> Iterable[Metric]:
        state = GaugeMetricFamily(
            "tidings_dependency_state",
            "Whether a service is called: 0 yes, 1 cut off, 2 probed.",
            labels=["callee"],
        )
        under_way = GaugeMetricFamily(
            "tidings_dependency_under_way", "Calls to a service that have not ended.", labels=["callee"]
        )
        for callee, dependency in list(self.watched.items()):
            state.add_metric([callee], dependency.state)
            under_way.add_metric([callee], dependency.under_way)
        return [state, under_way]


class _Fixed(CollectorRegistry):
    """Families that were collected elsewhere, for `generate_latest`."""

    def __init__(self, families: Iterable[Metric]) -> None:
        super().__init__()
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OUTCOMES = frozenset({"ok", "refused", "fault", "deadline", "unreachable"})
_GROUPS = {number: f"{number}xx" for number in range(1, 6)}
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

# The times at which each series began double the exposition, and nothing here reads them.
disable_created_metrics()  # type: ignore[no-untyped-call]
_registry = CollectorRegistry()


def _most() -> int:
    return MOST_LABEL_SETS


def _bounded(metric: Any) -> ByLabels[Any]:
    """The series of one of the library's metrics: looked up once on the way, and none grow for ever."""
    return ByLabels(lambda labels: metric.labels(*labels), _most)


_requests = Timings(
    "tidings_request_seconds",
    "Time to answer a public request.",
    ["route", "method", "status"],
    _most,
    bounds=_BUCKETS,
    counted=("tidings_requests", "Public requests, by route and status class."),
)
_calls = Timings(
    "tidings_call_seconds",
    "Time of an internal call, as its caller saw it.",
    ["caller", "call", "outcome"],
    _most,
    bounds=_BUCKETS,
)
_cache_reads = Counts(
    "tidings_cache_reads",
    "Entries that bulk reads asked for, by whether the cache had them.",
    ["holder", "call", "outcome"],
    _most,
)
_reactions = Timings(
    "tidings_reaction_seconds",
    "Time of a reaction to an event.",
    ["service", "event", "outcome"],
    _most,
    bounds=_BUCKETS,
)
for _tally in (_requests, _calls, _cache_reads, _reactions):
    _registry.register(_tally)
_held_back = _bounded(
    Counter(
        "tidings_calls_held_back",
        "Internal calls that were refused before they were sent.",
        ["callee", "reason"],
        registry=_registry,
    )
)
_shed = _bounded(
    Counter(
        "tidings_requests_shed",
        "Public requests that were refused before anything was done for them.",
        ["kind"],
        registry=_registry,
    )
)
_unfinished = _bounded(
    Gauge(
        "tidings_twophase_unfinished",
        "Two-phase transactions that not everybody has acknowledged.",
        ["service"],
        registry=_registry,
    )
)
_oldest_unfinished = _bounded(
    Gauge(
        "tidings_twophase_oldest_seconds",
        "Age of the oldest unfinished two-phase transaction.",
        ["service"],
        registry=_registry,
    )
)
_branches = _bounded(
    Gauge("tidings_twophase_prepared", "Prepared branches of a participant.", ["service"], registry=_registry)
)
_relayed = _bounded(
    Counter(
        "tidings_events_relayed",
        "Events that the bus has, or that were said in passing or handed over.",
        ["service"],
        registry=_registry,
    )
)
_waiting = _bounded(
    Gauge(
        "tidings_outbox_waiting",
        "Events that wait for the bus, or for whom they were handed over to.",
        ["service"],
        registry=_registry,
    )
)
_oldest = _bounded(
    Gauge("tidings_outbox_oldest_seconds", "Age of the oldest of them.", ["service"], registry=_registry)
)
_caches = _Caches()
_registry.register(_caches)
_pools = _Pools()
_registry.register(_pools)
_dependencies = _Dependencies()
_registry.register(_dependencies)
ProcessCollector(registry=_registry)
PlatformCollector(registry=_registry)
GCCollector(registry=_registry)

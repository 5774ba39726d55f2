"""Metrics: what is counted, that labels stay few, and that several processes make one exposition."""

from typing import Any

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from tidings.platform import metrics
from tidings.platform.metrics import CacheState, PoolState


def samples(exposition: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(exposition.decode())
        for sample in family.samples
    }


def value(exposition: bytes, name: str, **labels: str) -> float:
    return samples(exposition).get((name, frozenset(labels.items())), 0.0)


def test_requests_are_counted_by_template_and_status_class() -> None:
    labels = {"route": "/v1/users/{id}", "method": "GET", "status": "2xx"}
    before = value(metrics.render(), "tidings_requests_total", **labels)
    metrics.request_served(route="/v1/users/{id}", method="GET", status=204, seconds=0.004)
    after = metrics.render()
    assert value(after, "tidings_requests_total", **labels) == before + 1
    assert value(after, "tidings_request_seconds_bucket", le="0.005", **labels) == before + 1
    assert value(after, "tidings_request_seconds_bucket", le="0.0025", **labels) == before


def test_what_a_client_invents_is_no_label() -> None:
    metrics.request_served(route=None, method="BREW", status=404, seconds=0.1)
    found = metrics.render()
    assert value(found, "tidings_requests_total", route="unmatched", method="other", status="4xx") >= 1
    assert b"BREW" not in found


def test_calls_are_timed_by_caller_call_and_outcome() -> None:
    metrics.call_made(caller="timeline", call="friends/of", outcome="deadline", seconds=2.0)
    assert (
        value(
            metrics.render(), "tidings_call_seconds_count",
            caller="timeline", call="friends/of", outcome="deadline",
        )
        >= 1
    )  # fmt: skip


def test_label_sets_end_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MOST_LABEL_SETS", len(metrics._calls.by.series) + 2)
    for number in range(50):
        metrics.call_made(caller="c", call=f"made/up-{number}", outcome="ok", seconds=0.1)
    found = samples(metrics.render())
    assert sum("made/up-" in str(labels) and name.endswith("_count") for name, labels in found) == 2
    assert value(metrics.render(), "tidings_call_seconds_count", caller="other", call="other", outcome="ok") == 48


def test_pools_are_read_at_the_scrape_until_stopped() -> None:
    state = PoolState(open=4, busy=1, most=4)
    stop = metrics.watch_pool(service="nobody", pool="read", state=lambda: state)
    state = PoolState(open=4, busy=3, most=4)
    found = metrics.render()
    assert value(found, "tidings_pool_connections", service="nobody", pool="read", state="busy") == 3
    stop()
    stop()
    assert b'service="nobody",state' not in metrics.render()


def test_caches_are_read_at_the_scrape_and_the_last_of_a_name_counts() -> None:
    size = 70
    metrics.watch_cache(holder="nobody", producer="users", state=lambda: CacheState(entries=1, size=7))
    metrics.watch_cache(holder="nobody", producer="users", state=lambda: CacheState(entries=2, size=size))
    size = 90
    found = metrics.render()
    assert value(found, "tidings_cache_entries", holder="nobody", producer="users") == 2
    assert value(found, "tidings_cache_bytes", holder="nobody", producer="users") == 90


def test_the_process_is_measured_in_our_own_registry() -> None:
    found = metrics.render()
    assert value(found, "process_resident_memory_bytes") > 1_000_000
    assert b"_created" not in found
    assert not any(family.name.startswith("tidings") for family in REGISTRY.collect())


ONE = b"""# HELP x_total Things, "quoted" \\\\ and\\nmore.
# TYPE x_total counter
x_total{route="a\\"b\\\\c\\nd"} 1.0
# HELP y Size.
# TYPE y gauge
y 2.0
"""
TWO = b"""# HELP y Size.
# TYPE y gauge
y 3.0
# HELP z Time.
# TYPE z histogram
z_bucket{le="0.5"} 1.0
z_bucket{le="+Inf"} 2.0
z_count 2.0
z_sum 0.7
# HELP x_total Things, "quoted" \\\\ and\\nmore.
# TYPE x_total counter
x_total{route="plain"} 5.0
"""


def test_expositions_merge_into_one_with_families_together() -> None:
    merged = metrics.merge({"users": ONE, "edge-1": TWO})
    families: list[Any] = list(text_string_to_metric_families(merged.decode()))
    assert [family.name for family in families] == ["x", "y", "z"]
    assert [family.type for family in families] == ["counter", "gauge", "histogram"]
    assert merged.count(b"# TYPE y gauge") == 1
    assert value(merged, "x_total", route='a"b\\c\nd', process="users") == 1
    assert value(merged, "x_total", route="plain", process="edge-1") == 5
    assert value(merged, "y", process="users") == 2
    assert value(merged, "y", process="edge-1") == 3
    assert value(merged, "z_bucket", le="+Inf", process="edge-1") == 2
    assert metrics.merge({}) == b""


def test_a_real_exposition_survives_merging_whole() -> None:
    metrics.request_served(route="/v1/x", method="GET", status=200, seconds=0.1)
    real = metrics.render()
    merged = metrics.merge({"a": real, "b": real})
    expected = {(name, labels | {("process", p)}) for name, labels in samples(real) for p in ("a", "b")}
    assert set(samples(merged)) == expected
    helped = [line for line in merged.splitlines() if line.startswith(b"# TYPE")]
    assert len(helped) == len(set(helped))

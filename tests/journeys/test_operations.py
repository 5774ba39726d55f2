"""What an operator's tools ask of a running system."""

from __future__ import annotations

import json

from prometheus_client.parser import text_string_to_metric_families

from tests.harness.system import Whole
from tidings import everything


async def test_health_says_whether_the_process_lives_and_its_own_stores_answer(tidings: Whole) -> None:
    alive = await tidings.client.ask("GET", "/livez")
    ready = await tidings.client.ask("GET", "/readyz")
    assert alive.ok() == {"alive": True}
    here = [] if tidings.mode == "apart" else sorted(everything.SERVICES)
    assert sorted(name for name, state in ready.ok()["services"].items() if state) == here


async def test_metrics_of_every_process_are_one_valid_exposition(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    await alice.timeline()
    assert tidings.system.metrics_url is not None
    async with tidings.client.session.get(tidings.system.metrics_url) as response:
        text = await response.text()

    families = {family.name: family for family in text_string_to_metric_families(text)}
    calls = next(family for name, family in families.items() if name.startswith("tidings_") and "call" in name)
    made = {(sample.labels["caller"], sample.labels["call"]) for sample in calls.samples if "call" in sample.labels}
    assert {("edge", "users/whois"), ("timeline", "friends/circles"), ("timeline", "users/cards_as_of")} <= made
    processes = {sample.labels["process"] for sample in calls.samples}
    if tidings.mode == "apart":  # each process counts the calls that it makes
        assert {"edge", "timeline"} <= processes <= {"edge", *everything.SERVICES}
    else:
        assert processes == {"tidings"}
    rebound = {"host": "evil.example"}
    async with tidings.client.session.get(tidings.system.metrics_url, headers=rebound) as refused:
        assert refused.status == 421  # row 42: a page of another name that resolves to us reads nothing
    public = await tidings.client.ask("GET", "/metrics")
    assert public.status == 404  # on another port only


async def test_a_trace_leads_through_every_service_and_into_the_log(tidings: Whole) -> None:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    await alice.befriends(bob)
    answer = await alice.get("/v1/timeline", traced=True)
    callers = {one.caller for one in tidings.points.seen if one.trace == answer.trace}
    assert callers == {"edge", "timeline"}
    for log in (tidings.settings.data / "logs").glob("*.log"):
        if log.name in {"postgres.log", "nats.log", "mongodb.log", "valkey.log"}:
            continue
        for line in log.read_text().splitlines():
            assert {"time", "level", "event", "service"} <= json.loads(line).keys(), line

"""Who hears what is said in a process: counted from what services declare, and from where they run."""

from __future__ import annotations

from pathlib import Path

from tidings.edge.kept import KEPT as FRONT_KEPT
from tidings.everything import SERVICES
from tidings.platform.events.bus import listeners_by_producer
from tidings.platform.process import Plan, _heard_once
from tidings.platform.settings import Settings
from tidings.platform.topology import EDGE


def test_all_who_hear_a_producer_are_those_who_keep_of_it_and_those_who_keep_nothing() -> None:
    hearing = listeners_by_producer(SERVICES, {EDGE: {kept.call.service for kept in FRONT_KEPT}})
    assert hearing == {
        "users": {EDGE, "messages", "timeline"},
        "friends": {"messages", "timeline"},
        "messages": {"messages", "timeline"},
        "media": set(),
        "notifications": {"timeline"},
        "timeline": set(),
        "web": set(),
    }


def test_who_is_heard_in_several_processes_of_a_service_says_it_on_the_bus(tmp_path: Path) -> None:
    hearing = {"users": {EDGE, "timeline"}, "friends": {"messages", "timeline"}, "media": set[str]()}
    plan = Plan(
        settings=Settings(data=tmp_path),
        kinds={},
        rings={},
        secrets={},
        dsns={},
        replicated=("messages",),
        hearing=hearing,
    )
    assert _heard_once(plan) == {"users": {EDGE, "timeline"}, "media": set()}

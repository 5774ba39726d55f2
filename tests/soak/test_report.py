"""The report: its last line is JSON, its status tells, and doubt is counted from the right moment on."""

from __future__ import annotations

import json
import math
from typing import Any, cast

import pytest

from tests.consistency.checker import Violation
from tests.soak import watch
from tests.soak.report import Report, check_in_doubt
from tests.soak.watch import Doubts, Uptime


def test_the_last_line_is_json_with_all_figures() -> None:
    report = Report(seed=1)
    report.operations["post", "ok"] += 3
    report.operations["post", "unknown"] += 1
    report.struck["bus killed"] += 2
    report.bit["bus killed"] += 1
    report.converged += [0.5, 2.0]
    figures = json.loads(list(report.lines())[-1])
    assert (figures["violations"], figures["operations"], figures["faults_that_bit"]) == (0, 4, 1)
    assert figures["converge_longest_s"] == 2.0
    assert report.ends() == 0


def test_a_violation_is_shown_with_its_proof_and_ends_with_1() -> None:
    report = Report(seed=1, violations=[Violation("I9", "somebody gone is shown")])
    lines = list(report.lines())
    assert any("VIOLATION I9: somebody gone is shown" in line for line in lines)
    assert json.loads(lines[-1])["violations"] == 1
    assert report.ends() == 1


def test_a_slow_end_of_doubts_is_a_violation() -> None:
    report = Report(seed=1, in_doubt=[0.1] * 98 + [5.5, 5.6])
    check_in_doubt(report)
    assert [one.invariant for one in report.violations] == ["I8"]
    quick = Report(seed=1, in_doubt=[0.1] * 99 + [5.5])
    check_in_doubt(quick)
    assert quick.violations == []


def test_doubt_is_counted_from_when_all_is_up_and_the_deadline_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(watch.time, "monotonic", lambda: now)
    uptime = Uptime(cast("Any", None), cast("Any", None), since=0.0)
    doubts = Doubts(cast("Any", None), uptime)
    doubts._note({"one": 103.0, "two": 103.0})
    now = 102.0
    doubts._note({"one": 103.0})  # two ended in time: that is no doubt to count
    assert (doubts.took, doubts.seen) == ([], 2)
    uptime.since = math.inf
    now = 110.0
    doubts._note({"one": 103.0})
    uptime.since = 111.0
    now = 113.0
    doubts._note({"one": 103.0})
    now = 114.0
    doubts._note({})
    assert doubts.took == [3.0]


def test_a_doubt_that_lasts_is_overdue(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(watch.time, "monotonic", lambda: now)
    doubts = Doubts(cast("Any", None), Uptime(cast("Any", None), cast("Any", None), since=0.0))
    doubts._note({"one": 103.0})
    now = 117.0
    doubts._note({"one": 103.0})
    assert doubts.overdue == {}
    now = 118.5
    doubts._note({"one": 103.0})
    assert list(doubts.overdue) == ["one"]

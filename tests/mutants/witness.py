"""A pytest plugin: writes down how each phase of each test ended, and whose `tidings` was under test."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import tidings

REPORT: Final = "MUTANT_REPORT"  # the environment's name of the file, one JSON line for each phase


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Iterator[None]:
    """Only an assertion says that a property is broken; whatever else ends a test does not."""
    report: Any = yield
    asserted = call.excinfo is not None and call.excinfo.errisinstance((AssertionError, pytest.fail.Exception))
    said = "" if call.excinfo is None else f"{call.excinfo.typename}: {call.excinfo.value}"
    line = {
        "test": item.nodeid,
        "when": call.when,
        "outcome": report.outcome,
        "asserted": asserted,
        "said": said.strip().splitlines()[0][:300] if said else "",
        "tidings": str(Path(tidings.__file__).resolve()),
    }
    with Path(os.environ[REPORT]).open("a") as file:
        file.write(json.dumps(line) + "\n")
    return report

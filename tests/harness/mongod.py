"""Whether a MongoDB server runs on this machine: its wheel is for Linux on x86-64, and wants libraries of it."""

from __future__ import annotations

import subprocess
from functools import cache

import pytest

from tidings.platform.data_directory import StartRefused
from tidings.platform.engines.mongod import MONGOD
from tidings.platform.engines.server import installed


@cache
def _trouble() -> str | None:
    try:
        tried = subprocess.run([installed(MONGOD), "--version"], capture_output=True, text=True, check=False)
    except StartRefused as refused:
        return str(refused)
    return None if tried.returncode == 0 else tried.stderr.strip()


def runs_mongod() -> None:
    """Skip the test where it does not, and say why."""
    if (trouble := _trouble()) is not None:
        pytest.skip(f"no MongoDB here: {trouble}")

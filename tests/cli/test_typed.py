"""A command that is printed can be copied: it is called as the person has called ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from tests.cli.command import environment, run_apart
from tidings.cli.main import app
from tidings.cli.typed import COMMANDS, as_typed

BIN = Path(sys.executable).parent


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with the command in it."""
    program = tmp_path / "bin dir" / "tidings"
    program.parent.mkdir()
    program.touch(mode=0o755)
    return program


def test_off_the_path_it_is_what_was_typed(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(installed), "up"])
    monkeypatch.setenv("PATH", os.defpath)
    assert as_typed("`tidings doctor` names it.") == f"`'{installed}' doctor` names it."
    monkeypatch.chdir(installed.parent)
    monkeypatch.setattr(sys, "argv", ["./tidings", "up"])
    assert as_typed("Start it: tidings up --data x") == "Start it: ./tidings up --data x"


def test_on_the_path_it_is_the_name_alone(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(installed), "up"])
    monkeypatch.setenv("PATH", str(installed.parent))
    assert as_typed("tidings doctor") == "tidings doctor"


def test_nothing_but_commands_is_changed(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(installed), "up"])
    monkeypatch.setenv("PATH", os.defpath)
    for text in ("tidings: no", "tidings 4711, postgres 4712", "/srv/tidings up", "tidings uptime", "Tidings runs"):
        assert as_typed(text) == text


def test_every_command_is_known() -> None:
    assert {*get_command(app).commands, "--help"} == set(COMMANDS)  # type: ignore[attr-defined]


@pytest.mark.parametrize("program", [[str(BIN / "tidings")], [os.path.relpath(BIN / "tidings")]])
def test_a_hint_can_be_run_as_it_stands(program: list[str], tmp_path: Path) -> None:
    hinted = subprocess.run(
        [*program, "users", "list", "--data", tmp_path / "none"],
        env=environment(PATH=os.defpath),
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"{program[0]} up --data {tmp_path / 'none'}" in hinted.stderr


def test_started_as_a_module_it_is_hinted_as_a_module(tmp_path: Path) -> None:
    said = run_apart("doctor", "--data", tmp_path / "none").stdout
    assert f"{sys.executable} -m tidings.cli.main up" in said

"""`tidings bench growth` before anything starts: what it asks first."""

from pathlib import Path

import pytest

from tests.cli.command import tidings
from tidings.bench import wrk


def test_much_of_the_disk_is_used_only_when_that_was_agreed_to(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    done = tidings("bench", "growth", "--messages", 5_000_000, "--people", 2000, "--keep", folder)
    assert done.returncode == 2
    assert f"GB in {folder}" in done.stderr
    assert "--yes" in done.stderr
    assert not list(folder.iterdir())


def test_without_wrk_nothing_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise wrk.WrkMissing("there is none")

    monkeypatch.setattr("tidings.bench.growth.find_wrk", missing)
    done = tidings("bench", "growth", "--quick", "--yes", "--keep", tmp_path)
    assert done.returncode == 2
    assert "there is none" in done.stderr
    assert not list(tmp_path.iterdir())

"""`tidings bench mix` before anything starts: what it refuses, and what it asks first."""

from pathlib import Path

from tests.cli.command import tidings


def test_a_bad_line_of_the_graph_is_named(tmp_path: Path) -> None:
    file = tmp_path / "bad.edges"
    file.write_text("1 2\n3 x\n")
    done = tidings("bench", "mix", "--graph", file)
    assert done.returncode == 14
    assert f"{file}, line 2: 'x' is not a whole number" in done.stderr


def test_much_of_the_disk_is_used_only_when_that_was_agreed_to(tmp_path: Path) -> None:
    done = tidings("bench", "mix", "--after", 1_000_000, "--within", tmp_path)
    assert done.returncode == 2
    assert f"GB in {tmp_path}" in done.stderr
    assert "--yes" in done.stderr
    assert not list(tmp_path.iterdir())


def test_more_than_there_is_room_for_is_refused_even_then(tmp_path: Path) -> None:
    done = tidings("bench", "mix", "--after", 10**12, "--within", tmp_path, "--yes")
    assert done.returncode == 2
    assert "Name another folder" in done.stderr

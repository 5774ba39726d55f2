"""Whoever starts with another store than the last time is told where everything is."""

from __future__ import annotations

from pathlib import Path

from tidings.cli.up import _elsewhere
from tidings.platform.moved import FILE, moved

HERE = {"users": "embedded", "messages": "embedded"}
MONGO = {"users": "embedded", "messages": "mongodb"}


def test_a_store_that_changed_is_told_once_with_where_it_was(tmp_path: Path) -> None:
    assert moved(tmp_path, HERE) == {}  # the first time
    assert moved(tmp_path, HERE) == {}
    assert moved(tmp_path, MONGO) == {"messages": "embedded"}
    assert moved(tmp_path, MONGO) == {}
    assert moved(tmp_path, HERE) == {"messages": "mongodb"}
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_a_new_service_has_not_moved(tmp_path: Path) -> None:
    moved(tmp_path, HERE)
    assert moved(tmp_path, {**HERE, "polls": "embedded"}) == {}


def test_a_file_that_cannot_be_read_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("half a f")
    assert moved(tmp_path, HERE) == {}
    assert moved(tmp_path, MONGO) == {"messages": "embedded"}


def test_it_is_told_in_words() -> None:
    said = _elsewhere("messages", "embedded", "mongodb")
    assert "messages keeps its data in the embedded MongoDB now" in said
    assert "the last time that was the embedded PostgreSQL" in said and "Nothing was moved" in said
    assert "postgres://db-2/messages" in _elsewhere("messages", "postgres://db-2/messages", "embedded")

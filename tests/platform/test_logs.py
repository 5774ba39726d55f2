"""Logs: one line an event, whole, traced, and without a secret in it."""

import io
import json
import logging
import re
import stat
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tidings.platform import logs, tracing

TOKEN = "tds_" + "aB3-_" * 6


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    before = root.level
    yield
    logging.captureWarnings(False)
    if logs._handler is not None:
        root.removeHandler(logs._handler)
        logs._handler.close()
        logs._handler = None
    root.setLevel(before)


@pytest.fixture
def out() -> io.StringIO:
    stream = io.StringIO()
    logs.configure(service="users", level="debug", to="stderr", stream=stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().split("\n") if line]


def test_an_event_is_one_json_line_with_its_trace(out: io.StringIO) -> None:
    with tracing.span("x") as here:
        logs.get_logger("tidings.users").info("signed_in", user="u1", took=0.5)
    (line,) = lines(out)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "info", "event": "signed_in", "service": "users", "logger": "tidings.users",
        "trace_id": here.context.trace_id, "span_id": here.context.span_id, "user": "u1", "took": 0.5,
    }  # fmt: skip
    assert list(lines(out)[0])[:4] == ["time", "level", "event", "service"]


def test_the_standard_library_passes_through_the_same(out: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").warning("listening on %s with %s", "socket", TOKEN)
    warnings.showwarning("old", DeprecationWarning, "file.py", 1)
    first, second = lines(out)
    assert (first["event"], first["logger"]) == ("listening on socket with ***", "uvicorn.error")
    assert (first["level"], first["service"]) == ("warning", "users")
    assert "DeprecationWarning" in second["event"]


def test_the_level_holds_for_loggers_made_before(out: io.StringIO) -> None:
    log = logs.get_logger("early")
    log.debug("one")
    later = io.StringIO()
    logs.configure(service="friends", level="warning", to="stderr", stream=later)
    log.info("two")
    log.warning("three", service="timeline")
    log.warning("four")
    assert [line["event"] for line in lines(out)] == ["one"]
    assert [(line["event"], line["service"]) for line in lines(later)] == [
        ("three", "timeline"),
        ("four", "friends"),
    ]


def test_callers_cannot_replace_time_or_trace(out: io.StringIO) -> None:
    with tracing.span("x") as here:
        logs.get_logger("x").info("e", time="never", trace_id="mine")
    (line,) = lines(out)
    assert line["time"] != "never"
    assert (line["trace_id"], line["trace_id_"]) == (here.context.trace_id, "mine")


class Credentials(msgspec.Struct):
    handle: str
    password: str


@pytest.mark.parametrize(
    "given",
    [
        {"token": "hunter2"}, {"password": "hunter2"}, {"new_password": "hunter2"}, {"Set-Cookie": "hunter2"},
        {"authorization": "hunter2"}, {"resetLink": "hunter2"}, {"api_key": "hunter2"}, {"keys": ["hunter2"]},
        {"deep": {"list": [{"secret": "hunter2"}]}}, {"who": Credentials("ann", "hunter2")},
        {"why": ValueError("password=hunter2")}, {"body": '{"password": "hunter2"}'}, {"pin_secret": b"hunter2"},
        {"url": "postgres://users:hunter2@db/users"}, {"header": "Bearer hunter2-hunter2"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["json", "console"])
def test_secrets_are_masked_by_key_and_by_shape(given: dict[str, Any], form: str) -> None:
    stream = io.StringIO()
    logs.configure(service="users", to="stderr", format=form, stream=stream)
    logs.get_logger("x").info("e", handle="ann", **given)
    assert "***" in stream.getvalue()
    assert "ann" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


@pytest.mark.parametrize("start", ["tds_", "tdl_", "tdi_"])
def test_tokens_are_masked_anywhere_tracebacks_included(out: io.StringIO, start: str) -> None:
    token = start + "Zz09-_" * 5

    def fail() -> None:
        raise RuntimeError(f"refused {token} of postgres://u:hunter2@db")

    try:
        fail()
    except RuntimeError:
        logs.get_logger("x").exception(f"broke {token}", seen=[f"/x?t={token}"], more={token: 1})
        logging.getLogger("asyncio").exception("also %s", token)
    assert len(lines(out)) == 2
    assert all("RuntimeError: refused ***" in line["exception"] for line in lines(out))
    assert token not in out.getvalue()
    assert "hunter2" not in out.getvalue()


def test_plain_words_stay(out: io.StringIO) -> None:
    logs.get_logger("x").info("token bucket is empty", monkey="x", blink=True, secret=None, url="http://a:80/b@c")
    (line,) = lines(out)
    assert line["event"] == "token bucket is empty"
    assert (line["monkey"], line["blink"], line["secret"], line["url"]) == ("x", True, None, "http://a:80/b@c")


HOSTILE = "a\r\n2026-01-01 forged\x1b[2J\x00\x9b1m\u2028\u202e\ud800é"


@pytest.mark.parametrize("form", ["json", "console"])
def test_control_characters_never_reach_the_line(form: str) -> None:
    stream = io.StringIO()
    logs.configure(service="users", to="stderr", format=form, stream=stream)
    logs.get_logger("x").info(HOSTILE, value=HOSTILE, **{HOSTILE: 1})
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e\ud800-\udfff]", text)
    assert "é" in text


def test_an_exception_message_cannot_forge_a_console_line() -> None:
    stream = io.StringIO()
    logs.configure(service="users", to="stderr", format="console", stream=stream)
    try:
        raise ValueError("x\n2026 info forged\x1b[0m")
    except ValueError:
        logs.get_logger("x").exception("broke")
    first, *rest = stream.getvalue().rstrip("\n").split("\n")
    assert "broke" in first
    assert any("forged\\u001b" in line for line in rest)
    assert all(line.startswith("    | ") for line in rest)


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_odd_values_do_not_break_the_line(out: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [logs._handler])  # pytest's own cannot show them
    loop: list[object] = []
    loop.append(loop)
    logs.get_logger("x").info("e", a=float("nan"), b={1, 2}, c=Unshowable(), d=loop, e=b"\x00", f=Path("/x"))
    (line,) = lines(out)
    assert (line["a"], line["b"], line["c"], line["f"]) == ("nan", [1, 2], "<Unshowable>", "/x")


def test_auto_writes_json_to_a_pipe_and_a_private_file_from_a_terminal(tmp_path: Path) -> None:
    pipe, terminal = io.StringIO(), Terminal()
    logs.configure(service="users", data=tmp_path, stream=pipe)
    logs.get_logger("x").info("piped")
    assert lines(pipe)[0]["event"] == "piped"
    logs.configure(service="users", data=tmp_path, stream=terminal)
    logs.get_logger("x").info("filed")
    path = tmp_path / "logs" / "tidings.log"
    assert json.loads(path.read_text())["event"] == "filed"
    assert terminal.getvalue() == ""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_terminal_gets_colours_unless_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for refused in (False, True):
        if refused:
            monkeypatch.setenv("NO_COLOR", "1")
        stream = Terminal()
        logs.configure(service="users", to="stderr", stream=stream)
        logs.get_logger("x").info("hello", a="b c")
        assert ("\x1b[" in stream.getvalue()) is not refused
        assert 'a="b c"' in stream.getvalue()


def test_rotated_files_are_private_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_FILE_BYTES", 300)
    logs.configure(service="users", to="file", data=tmp_path, process="friends")
    for number in range(5):
        logs.get_logger("x").info("e", number=number, text="y" * 100)
    files = sorted((tmp_path / "logs").iterdir())
    assert files[0].name == "friends.log"
    assert len(files) > 1
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_a_file_needs_a_folder() -> None:
    with pytest.raises(ValueError, match="data folder"):
        logs.configure(service="users", to="file", stream=sys.stderr)

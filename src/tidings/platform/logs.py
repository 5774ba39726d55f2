"""Logs: one line an event, JSON or for a terminal, with trace ids, and without secrets.

Events of structlog and of the standard library (uvicorn, asyncpg, alembic) pass through the same formatter.
"""

import json
import logging
import math
import os
import re
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, TextIO

import msgspec
import structlog
from structlog.stdlib import BoundLogger, ProcessorFormatter
from structlog.typing import EventDict

from tidings.platform import tracing
from tidings.platform.settings import MASK, hide_passwords

MAX_FILE_BYTES = 20 * 1024 * 1024
KEPT_FILES = 5

_service = "tidings"
_handler: logging.Handler | None = None


def configure(
    *,
    service: str,
    level: str = "info",
    to: str = "auto",
    format: str = "auto",
    data: Path | None = None,
    process: str = "tidings",
    stream: TextIO | None = None,
) -> None:
    """Send every log of this process to one place; may be called again.

    `to`: `stderr`, `file` (`<data>/logs/<process>.log`), or `auto`: the file when stderr is a terminal and
    `data` is given, else stderr. `format`: `json`, `console`, or `auto`: console on a terminal only.
    Processes of one data folder need different `process` names, since each rotates its own file.
    """
    global _service, _handler
    stream = stream or sys.stderr
    if to == "auto":
        to = "file" if stream.isatty() and data is not None else "stderr"
    if to == "file" and data is None:
        raise ValueError("logs go to a file only where the data folder is known")
    terminal = to == "stderr" and stream.isatty()
    if format == "auto":
        format = "console" if terminal else "json"

    handler = logging.StreamHandler(stream) if to == "stderr" or data is None else _private_file(data, process)
    colours = terminal and "NO_COLOR" not in os.environ
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=_BEFORE,
            processors=[
                ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _redacted,
                _Console(colours=colours) if format == "console" else _json_line,
            ],
        )
    )
    root = logging.getLogger()
    if _handler is not None:
        root.removeHandler(_handler)
        _handler.close()
    root.addHandler(handler)
    root.setLevel(level.upper())
    # Servers that bring handlers of their own would write lines that we did not format.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    logging.captureWarnings(True)
    _service, _handler = service, handler


def get_logger(name: str) -> BoundLogger:
    """A logger whose lines carry `name` as `logger`: `log.info("event", key=value)`."""
    logger: BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def redact(text: str) -> str:
    """The text with our tokens, links and invites, and passwords in it, masked."""
    # Most values have none of these marks, and the patterns cost more than the look.
    if "://" in text or "password" in text:
        text = hide_passwords(text)
    if "_" in text or " " in text:
        text = _TOKENS.sub(MASK, text)
    if "=" in text or ":" in text:
        text = _ASSIGNED.sub(rf"\1{MASK}", text)
    return text


_TOKENS = re.compile(r"\btd[sli]_[A-Za-z0-9_-]{20,}|(?i:(?<=\bbearer )|(?<=\bbasic ))[A-Za-z0-9._~+/=-]{8,}")
_ASSIGNED = re.compile(
    r"""(\b(?:\w+_)?(?:password|passwd|passphrase|secret|token)["']?\s?[=:]\s?["']?)[^\s"'&,;)}*][^\s"'&,;)}]*""",
    re.IGNORECASE,
)
_SECRET_WORDS = frozenset(
    {"token", "password", "passwd", "passphrase", "secret", "authorization", "cookie", "link", "key"}
    | {"apikey", "credential", "mac", "signature"}
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_DEEPEST = 8

_known_keys: dict[str, bool] = {}


def _is_secret(key: str) -> bool:
    known = _known_keys.get(key)
    if known is None:
        words = (word.lower() for word in _WORD.findall(key))
        known = any(word in _SECRET_WORDS or word.removesuffix("s") in _SECRET_WORDS for word in words)
        if len(_known_keys) < 2000:
            _known_keys[key] = known
    return known


def _clean(value: Any, depth: int = 0) -> Any:
    """The value as JSON can hold it, without secrets."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return redact(str(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, Mapping) and depth < _DEEPEST:
        return {redact(str(key)): _clean_under(str(key), inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset) and depth < _DEEPEST:
        return [_clean(inner, depth + 1) for inner in value]
    return redact(_text(value))


def _clean_under(key: str, value: Any, depth: int) -> Any:
    hidden = _is_secret(key) and not (value is None or isinstance(value, bool))
    return MASK if hidden else _clean(value, depth)


def _text(value: object) -> str:
    try:
        return str(value) if isinstance(value, BaseException | Path) else repr(value)
    except Exception:  # a log line must not fail for a value that cannot show itself
        return f"<{type(value).__name__}>"


def _redacted(_: Any, __: str, event: EventDict) -> EventDict:
    cleaned: EventDict = _clean(event)
    return cleaned


def _stamped(_: Any, method: str, event: EventDict) -> EventDict:
    now = datetime.now(UTC)
    line: dict[str, Any] = {
        "time": f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z",
        "level": event.pop("level", method),
        "event": event.pop("event", ""),
        "service": event.pop("service", _service),
    }
    trace = tracing.current()
    if trace is not None:
        line["trace_id"], line["span_id"] = trace.trace_id, trace.span_id
    # What the caller says last: it must not replace the time or the trace.
    return line | {key if key not in line else f"{key}_": value for key, value in event.items()}


# C0 is encoded by JSON itself; these would still reach a terminal or break a line.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def _visible(text: str) -> str:
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _json_line(_: Any, __: str, event: EventDict) -> str:
    return _visible(json.dumps(event, ensure_ascii=False, default=repr))


class _Console:
    """A line for people: time, level, event, then the rest; a traceback follows, each line marked."""

    _COLOURS = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "31;1"}

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours

    def __call__(self, _: Any, __: str, event: EventDict) -> str:
        rest: MutableMapping[str, Any] = dict(event)
        time, level = rest.pop("time"), str(rest.pop("level"))
        said, traceback = rest.pop("event"), rest.pop("exception", None)
        level_text = self._painted(f"{_visible(level):<8}", self._COLOURS.get(level, "0"))
        pairs = " ".join(f"{_visible(str(key))}={self._value(value)}" for key, value in rest.items())
        line = f"{time} {level_text} {_visible(str(said))}  {self._painted(pairs, '2')}".rstrip()
        if traceback:
            # Marked, so that a message with line breaks cannot pass for lines of the log.
            line += "".join(f"\n    | {_visible(part)}" for part in str(traceback).split("\n"))
        return line

    def _painted(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colours and text else text

    @staticmethod
    def _value(value: Any) -> str:
        if isinstance(value, str) and value and not re.search(r"[\s\"'=]", value):
            return _visible(value)
        return _visible(json.dumps(value, ensure_ascii=False, default=repr))


class _PrivateFile(RotatingFileHandler):
    """A rotating file that only its owner can read, the rotated ones included."""

    def _open(self) -> Any:
        def private(path: str, flags: int) -> int:
            found = os.open(path, flags | os.O_NOFOLLOW, 0o600)
            os.fchmod(found, 0o600)
            return found

        return open(self.baseFilename, self.mode, encoding=self.encoding, opener=private)


def _private_file(data: Path, process: str) -> logging.Handler:
    folder = data / "logs"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return _PrivateFile(
        folder / f"{process}.log", maxBytes=MAX_FILE_BYTES, backupCount=KEPT_FILES, encoding="utf-8"
    )


_BEFORE: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.PositionalArgumentsFormatter(),
    _stamped,
]

# Set once, so that loggers may be cached: what `configure` changes is the standard library's handler.
structlog.configure(
    processors=[structlog.stdlib.filter_by_level, *_BEFORE, ProcessorFormatter.wrap_for_formatter],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=BoundLogger,
    cache_logger_on_first_use=True,
)

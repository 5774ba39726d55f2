"""Commands in what we print, as the person who reads it can type them."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

MODULE = "tidings.cli.main"
COMMANDS = (
    "up", "run", "doctor", "help", "users", "config", "demo", "docs", "events", "media", "twophase", "provision",
    "bench", "--help",
)  # fmt: skip

_COMMAND = re.compile(rf"(?<![\w./-])tidings (?=(?:{'|'.join(COMMANDS)})(?![\w-]))")


def as_typed(text: str) -> str:
    """The text with each `tidings COMMAND` in it called as this process was, unless `tidings` alone finds it."""
    return _COMMAND.sub(lambda _: f"{_program()} ", text)


def _program() -> str:
    started = Path(sys.argv[0])
    if started.name == "tidings" and started.exists():
        found = shutil.which("tidings")
        return "tidings" if found and Path(found).samefile(started) else shlex.quote(sys.argv[0])
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return f"{shlex.quote(sys.executable)} -m {MODULE}" if spec and spec.name == MODULE else "tidings"

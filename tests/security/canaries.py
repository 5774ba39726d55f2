"""Secrets of the tests' people, and where they must not turn up."""

from __future__ import annotations

import re
from pathlib import Path

from tests.harness.people import PASSWORD

TOKEN = re.compile(rb"tds_[A-Za-z0-9_-]{43}")


def secrets_in(text: bytes, *more: str) -> list[bytes]:
    """Every token, every password of `people`, and what else is named, that stands in the text."""
    found = TOKEN.findall(text)
    found += [word.encode() for word in (PASSWORD, *more) if word.encode() in text]
    return found


def logs_with_secrets(data: Path, *more: str) -> list[tuple[str, bytes]]:
    """Log files of a data folder that hold a secret, with what they hold."""
    files = [path for path in (data / "logs").glob("*") if path.is_file()]
    return [(path.name, secret) for path in files for secret in secrets_in(path.read_bytes(), *more)]

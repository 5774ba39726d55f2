"""What was finished, in a file of one line a case, so that a run that was cut short goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tests.chaos.case import Result

ROOT = Path(__file__).parents[2]


class Heading(msgspec.Struct, frozen=True):
    """The first line: of which source the results are."""

    source: str


class Ledger:
    """Results by the name of their case. Those of another source count for nothing."""

    def __init__(self, file: Path, *, fresh: bool = False) -> None:
        self.file = file
        self.results: dict[str, Result] = {}
        source = source_digest()
        if not fresh and file.exists():
            heading, *lines = file.read_bytes().splitlines()
            if msgspec.json.decode(heading, type=Heading).source == source:
                done = [msgspec.json.decode(line, type=Result) for line in lines]
                self.results = {one.case: one for one in done}
                return
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(msgspec.json.encode(Heading(source)) + b"\n")

    def add(self, result: Result) -> None:
        self.results[result.case] = result
        with self.file.open("ab") as lines:
            lines.write(msgspec.json.encode(result) + b"\n")


def source_digest() -> str:
    """Of all that a result depends on: the product, and what judges it."""
    digest = hashlib.sha256()
    for path in _sources():
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _sources() -> Iterable[Path]:
    for folder in ("src/tidings", "tests/chaos", "tests/twophase", "tests/harness"):
        yield from sorted((ROOT / folder).rglob("*.py"))

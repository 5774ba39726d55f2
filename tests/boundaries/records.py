"""What `recorder` kept, read and judged."""

from __future__ import annotations

import ipaddress
import json
import re
import tempfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

REMOTE = frozenset({"dblink", "dblink_connect", "postgres_fdw", "file_fdw"})  # ways of a server to reach another


class Statement(NamedTuple):
    """`by` is the connection's application name, or `role NAME` where it gave none."""

    by: str
    text: str
    pid: int


def statements(folder: Path) -> list[Statement]:
    return [Statement(fact["by"], fact["statement"], pid) for pid, fact in _facts(folder) if "statement" in fact]


def processes_of_tests(folder: Path) -> set[int]:
    """The processes in which tests themselves ran."""
    return {pid for pid, fact in _facts(folder) if "tests" in fact}


def addresses(folder: Path) -> set[str]:
    """Every `unix:PATH` and host that was connected to."""
    return {fact["connected"] for _, fact in _facts(folder) if "connected" in fact}


def _facts(folder: Path) -> Iterable[tuple[int, dict[str, str]]]:
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_text().splitlines():
            yield int(file.stem), json.loads(line)


def service_of(by: str, services: Collection[str]) -> str | None:
    """Whose connection it was: tests name databases of a service's own `<service>_<what for>`."""
    name = by.removeprefix("role ").removeprefix("tidings_").removeprefix("tidings-")
    return next((one for one in services if name == one or name.startswith(f"{one}_")), None)


class Owned(NamedTuple):
    """What a service's own database has."""

    tables: set[str]
    columns: set[str]


def trespasses(said: Iterable[Statement], owned: Mapping[str, Owned]) -> list[str]:
    """Statements of a service that name a table which another has and it has not, or a way to another server.

    Any mention counts; only where the service has a column of that name, it must stand where a table does.
    """
    found = []
    for one in said:
        service = service_of(one.by, owned)
        if service is None:
            continue
        tables, columns = owned[service]
        others = set[str]().union(*(theirs.tables for theirs in owned.values())) - tables | REMOTE
        bare = without_literals(one.text)
        named = others & (words(bare) - columns | in_place_of_a_table(bare))
        if named:
            found.append(f"{service} names {', '.join(sorted(named))}: {' '.join(one.text.split())}")
    return sorted(set(found))


def without_literals(sql: str) -> str:
    """In lower case, without comments and string literals."""
    return re.sub(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", " ", sql, flags=re.DOTALL).lower()


def words(bare: str) -> set[str]:
    return set(re.findall(r"[a-z_][a-z0-9_$]*", bare))


def in_place_of_a_table(bare: str) -> set[str]:
    """The identifiers that follow `from`, `join`, `into`, `update`, `table` and their like."""
    table = r'(?:"?\w+"?\s*\.\s*)?"?(\w+)"?'
    lead = r"\b(?:from|join|into|update|table|only|references|truncate|copy|lock|exists|using)\s+"
    found = set(re.findall(lead + table, bare))
    for listed in re.findall(r"\bfrom\s+([^()]*?)(?=\bwhere\b|\border\b|\bgroup\b|\blimit\b|[();]|$)", bare):
        found |= {name for part in listed.split(",") for name in re.findall(r"^\s*" + table, part)}
    return found


def strangers(connected: Iterable[str]) -> list[str]:
    """Addresses that are neither loopback nor a socket in a test's own folder."""
    return sorted(one for one in connected if not _ours(one))


def _ours(address: str) -> bool:
    if address.startswith("unix:"):
        path = Path(address.removeprefix("unix:"))
        return not path.is_absolute() or path.resolve().is_relative_to(Path(tempfile.gettempdir()).resolve())
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"

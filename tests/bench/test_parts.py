"""Processor time by part: each process counts once, under the name of what it works for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tidings.bench import parts


@dataclass
class Played:
    """A process as it shows itself."""

    pid: int
    called: str
    title: tuple[str, ...] = ()

    def name(self) -> str:
        return self.called

    def cmdline(self) -> list[str]:
        return list(self.title)


@pytest.mark.parametrize(
    ("process", "expected"),
    [
        (Played(7, "python"), "users"),
        (Played(8, "python"), "others"),
        (Played(9, "postgres", ("/bin/postgres", "-D", "data")), "postgres"),
        (Played(9, "postgres", ("postgres: checkpointer ",)), "postgres"),
        (Played(9, "postgres", ("postgres: tidings_users users [local] idle",)), "database users"),
        (Played(9, "postgres", ("postgres: me friends 10.0.0.7(51234) SELECT",)), "database friends"),
        (Played(9, "nats-server", ("nats-server", "-c", "nats.conf")), "nats-server"),
    ],
)
def test_a_process_is_named_by_what_it_works_for(process: Any, expected: str) -> None:
    assert parts.part_of(process, {7: "users"}) == expected

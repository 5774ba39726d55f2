"""The faults of the matrix, made on a fleet in which everybody waits at one point."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from tests.chaos.cells import Cell
from tests.chaos.ground import Ground
from tests.chaos.proxy import Connection, Kind, Proxy, Trouble, Way

COORDINATOR: Final = "users"
MESSAGES: Final = b"_removal"  # in the address of every message of the coordinator
DOWN: Final = 0.2  # seconds for which a killed database is away

Mend = Callable[[], Awaitable[None]]


@dataclass
class Struck:
    """What was done, and how to undo it. `troubles` say how many parts of what was on its way they bit."""

    what: str
    mends: list[Mend] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    needs_parts: bool = False  # a message that nobody sent was not lost

    @property
    def parts(self) -> int:
        return sum(trouble.parts for trouble in self.troubles)


async def strike(ground: Ground, cell: Cell, needle: bytes) -> Struck:
    """Make the cell's fault. `needle` is in every statement of this deletion, and of no other."""
    processes, databases = struck_by(cell)
    names = [*processes, *(f"{name}'s database" for name in databases)]
    struck = Struck(f"{cell.fault}: {', '.join(names)}")
    if cell.fault == "kill":
        await _kill(ground, struck, processes, databases)
    elif cell.fault == "stop":
        _stop(ground, struck, processes, databases)
    elif cell.fault == "partition":
        _part(ground, struck, processes, databases)
    else:
        struck.needs_parts = True
        way: Way = "there" if cell.fault == "request lost" else "back"
        _lose(ground, struck, cell, needle, way)
    return struck


def struck_by(cell: Cell) -> tuple[list[str], list[str]]:
    """The processes and the databases that a cell strikes."""
    point = cell.point
    return {
        "coordinator": ([COORDINATOR], []),
        "participant": ([point.next], []),
        "its database": ([], [point.next]),
        "users database": ([], [COORDINATOR]),
        "coordinator and one database": ([COORDINATOR], [point.with_database]),
    }[point.role]


async def _kill(ground: Ground, struck: Struck, processes: list[str], databases: list[str]) -> None:
    for process in processes:
        ground.kill(process)
    for name in databases:
        await ground.databases[name].kill()

    async def start() -> None:
        await asyncio.sleep(DOWN)
        await asyncio.gather(*(ground.databases[name].start() for name in databases))

    if databases:
        struck.mends.append(start)


def _stop(ground: Ground, struck: Struck, processes: list[str], databases: list[str]) -> None:
    for process in processes:
        ground.halt(process)
    for name in databases:
        ground.databases[name].halt()

    async def go() -> None:
        for name in databases:
            ground.databases[name].go()
        for process in processes:
            ground.go(process)

    struck.mends.append(go)


def _part(ground: Ground, struck: Struck, processes: list[str], databases: list[str]) -> None:
    for process in processes:
        for name, proxy in ground.links.items():
            if process == COORDINATOR:  # from those who take part; who asks it from outside still reaches it
                callers = [one for one in ("friends", "messages") if name in (COORDINATOR, one)]
                for caller in callers:
                    who = caller if name == COORDINATOR else COORDINATOR
                    struck.troubles.append(proxy.disturb(Trouble("hold", caller=who)))
            else:
                who_ = None if name == process else process
                struck.troubles.append(proxy.disturb(Trouble("hold", caller=who_)))
    for name in databases:
        struck.troubles.append(ground.store(name).disturb(Trouble("hold")))

    async def heal() -> None:
        for trouble in struck.troubles:
            trouble.heal()

    struck.mends.append(heal)


def _lose(ground: Ground, struck: Struck, cell: Cell, needle: bytes, way: Way) -> None:
    """One message of the coordinator, or one statement.

    The coordinator's own is lost by a connection that breaks, which it notices; the participant's, and those of
    databases, by one that is half-open from then on, which nobody notices.
    """
    role, held_by = cell.point.role, cell.point.hold.partition("@")[2]
    kind: Kind = "cut" if role == "coordinator" else "swallow"
    if role in ("coordinator", "participant"):
        proxy, words = ground.link(cell.point.next), MESSAGES
        trouble = Trouble(kind, ways=(way,), caller=COORDINATOR, needle=words, once=True)
        if held_by == cell.point.next:  # the message is there: only its answer is on its way
            trouble = Trouble(kind, ways=(way,), only=_at_work(proxy, words))
    else:
        owner = cell.point.next if role == "its database" else COORDINATOR
        proxy = ground.store(owner)
        trouble = Trouble(kind, ways=(way,), caller=owner, needle=needle, once=True)
        if cell.point.name in ("cp0", "cp6"):  # a COMMIT names nothing
            trouble = Trouble(kind, ways=(way,), only=_at_work(proxy, needle), needle=b"COMMIT;", once=True)
    struck.troubles.append(proxy.disturb(trouble))


def _at_work(proxy: Proxy, words: bytes) -> Connection:
    connection = proxy.last_to_carry(words)
    assert connection is not None, f"nothing of it has passed {proxy.name}"
    return connection

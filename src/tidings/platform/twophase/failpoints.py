"""Named crash points, where a test kills, stops or delays a process, or loses a message. In production nobody does.

| point | where |
|---|---|
| cp0 | coordinator: the log row is written, not committed |
| cp1 | coordinator: the log row is in, nothing was sent |
| cp2 | coordinator: before each prepare is sent; participant: the branch is open, not prepared |
| cp3 | participant: prepared, not answered; coordinator: a vote has come |
| cp4 | coordinator: the first has voted, the others were not asked |
| cp5 | coordinator: all are prepared, nothing is decided |
| cp6 | coordinator: all of the decision is written, its COMMIT not sent (`drop_reply`: sent, the answer lost) |
| cp7 | coordinator: decided, no commit sent |
| cp8 | coordinator: one has committed |
| cp9 | coordinator: before each commit is sent; participant: committed, not answered |
| cp10 | coordinator: all have acknowledged, not finished |
| cp11 | coordinator: before each abort is sent; participant: before ROLLBACK PREPARED |
| cp11m | participant: before the abort's marker |
| cp12 | recovery: a row is leased, nothing was done |
| cp13 | coordinator: finished (`dup`: late duplicates of every message are sent) |
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

from tidings.platform import logs
from tidings.platform.contract import Unavailable
from tidings.platform.settings import FAILPOINT, Settings

Verdict = Literal["go", "drop_request", "drop_reply", "dup"]

log = logs.get_logger("failpoints")

FIRED: Final = ".fired"
LOOK: Final = 0.01  # seconds between looks of who is held


class Failpoints(Protocol):
    """Where the protocol says how far it is."""

    async def reach(self, point: str) -> Verdict:
        """Returns what becomes of the message that is about to be sent, or has been answered."""
        ...


class NoFailpoints:
    """Production: every message arrives, and nobody is killed here."""

    async def reach(self, point: str) -> Verdict:
        return "go"


@dataclass(slots=True)
class Armed:
    """One point of one service, or of whichever reaches it first. It goes off once.

    `what` is `cp3@friends:kill`, which goes off once in each process; or the path of a file that holds such a line,
    read at each point, and renamed to `.fired` by the one process in which it goes off. `hold`, which only a file
    can ask for, waits there until the `.fired` file is gone.
    """

    service: str
    what: str
    delay: float  # seconds
    fired: bool = False

    async def reach(self, point: str) -> Verdict:
        file = Path(self.what) if self.what.startswith("/") else None
        if self.fired and file is None:
            return "go"
        match = FAILPOINT.fullmatch(_read(file).strip() if file else self.what)
        if match is None or match["point"] != point or match["service"] not in (None, self.service):
            return "go"
        if file is not None and not _take(file):
            return "go"
        self.fired = True
        action = match["action"]
        log.warning("failpoint", point=point, service=self.service, action=action)
        if action in ("kill", "stop"):
            os.kill(os.getpid(), signal.SIGKILL if action == "kill" else signal.SIGSTOP)
            return "go"
        if action == "hold" and file is not None:
            while file.with_suffix(FIRED).exists():
                await asyncio.sleep(LOOK)
            return "go"
        if action == "delay":
            await asyncio.sleep(float(match["seconds"] or self.delay))
            return "go"
        verdicts: dict[str, Verdict] = {one: one for one in ("drop_request", "drop_reply", "dup")}
        return verdicts[action]


def failpoints_of(settings: Settings, service: str) -> Failpoints:
    """What the setting `failpoint` asks for in this service."""
    if settings.failpoint is None:
        return NoFailpoints()
    return Armed(service, settings.failpoint, delay=settings.twophase_deadline + 0.5)


async def passing(failpoints: Failpoints, point: str, service: str) -> None:
    """Pass a point at which a lost message means that the asker hears nothing: `Unavailable`."""
    if await failpoints.reach(point) in ("drop_request", "drop_reply"):
        raise Unavailable(f"{service} did not answer in time. Try again.", service=service, retry_after=1)


def _read(file: Path) -> str:
    with contextlib.suppress(OSError):
        return file.read_text()
    return ""


def _take(file: Path) -> bool:
    """True for one process only."""
    try:
        file.rename(file.with_suffix(FIRED))
    except OSError:
        return False
    return True

"""What `tidings doctor` says of clocks: caches trust those of the services whose answers they keep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tidings.cli.findings import Finding

LINK: Final = "clock"
TOLERANCE: Final = 0.2  # seconds; the freshness rule counts on it
MEND: Final = "Synchronise the clocks of all machines (chrony, systemd-timesyncd): 200 ms apart is the most."


def off_by(theirs_ns: int, asked_ns: int, answered_ns: int) -> float:
    """Seconds by which another clock is surely ahead (negative: behind); it was read between the two of ours."""
    ahead, behind = theirs_ns - answered_ns, theirs_ns - asked_ns
    return (ahead if ahead > 0 else min(behind, 0)) / 1e9


def of_services(services: Sequence[str], off: float) -> list[Finding]:
    """The clock of the process of these services; nothing where it is right."""
    if abs(off) <= TOLERANCE:
        return []
    detail = f"{off * 1000:+.0f} ms between the machine of {', '.join(services)} and this one"
    return [Finding(link=LINK, state="broken", detail=detail, mend=MEND)]


def of_databases(offs: Sequence[float]) -> list[Finding]:
    """The clock that is furthest off; nothing where none was read."""
    if not offs:
        return []
    worst = max(offs, key=abs)
    detail = f"{worst * 1000:+.0f} ms between a database server and this machine"
    if abs(worst) > TOLERANCE:
        return [Finding(link=LINK, state="broken", detail=detail, mend=MEND)]
    return [Finding(link=LINK, state="ok", detail=detail)]

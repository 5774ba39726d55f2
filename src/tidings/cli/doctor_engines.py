"""What `tidings doctor` says of the engines: which keeps whose data, its version, size and place, and how it is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from tidings import everything
from tidings.cli import doctor_clocks
from tidings.cli.doctor_blobs import about_blobs
from tidings.cli.doctor_bus import about_bus
from tidings.cli.doctor_valkey import about_valkey
from tidings.cli.findings import Engine, Finding
from tidings.cli.memory import Memory
from tidings.platform.data_directory import DataDirectory
from tidings.platform.engine_url import is_mongo
from tidings.platform.events.bus import OPERATOR
from tidings.platform.installation import Inspected, Installation
from tidings.platform.settings import Settings
from tidings.platform.topology import EDGE, EMBEDDED, EMBEDDED_MONGO, NONE, Topology

LOGS: Final = {EMBEDDED: "postgres.log", EMBEDDED_MONGO: "mongodb.log"}  # of embedded engines


async def about_engines(
    info: dict[str, Any],
    settings: Settings,
    topology: Topology,
    *,
    memory: Memory,
    reaching: Mapping[str, bool | None],
) -> list[Finding]:
    """For each service what keeps its data, asked as that service; what all share; the databases' clocks.

    `reaching` is what services say of themselves: whether they reach all that keeps their data.
    """
    topology = where_they_run(topology, info)
    directory = DataDirectory.open(settings.data, lock=False, room_needed=0)
    try:
        installation = Installation(settings, topology, everything.SERVICES, directory)
        installation.locate()
        bus = _told(info, "bus", topology.bus)
        valkey = _told(info, "valkey", topology.valkey)
        states, *shared = await asyncio.gather(
            installation.inspect(),
            about_bus(bus, directory.secret(f"nats-{OPERATOR}")),
            about_valkey(valkey, EDGE, directory.secret(f"valkey-{EDGE}"), memory),
        )
    finally:
        directory.close()
    findings = []
    for name, placed in topology.services.items():
        told, ours = info["addresses"].get(f"store:{name}"), placed.shown_store
        if placed.store is None:
            findings.append(_storeless(name))
        elif told is not None and told != ours:
            findings.append(_elsewhere(name, told))
        else:
            findings.append(_database(name, states[name], store=ours))
        if placed.blobs is not None:
            where = info["addresses"].get(f"blobs:{name}") or placed.shown_blobs
            # What it says is of both: if its database is well, it is of this.
            reaches = reaching.get(name, True) if findings[-1].state == "ok" else True
            findings.append(await about_blobs(where, settings, reaches=reaches))
    offs = [state.clock_off for state in states.values() if state.clock_off is not None]
    return [*findings, *shared, *doctor_clocks.of_databases(offs)]


def where_they_run(topology: Topology, info: dict[str, Any]) -> Topology:
    """Our topology, with the embedded engines that the running server has: those need no URL that only it knows."""
    for name, placed in topology.services.items():
        told = info["addresses"].get(f"store:{name}")
        if told in LOGS and placed.store in LOGS:
            topology = topology.with_store(name, told)
    return topology


def _told(info: dict[str, Any], engine: str, placed: str) -> str:
    """Where the running server has it; else where our topology does, for processes that say nothing of it."""
    return info["addresses"].get(engine) or ("" if placed in (EMBEDDED, NONE) else placed)


def _storeless(name: str) -> Finding:
    engine = Engine(name="memory", where="its process")
    return Finding(link=f"caches of {name}", state="ok", detail="keeps nothing durable", engine=engine)


def _elsewhere(name: str, told: str) -> Finding:
    engine = "MongoDB" if told == EMBEDDED_MONGO or is_mongo(told) else "PostgreSQL"
    return Finding(
        link=f"database {name}",
        state="warning",
        detail=f"the server keeps it at {told}, which was not looked into",
        mend="Give doctor the server's own --topology and --store.",
        engine=Engine(name=engine, where=told),
    )


def _database(name: str, state: Inspected, *, store: str) -> Finding:
    link = f"database {name}"
    engine = Engine(
        name=state.engine,
        version=state.version,
        bytes=state.bytes,
        where="embedded" if store in LOGS else store,
    )
    if state.problem is not None:
        mend = _mend(state, name, store)
        return Finding(
            link=link, state="broken", detail=f"cannot be reached: {state.problem}", mend=mend, engine=engine
        )
    detail = f"schema {state.revision or 'none'} (this Tidings: {state.newest})"
    if state.revision is None or state.revision < state.newest:
        mend = "Start Tidings again: it upgrades the schema."
        return Finding(link=link, state="broken", detail=detail, mend=mend, engine=engine)
    if (state.compatible_down_to or "") > state.newest:
        mend = "Install the newer Tidings that wrote it."
        return Finding(link=link, state="broken", detail=detail, mend=mend, engine=engine)
    return Finding(link=link, state="ok", detail=detail, engine=engine)


def _mend(state: Inspected, name: str, store: str) -> str:
    if store in LOGS:
        log = f"logs/{LOGS[store]} in the data directory says more"
        match state.trouble:
            case "away":
                return f"`tidings up` restarts it by itself; {log}."
            case "silent":
                return f"It hangs or is overloaded: {log}. Start Tidings again if it stays so."
            case "entry" | "missing":
                return "Restore the data directory whole: its `secrets` and its databases belong together."
        return f"Mend what that names; {log}."
    match state.trouble:
        case "away" | "silent":
            return f"Start that database server and let this machine reach it, or correct the `store` of {name}."
        case "entry":
            return f"Correct the user or the password in the `store` of {name}, or what that server lets it do."
        case "missing":
            return f"Make that database, owned by the user of {name}, or correct its name in the `store` of {name}."
    return f"Mend what that names on the server, or correct the `store` of {name}."

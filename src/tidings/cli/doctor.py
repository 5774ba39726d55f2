"""`tidings doctor`: looks at everything, names the broken link and the mend."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import stat
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any, Final, TypeAlias

import aiohttp
import msgspec
import typer

from tidings import everything
from tidings.cli import doctor_clocks
from tidings.cli.doctor_edges import about_edges
from tidings.cli.doctor_engines import about_engines
from tidings.cli.doctor_events import about_events
from tidings.cli.findings import Engine, Finding, State
from tidings.cli.memory import Memory, memory_of
from tidings.cli.operator import operator
from tidings.cli.options import EXIT_NOT_RUNNING, EXIT_UNHEALTHY, Problem
from tidings.cli.presence import running_info
from tidings.cli.printing import print_json, print_table, size_of
from tidings.cli.public import PublicApi
from tidings.cli.twophase import in_doubt
from tidings.cli.typed import as_typed
from tidings.platform.contract import Refusal
from tidings.platform.data_directory import ROOM_NEEDED, DataDirectory, StartRefused
from tidings.platform.http.internal import open_session
from tidings.platform.settings import Settings
from tidings.platform.topology import Topology

MARKS: Final[dict[State, str]] = {"ok": "ok", "warning": "look", "broken": "BROKEN"}
IDLE_BUDGET = 350  # MB, what an idle `tidings up` may take
ROOM_COMFORTABLE = 1024 * 1024 * 1024
PATIENCE = 3.0  # seconds
IN_DOUBT_TOLERANCE = 15.0  # seconds that a deletion may be unfinished while everything runs


# By service: whether it reaches what keeps its data; None where it does not say so in time.
Reaching: TypeAlias = dict[str, bool | None]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All findings. `memory` is None when nothing runs."""

    healthy: bool
    running: bool
    findings: list[Finding]
    memory: Memory | None


def examine(settings: Settings, topology: Topology, *, as_json: bool) -> None:
    """The command's body: print the report, and leave with a status that tells."""
    report = asyncio.run(_report(settings, topology))
    if as_json:
        print_json(report)
    else:
        _print(report)
    if not report.running:
        raise typer.Exit(EXIT_NOT_RUNNING)
    if not report.healthy:
        raise typer.Exit(EXIT_UNHEALTHY)


async def _report(settings: Settings, topology: Topology) -> Report:
    findings = [_python(), *_data(settings)]
    info: dict[str, Any] | None = None
    memory: Memory | None = None
    try:
        info = running_info(settings.data)
    except (Problem, StartRefused) as problem:
        findings.append(Finding(link="running", state="broken", detail=problem.message, mend=problem.hint))
    if info is not None:
        findings.append(_running(info))
        services, reaching = await _services(info, settings)
        findings += services
        findings += await _public(info, settings)
        memory = memory_of(info["pids"])
        findings += await about_engines(info, settings, topology, memory=memory, reaching=reaching)
        findings.append(await _deletions(settings))
        findings.append(await about_edges(settings))
        findings += await about_events(info, settings)
        findings.append(_memory(memory))
    healthy = all(finding.state != "broken" for finding in findings)
    return Report(healthy=healthy, running=info is not None, findings=findings, memory=memory)


def _print(report: Report) -> None:
    plain = [(MARKS[one.state], one.link, one.detail) for one in report.findings if one.engine is None]
    print_table(["state", "what", "detail"], plain)
    engines = [_row(one, one.engine) for one in report.findings if one.engine is not None]
    if engines:
        print()
        print_table(["state", "data", "engine", "size", "where", "detail"], engines)
    if report.memory is not None:
        print()
        rows = [(str(one.pid), one.name, f"{one.megabytes:.1f} MB") for one in report.memory.processes]
        print_table(["pid", "process", "memory (PSS)"], [*rows, ("", "all", f"{report.memory.megabytes:.1f} MB")])
    to_mend = [one for one in report.findings if one.mend]
    if to_mend:
        print()
    for one in to_mend:
        print(as_typed(f"{one.link}: {one.detail}\n  -> {one.mend}"))
    print()
    print("Healthy." if report.healthy else "Not healthy; what to do stands above.")


def _row(finding: Finding, engine: Engine) -> Sequence[str]:
    return (
        MARKS[finding.state],
        finding.link,
        f"{engine.name} {engine.version or ''}".rstrip(),
        "-" if engine.bytes is None else size_of(engine.bytes),
        engine.where,
        finding.detail,
    )


def _python() -> Finding:
    detail = f"Tidings {version('tidings')}, Python {platform.python_version()}, {platform.system()}"
    if _is_optimised():
        return Finding(link="program", state="ok", detail=detail)
    return Finding(
        link="program",
        state="warning",
        detail=f"{detail}; {sys.base_prefix} was built without optimisations",
        mend="All takes an eighth more time with it. Install with another Python, that of your system for one.",
    )


def _is_optimised() -> bool:
    """Whether this Python was built with its optimisations. Those of distributions are, and do not say so there."""
    built: str = sysconfig.get_config_var("CONFIG_ARGS") or ""
    return sys.base_prefix == "/usr" or "--enable-optimizations" in built


def _data(settings: Settings) -> Iterator[Finding]:
    data = settings.data
    if not data.exists():
        yield Finding(
            link="data",
            state="broken",
            detail=f"{data} does not exist.",
            mend=f"Start once: tidings up --data {data}",
        )
        return
    try:
        DataDirectory.open(data, lock=False, room_needed=0).close()
    except StartRefused as refused:
        yield Finding(link="data", state="broken", detail=refused.message, mend=refused.hint)
        return
    yield Finding(link="data", state="ok", detail=str(data))
    free = shutil.disk_usage(data).free
    room = f"{free >> 20:,} MB free"
    if free < ROOM_COMFORTABLE:
        state: State = "broken" if free < ROOM_NEEDED else "warning"
        yield Finding(link="disk", state=state, detail=room, mend=f"Free some space on the disk of {data}.")
    else:
        yield Finding(link="disk", state="ok", detail=room)
    yield _permissions(settings)


def _permissions(settings: Settings) -> Finding:
    """Secrets are this user's alone."""
    folder = settings.data / "secrets"
    paths = [folder, *folder.iterdir()] if folder.is_dir() and os.access(folder, os.R_OK | os.X_OK) else []
    if not paths and folder.exists():
        return Finding(
            link="permissions",
            state="broken",
            detail=f"{folder} cannot be read by this user.",
            mend="Run this as the user that Tidings runs as.",
        )
    for path in paths:
        found = path.stat()
        if stat.S_IMODE(found.st_mode) & 0o077:
            return Finding(
                link="permissions",
                state="broken",
                detail=f"Other users can read {path}.",
                mend=f"chmod -R go= {folder}",
            )
    return Finding(link="permissions", state="ok", detail="secrets are this user's alone")


def _running(info: dict[str, Any]) -> Finding:
    pids = ", ".join(f"{name} (process {pid})" for name, pid in info["pids"].items())
    where = info["addresses"].get("public") or "no public listener"
    return Finding(link="running", state="ok", detail=f"{pids}; {where}")


async def _services(info: dict[str, Any], settings: Settings) -> tuple[list[Finding], Reaching]:
    """Each process by its internal address, and each service's own word on its store."""
    at: dict[str, list[str]] = {}
    for name, address in info["addresses"].items():
        if name.startswith("internal:"):
            at.setdefault(address, []).append(name.removeprefix("internal:"))
    found: list[Finding] = []
    reaching: Reaching = {}
    for address, services in at.items():
        found += await _process(address, services, reaching)
    missing = [name for name in everything.SERVICES if f"internal:{name}" not in info["addresses"]]
    found += [
        Finding(
            link=f"service {name}",
            state="broken",
            detail="does not run",
            mend=f"Start it: tidings run {name} --data {settings.data}",
        )
        for name in missing
    ]
    return found, reaching


async def _process(address: str, services: list[str], reaching: Reaching) -> list[Finding]:
    """What its services reach is noted in `reaching`."""
    session, base = open_session(address)
    try:
        async with session:
            async with asyncio.timeout(PATIENCE):
                asked_ns = time.time_ns()
                async with session.get(f"{base}/livez") as alive:
                    alive.raise_for_status()
                    said = msgspec.json.decode(await alive.read(), type=Alive)
                    clock = doctor_clocks.off_by(said.now_ns, asked_ns, time.time_ns())
            states = await _states(session, base)
    except (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError) as error:
        why = str(error) or "no answer in time"
        return [
            Finding(
                link=f"service {name}",
                state="broken",
                detail=f"does not answer at {address}: {why}",
                mend="Its log says why; a process of `tidings up` is restarted by itself, else start it again.",
            )
            for name in services
        ]
    if states is None:
        reaching.update(dict.fromkeys(services))
    else:
        reaching.update({name: states[name] for name in services if name in states})
    found = [_readiness(name, address, reaching) for name in services]
    return found + doctor_clocks.of_services(services, clock)


async def _states(session: aiohttp.ClientSession, base: str) -> dict[str, bool] | None:
    """Which services of a process reach what keeps their data; None where it does not say so in time."""
    try:
        async with asyncio.timeout(PATIENCE), session.get(f"{base}/readyz") as ready:
            return msgspec.json.decode(await ready.read(), type=dict[str, bool])
    except TimeoutError:
        return None


def _readiness(name: str, address: str, reaching: Reaching) -> Finding:
    link, mend = f"service {name}", "See what keeps its data in this report."
    if name not in reaching:
        mend = "Two topologies are mixed: start all with the same one."
        return Finding(link=link, state="broken", detail=f"is not served at {address}", mend=mend)
    if reaching[name] is None:
        detail = "is alive, and does not say in time whether it reaches what keeps its data"
        return Finding(link=link, state="broken", detail=detail, mend=mend)
    if not reaching[name]:
        return Finding(link=link, state="broken", detail="cannot reach what keeps its data", mend=mend)
    return Finding(link=link, state="ok", detail=f"ready at {address}")


class Alive(msgspec.Struct):
    """What a process says of itself."""

    now_ns: int


async def _public(info: dict[str, Any], settings: Settings) -> list[Finding]:
    url = info["addresses"].get("public")
    if not url:
        return [
            Finding(
                link="public listener",
                state="broken",
                detail="does not run",
                mend=f"Start it: tidings run edge --data {settings.data}",
            )
        ]
    try:
        async with asyncio.timeout(PATIENCE), PublicApi(url, settings) as api:
            statuses = {path: (await api.status(path))[0] for path in ("/livez", "/readyz")}
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return [
            Finding(
                link="public listener",
                state="broken",
                detail=f"{url} does not answer: {str(error) or 'no answer in time'}",
                mend="Look into its log; if the process is stuck, stop it and start it again.",
            )
        ]
    wrong = [f"{path} says {status}" for path, status in statuses.items() if status != 200]
    if wrong:
        mend = "The service that is not ready stands in this report; or allowed_hosts differs from the server's."
        return [Finding(link="public listener", state="broken", detail=", ".join(wrong), mend=mend)]
    return [Finding(link="public listener", state="ok", detail=f"{url} alive and ready")]


async def _deletions(settings: Settings) -> Finding:
    """Two-phase transactions that are not over. Each should be within seconds of its start."""
    link = "deletions"
    try:
        async with asyncio.timeout(PATIENCE), operator(settings) as reached:
            found = await in_doubt(reached)
    except (Refusal, Problem, StartRefused, OSError, TimeoutError) as problem:
        why = getattr(problem, "detail", "") or str(problem) or "no answer in time"
        return Finding(link=link, state="warning", detail=f"not known: {why}", mend="See the service users above.")
    count = max(len(found.transactions), len({part.gid for part in found.branches}))
    if not count:
        return Finding(link=link, state="ok", detail="none in doubt")
    detail = f"{count} in doubt, the oldest for {found.oldest:.0f} s"
    if found.oldest <= IN_DOUBT_TOLERANCE:
        return Finding(link=link, state="ok", detail=detail)
    mend = (
        "`tidings twophase list` names them. They hold locks, and end by themselves once users and every service"
        " that it names run and reach their databases; if they do, look for `damaged` in the logs."
        " Do not end a branch by hand."
    )
    return Finding(link=link, state="broken", detail=detail, mend=mend)


def _memory(memory: Memory) -> Finding:
    detail = f"{memory.megabytes:.0f} MB in {len(memory.processes)} processes ({IDLE_BUDGET} MB is the idle budget)"
    if memory.incomplete:
        return Finding(
            link="memory", state="warning", detail=f"{detail}; not all processes could be read", mend="Run as root."
        )
    if memory.megabytes <= IDLE_BUDGET:
        return Finding(link="memory", state="ok", detail=detail)
    most = max(memory.processes, key=lambda one: one.megabytes)
    over = memory.megabytes - IDLE_BUDGET
    return Finding(
        link="memory",
        state="warning",
        detail=f"{detail}: {over:.0f} MB over; {most.name} ({most.pid}) takes {most.megabytes:.0f} MB",
    )

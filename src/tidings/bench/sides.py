"""The sides of the comparison, each as it would be run: started on its own cores, filled alike, and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final, Protocol, TypeVar

import aiohttp
import asyncpg
import msgspec
import psutil

from tidings.bench import parts
from tidings.bench.monolith import CATCHING_UP, INDEXES, TABLES, Kind, Launch
from tidings.bench.parts import ENGINES, family
from tidings.bench.town import Town
from tidings.contracts import friends, messages, users
from tidings.platform.contract import Call
from tidings.platform.engines.postgres import EmbeddedPostgres

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")
Item = TypeVar("Item")

BATCH: Final = 1000
FRIENDSHIPS: Final = 5000
REST_AFTER: Final = 100_000  # messages
START: Final = 60.0  # seconds
REST: Final = 120.0  # seconds
LOOK: Final = 1.0  # seconds
COMPARED: Final = 2.0  # seconds
COMPARING: Final = 1800.0  # seconds
FILLING: Final = ("--reconcile-after", f"{COMPARED}", "--reconcile-every", "1")
IDLE: Final = 0.15  # of a core; beats and looks go on for ever


class Caller(Protocol):
    """Whoever may make the import calls."""

    async def call(self, call: Call[Ask, Answer], ask: Ask) -> Answer: ...


Reach = Callable[[Path], AbstractAsyncContextManager[Caller]]  # the operator of the system on that data


@dataclass(frozen=True)
class Side:
    """One that answers. `tokens`: those of the readers with so many friends, a line each; at `AUTHORS` of authors.

    `engine` is the process of an engine that it did not start itself; `metrics` where Tidings tells its own;
    `names` are those of its processes, by id.
    """

    name: str
    url: str
    tokens: dict[int, Path]
    pid: int
    engine: int | None = None
    metrics: str | None = None
    names: Mapping[int, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """With its port."""
        return self.url.removeprefix("http://")

    @property
    def is_ours(self) -> bool:
        return self.engine is None


class NotTheSame(Exception):
    """Two sides answered different things: their rates cannot be compared."""


class DidNotStart(Exception):
    """A side could not be started; the message says what it said."""


@asynccontextmanager
async def started(
    command: Sequence[str], cores: Sequence[int], *, first: bytes = b"", until: bytes = b"\n"
) -> AsyncIterator[tuple[str, int]]:
    """A process on these cores, told something at first. What it says, up to `until`, and its id."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(first)
        await process.stdin.drain()
        async with asyncio.timeout(START):
            said = await process.stdout.readuntil(until)
        yield said.decode().strip(), process.pid
    except (asyncio.IncompleteReadError, TimeoutError) as error:
        raise DidNotStart(f"`{' '.join(command)}` did not start; what it wrote above says why.") from error
    finally:
        process.stdin.close()
        if process.returncode is None:
            process.terminate()
        await process.wait()


@asynccontextmanager
async def tidings(
    name: str, data: Path, cores: Sequence[int], *options: str, tokens: dict[int, Path], sheds: bool = False
) -> AsyncIterator[Side]:
    """`tidings up` as anybody runs it, without the limits that one reader who asks all the time would meet.

    `sheds`: with its default of how many requests may be under way at once; else as many as come.
    """
    limits: tuple[str, ...] = ("--limit-person", "1000000000", "--limit-address", "1000000000")
    if not sheds:
        limits += ("--max-requests-at-once", "0")
    where = ("--data", str(data), "--port", "0", "--metrics-port", "0", "--log-to", "file", "--json")
    command = (sys.executable, "-m", "tidings.cli.main", "up", *where, *limits, *options)
    async with started(command, cores, until=b"\n}\n") as (said, pid):
        card = json.loads(said)
        names = {number: process for process, number in card["pids"].items()}
        yield Side(name, card["home"].rstrip("/"), tokens, pid, metrics=card["metrics"], names=names)


async def fill_tidings(town: Town, side: Side, data: Path, reach: Reach) -> None:
    """By the imports of each service's contract; then those sign in whom the side has a file of tokens for."""
    async with reach(data) as operator:
        for people in _batches(town.everybody, BATCH):
            made = [
                users.ImportedPerson(
                    id=one, handle=town.handle(one), name=town.name(one), bio="", created_ms=one.int >> 80
                )
                for one in people
            ]
            await operator.call(users.import_people, users.ImportPeople(people=made))
        pairs = [(reader, friend) for reader, found in town.friends.items() for friend in found]
        for some in _batches(pairs, FRIENDSHIPS):
            befriended = [friends.ImportedFriendship(a=a, b=b, since_ms=b.int >> 80) for a, b in some]
            await operator.call(friends.import_friendships, friends.ImportFriendships(friendships=befriended))
        for said in _batches(town.said, BATCH):
            posted = [messages.ImportedMessage(id=one.id, author_id=one.author, text=one.text) for one in said]
            await operator.call(messages.import_messages, messages.ImportMessages(messages=posted))
        async with aiohttp.ClientSession(side.url) as session:
            for degree, file in side.tokens.items():
                found = [await signed_in(session, operator, town.handle(one)) for one in town.signing_in[degree]]
                file.write_text("\n".join(found) + "\n")


async def import_messages(
    said: Iterable[messages.ImportedMessage],
    side: Side,
    operator: Caller,
    *,
    told: Callable[[int], None] = lambda _: None,
) -> None:
    """Rests now and then, so that what is announced is never far behind; then says how many are there for good."""
    left = iter(said)
    count = 0
    while batch := list(islice(left, BATCH)):
        await operator.call(messages.import_messages, messages.ImportMessages(messages=batch))
        count += len(batch)
        if count % REST_AFTER == 0:
            await at_rest(side, within=COMPARING)
            told(count)
    await at_rest(side, within=COMPARING)
    told(count)


async def signed_in(session: aiohttp.ClientSession, operator: Caller, handle: str) -> str:
    """The token of a new session."""
    link = await operator.call(users.sign_in_link, users.ByHandle(handle=handle))
    async with session.post("/v1/sessions", json={"link": link.secret}) as answer:
        answer.raise_for_status()
        token: str = (await answer.json())["token"]
        return token


async def at_rest(side: Side, *, within: float = REST) -> None:
    """Return once what was filled in has been heard by all. `DidNotStart` after so many seconds."""
    give_up_at = time.monotonic() + within
    before = sum(worked(side.pid))
    while time.monotonic() < give_up_at:
        await asyncio.sleep(LOOK)
        now = sum(worked(side.pid))
        if now - before < IDLE * LOOK:
            return
        before = now
    raise DidNotStart(f"{side.name} does not come to rest.")


async def compared(side: Side) -> None:
    """Return once all that was filled in, under the options `FILLING`, was compared with its producers' records.

    That happens once, a minute later without those options: in the middle of what is measured.
    """
    await asyncio.sleep(2 * COMPARED)
    await at_rest(side, within=COMPARING)


def worked(pid: int) -> tuple[float, float]:
    """Seconds of processor time so far: of a process and its children without the engines, and of those."""
    own = engines = 0.0
    for process in family(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            seconds = sum(process.cpu_times()[:2])
            if process.name() in ENGINES:
                engines += seconds
            else:
                own += seconds
    return own, engines


def resident(pid: int) -> int:
    """Bytes of memory of a process and its children, without the engines; what they share counts for each."""
    found = 0
    for process in family(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            found += 0 if process.name() in ENGINES else process.memory_info().rss
    return found


def worked_by(side: Side) -> tuple[float, float]:
    """The same of a side, with an engine that it did not start itself."""
    own, engines = worked(side.pid)
    return own, engines + (sum(worked(side.engine)) if side.engine is not None else 0.0)


def worked_in(side: Side) -> dict[str, float]:
    """The same by part."""
    found = parts.worked(side.pid, side.names)
    if side.engine is not None:
        found |= parts.worked(side.engine)
    return found


@asynccontextmanager
async def postgres(folder: Path, cores: Sequence[int]) -> AsyncIterator[tuple[str, int]]:
    """A server of the monolith's own, empty, with the settings of the embedded one; its DSN and its process."""
    emptied(folder)
    password = secrets.token_hex(16)
    here = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory(prefix="tidings-") as name:  # a socket's path has to be short
        os.chmod(name, 0o711)  # noqa: PTH101, S103 - the engine is not root's
        engine = EmbeddedPostgres(folder / "postgres", socket=Path(name, "socket"), password=password)
        os.sched_setaffinity(0, cores)  # its processes inherit it
        try:
            await engine.start()
        finally:
            os.sched_setaffinity(0, here)
        try:
            yield engine.dsn(user="postgres", password=password, database="postgres"), _process_of(folder)
        finally:
            await engine.stop()


def _process_of(folder: Path) -> int:
    """Of the server whose data is there."""
    [pid_file] = folder.rglob("postmaster.pid")
    return int(pid_file.read_text().split()[0])


async def fill_monolith(town: Town, dsn: str, tokens: dict[int, Path]) -> None:
    """The same people, friendships and messages; and a session for each reader."""
    connection = await asyncpg.connect(dsn)
    expires = datetime.now(UTC) + timedelta(days=1)
    try:
        await connection.execute(TABLES)
        people = [(one, town.handle(one), town.name(one), f"/v1/avatars/{one}") for one in town.everybody]
        both_ways = [(a, b) for reader, found in town.friends.items() for friend in found
                     for a, b in ((reader, friend), (friend, reader))]  # fmt: skip
        said = [(one.id, one.author, one.text, one.at_ms) for one in town.said]
        latest = {one.author: (one.author, one.id, one.text, one.at_ms) for one in town.said}
        sessions = []
        for degree, file in tokens.items():
            made = {secrets.token_urlsafe(32): reader for reader in town.signing_in[degree]}
            file.write_text("\n".join(made) + "\n")
            sessions += [(hashlib.sha256(one.encode()).digest(), reader, expires) for one, reader in made.items()]
        for table, rows in (
            ("people", people),
            ("friendships", both_ways),
            ("messages", said),
            ("latest", list(latest.values())),
            ("sessions", sessions),
        ):
            await connection.copy_records_to_table(table, records=rows)
        await connection.execute(INDEXES)
    finally:
        await connection.close()


@asynccontextmanager
async def monolith(
    kind: Kind,
    dsn: str,
    cores: Sequence[int],
    *,
    tokens: dict[int, Path],
    body: bytes = b"",
    engine: int | None = None,
) -> AsyncIterator[Side]:
    """The process of one of the peers."""
    launch = msgspec.json.encode(Launch(kind=kind, dsn=dsn, body=body)) + b"\n"
    async with started((sys.executable, "-m", "tidings.bench.monolith"), cores, first=launch) as (url, pid):
        yield Side(kind, url, tokens, pid, engine, names={pid: "monolith"})


async def body_of(side: Side, path: str, degree: int, reader: int = 0) -> bytes:
    """What one reader is told. Raises `aiohttp.ClientResponseError`."""
    token = side.tokens[degree].read_text().splitlines()[reader]
    headers = {"authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(side.url, headers=headers) as session, session.get(path) as answer:
        answer.raise_for_status()
        return await answer.read()


async def caught_up(running: Iterable[Side]) -> None:
    """Tell the peers who keep the latest messages what was posted to the others of that database."""
    for side in running:
        if side.name in ("latest", "cached"):
            async with aiohttp.ClientSession(side.url) as session, session.post(CATCHING_UP) as answer:
                answer.raise_for_status()


async def read_by_all(side: Side, path: str, degree: int) -> None:
    """Each reads it, one after the other. Raises `aiohttp.ClientResponseError`."""
    async with aiohttp.ClientSession(side.url) as session:
        for token in side.tokens[degree].read_text().splitlines():
            async with session.get(path, headers={"authorization": f"Bearer {token}"}) as answer:
                answer.raise_for_status()
                await answer.read()


def remove(*folders: Path) -> None:
    """What an earlier run has left."""
    for folder in folders:
        if folder.exists():
            shutil.rmtree(folder)


def emptied(folder: Path) -> Path:
    """A folder with nothing in it."""
    remove(folder)
    folder.mkdir()
    return folder


def copied(data: Path, to: Path) -> Path:
    """The data of a system that is stopped, for another."""
    return shutil.copytree(data, to, ignore=shutil.ignore_patterns("run", "logs"))


def _batches(items: Sequence[Item], size: int) -> Iterable[Sequence[Item]]:
    return (items[at : at + size] for at in range(0, len(items), size))

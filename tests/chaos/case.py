"""One case of the matrix: somebody leaves, all wait at a point, something breaks, and once healed it is judged."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import aiohttp
import asyncpg
import msgspec
from pymongo.errors import PyMongoError

from tests.chaos.cells import Cell
from tests.chaos.faults import COORDINATOR, MESSAGES, Struck, strike
from tests.chaos.ground import Ground
from tests.chaos.proxy import Trouble
from tests.chaos.writers import Writers
from tests.harness.people import Answer, Person
from tests.twophase.oracle import PARTICIPANTS, Databases, Snapshot, announced, judge, snapshot
from tidings.platform.contract import Refusal

DEADLINE: Final = 1.5  # seconds, of a deletion here
IDLE: Final = 1.3  # seconds after which a database ends a transaction that nobody goes on with
PAST: Final = 0.4  # seconds beyond it
# Short, so that a case takes seconds. The database ends a session that stalls, and a stopped coordinator's with it.
SETTINGS: Final[dict[str, Any]] = {
    "twophase_deadline": DEADLINE,
    "twophase_recover_every": 0.3,
    "twophase_lease": 1.5,
    "twophase_orphan_after": 1.5,
    "twophase_lock_timeout_ms": 500,
    "twophase_idle_timeout_ms": int(IDLE * 1000),
    "erase_every": 1.0,
}
DISK_OF: Final = "friends"
MANY: Final = 400  # friends, whose event does not fit into what room there is in a page
SLOTS: Final = 8  # for prepared transactions, on each server
HEALED: Final = 15.0  # seconds, once everybody runs (I8)
ANNOUNCED: Final = 30.0  # the bus syncs each message to a disk that others use, too
REACHED: Final = 15.0


# What the test's own way to the fleet may raise while a fault lasts: the case was not tried then.
BROKEN_WAY = (asyncpg.PostgresError, aiohttp.ClientError, OSError, PyMongoError, Refusal)


class NotReached(Exception):
    """The point was not come to, so nothing was tried."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a case came to. `violation` is what the oracle said, `missed` why nothing was tried."""

    case: str
    outcome: str = "-"
    struck: str = ""
    prepared: tuple[str, ...] = ()  # branches in doubt at that moment, by participant
    unfinished: int = 0  # log rows
    in_flight: int = 0  # requests, and statements of the coordinator's and its participants' databases
    parts: int = 0  # messages that were held, swallowed or cut
    bit: bool = False
    violation: str | None = None
    missed: str | None = None
    slow: bool = False  # the machine let the deadline pass by itself
    seconds: float = 0.0
    operations: int = 0
    told: dict[str, int | None] = {}


@dataclass(frozen=True)
class Arms:
    """The file that says where one of the fleet waits."""

    file: Path

    @property
    def fired(self) -> Path:
        return self.file.with_suffix(".fired")

    def arm(self, what: str) -> None:
        self.let_go()
        partial = self.file.with_suffix(".partial")
        partial.write_text(what)
        partial.rename(self.file)

    async def reached(self, asked: asyncio.Task[Any], *, within: float = REACHED) -> None:
        """Somebody waits there. `NotReached` if the deletion is over first, or in so many seconds."""
        until = time.monotonic() + within
        while not self.fired.exists():
            if time.monotonic() > until:
                told = asked.result() if asked.done() else "nothing yet"
                raise NotReached(f"not in {within} s; the client was told {told}")
            await asyncio.sleep(0.01)

    def let_go(self) -> None:
        self.fired.unlink(missing_ok=True)

    def disarm(self) -> None:
        self.file.unlink(missing_ok=True)
        self.let_go()


@dataclass(frozen=True)
class Scene:
    """Alice, who leaves; Bob, her friend; Carol, a stranger; and how all was before."""

    ground: Ground
    arms: Arms
    cell: Cell
    alice: Person
    bob: Person
    friends: list[UUID]
    writers: Writers | None
    before: Snapshot | None

    @property
    def subject(self) -> UUID:
        return UUID(self.alice.id)


async def run(ground: Ground, arms: Arms, cell: Cell) -> Result:
    """Raises `AssertionError` never: what the oracle says is the result's violation."""
    began, asked = time.monotonic(), ground.whole.client.asked
    result = Result(case=cell.name)
    try:
        async with _scene(ground, arms, cell) as scene:
            result = await _played(scene)
    except NotReached as error:
        result = Result(case=cell.name, missed=str(error))
    except (
        asyncpg.PostgresError,
        aiohttp.ClientError,
        OSError,
        PyMongoError,
        Refusal,
    ) as error:  # the test's own way to it was broken
        result = Result(case=cell.name, missed=repr(error))
    except AssertionError as error:
        result = msgspec.structs.replace(result, violation=str(error)[:2000] or repr(error))
    return msgspec.structs.replace(
        result,
        seconds=round(time.monotonic() - began, 2),
        operations=ground.whole.client.asked - asked,
    )


@asynccontextmanager
async def _scene(ground: Ground, arms: Arms, cell: Cell) -> AsyncIterator[Scene]:
    alice, bob = await ground.whole.joins("Alice"), await ground.whole.joins("Bob")
    await alice.befriends(bob)
    post = await alice.posts("alice was here", audience="public")
    friends = [UUID(bob.id)]
    if cell.point.way == "disk":
        friends += await ground.whole.crowd(alice, MANY, say=None)
    writers = None
    if cell.point.way == "writers":
        writers = Writers(ground, alice, bob, await ground.whole.joins("Carol"), post["id"])
    databases = await Databases.open(ground.dsns, "notifications")
    try:
        before = None if writers else await snapshot(databases, UUID(alice.id))
    finally:
        await databases.close()
    try:
        yield Scene(ground, arms, cell, alice, bob, friends, writers, before)
    finally:
        arms.disarm()
        ground.heal()
        for proxy in ground.proxies:
            proxy.forget()


async def _played(scene: Scene) -> Result:
    cell = scene.cell
    async with AsyncExitStack() as stack:
        begun = time.monotonic()
        asked = await _staged(scene, stack)
        reached = time.monotonic()
        released, result = await _struck(scene, stack, asked, begun)
        try:
            async with asyncio.timeout(20):
                answer: Answer | None = await asked
        except TimeoutError:
            raise AssertionError("the client had no answer in 20 s") from None
    result = await _healed_and_judged(scene, result, answer)
    slow = released - begun > DEADLINE - 0.2 or released - reached > IDLE - 0.2
    if result.violation is None and result.outcome not in cell.outcomes:
        if slow and result.outcome == "aborted":
            return msgspec.structs.replace(result, slow=True)
        wanted = " or ".join(sorted(cell.outcomes))
        return msgspec.structs.replace(result, violation=f"{result.outcome}, wanted {wanted}")
    return result


async def _staged(scene: Scene, stack: AsyncExitStack) -> asyncio.Task[Any]:
    """Alice leaves, and somebody waits at the cell's point."""
    ground, arms, point = scene.ground, scene.arms, scene.cell.point
    way, _, of = point.way.partition("-")
    if way == "full":
        await stack.enter_async_context(_slots_taken(scene))
    if way == "abort":
        other = next(name for name in PARTICIPANTS if name != point.next)
        await stack.enter_async_context(
            ground.whole.points.drops(f"{other}/prepare_removal", viewer=scene.alice.id)
        )
    if way == "again":
        for name in PARTICIPANTS:
            ground.link(name).record(MESSAGES)
        if of == "abort":  # this prepare is late indeed: it arrives after the finish
            late = Trouble("hold", ways=("there",), caller=COORDINATOR, needle=b"prepare_removal", once=True)
            ground.link("messages").disturb(late)
    if way == "late":
        arms.arm(f"{of}@{COORDINATOR}:delay={DEADLINE + 2.5}")
    else:
        arms.arm(f"{point.hold}:hold")
    asked = asyncio.create_task(ground.leaves(scene.alice))
    stack.callback(asked.cancel)
    await arms.reached(asked)
    if way == "late":
        arms.arm(f"{point.hold}:hold")
        await arms.reached(asked)
    if way == "undone":
        await _undone(scene)
    if scene.writers is not None:
        scene.writers.start()
        await asyncio.sleep(0.15)
    return asked


async def _struck(
    scene: Scene, stack: AsyncExitStack, asked: asyncio.Task[Any], begun: float
) -> tuple[float, Result]:
    """The fault, how long it lasts, and its end. When who waited was let go, and what it bit."""
    ground, cell, arms = scene.ground, scene.cell, scene.arms
    prepared, unfinished, gid = await _in_doubt(ground, scene.subject)
    in_flight = sum(ground.link(name).in_flight() for name in (COORDINATOR, *PARTICIPANTS)) + sum(
        ground.store(name).in_flight() for name in (COORDINATOR, *PARTICIPANTS)
    )
    if cell.point.way == "disk":  # now: the test's own look needs room, too
        stack.enter_context(_disk_full(ground))
    if cell.fault == "none":
        arms.let_go()
        released = time.monotonic()
        struck = Struck("others write")
    else:
        struck = await strike(ground, cell, gid.encode() if gid else scene.subject.bytes)
        arms.let_go()
        released = time.monotonic()
    late = asyncio.create_task(_said_again(scene)) if cell.point.way.startswith("again") else None
    for step in struck.goes_on:
        await step()
    await _lasts(cell, struck, asked, begun)
    if cell.point.way == "disk" and ground.disk is not None:  # a server does not even start on a full disk
        ground.disk.free()
    for mend in struck.mends:
        await mend()
    if late is not None:
        await late
    doubtful = bool(prepared or unfinished or in_flight)
    return released, Result(
        case=cell.name,
        struck=struck.what,
        prepared=tuple(sorted(prepared)),
        unfinished=unfinished,
        in_flight=in_flight,
        parts=struck.parts,
        bit=cell.fault != "none" and doubtful and (struck.parts > 0 or not struck.needs_parts),
    )


async def _lasts(cell: Cell, struck: Struck, asked: asyncio.Task[Any], begun: float) -> None:
    if cell.fault in ("stop", "partition"):
        # Past the deadline; and where that is over, as long as a stop that matters there.
        await asyncio.sleep(max(begun + DEADLINE + PAST - time.monotonic(), DEADLINE))
    elif struck.needs_parts:
        until = time.monotonic() + DEADLINE + 2
        while not struck.parts and time.monotonic() < until:
            await asyncio.sleep(0.01)
    if cell.point.way in ("full", "disk"):  # until nobody can decide any more
        await asyncio.sleep(max(begun + DEADLINE + PAST - time.monotonic(), 0))


async def _said_again(scene: Scene) -> None:
    """Every message of this deletion once more, while something is broken; and what was held goes on."""
    heard = 0
    for name in PARTICIPANTS:
        proxy = scene.ground.link(name)
        for trouble in proxy.troubles:
            if trouble.needle is not None:
                trouble.heal()
        of_hers = [one for one in proxy.recorded if scene.alice.id.encode() in one]
        heard += await proxy.say_again(of_hers, patience=DEADLINE + 3)
    if not heard and scene.cell.fault not in ("kill", "stop"):
        raise NotReached("nobody heard a duplicate")


async def _in_doubt(ground: Ground, subject: UUID) -> tuple[set[str], int, str | None]:
    """Who has a prepared branch, how many log rows are unfinished, and the id of the last of hers."""
    databases = await Databases.open(ground.dsns)
    try:
        prepared = {name for name in PARTICIPANTS if await databases.records[name].in_doubt()}
        unfinished = await databases.value(
            COORDINATOR, "select count(*) from twophase_log where finished_at is null"
        )
        gid = await databases.value(
            COORDINATOR,
            "select gid from twophase_log where subject = $1 order by begun_at desc limit 1",
            subject,
        )
    finally:
        await databases.close()
    return prepared, unfinished, gid


@asynccontextmanager
async def _slots_taken(scene: Scene) -> AsyncIterator[None]:
    """Within the block, the next participant's server has no room for one more prepared transaction."""
    dsn = scene.ground.dsns[scene.cell.point.next]
    connection = await asyncpg.connect(dsn)
    names = [f"filler {number}" for number in range(SLOTS)]
    for name in names:
        await connection.execute("begin")
        await connection.execute(f"prepare transaction '{name}'")
    await connection.close()
    try:
        yield
    finally:
        connection = await asyncpg.connect(dsn)
        for name in names:
            await connection.execute(f"rollback prepared '{name}'")
        await connection.close()


@contextlib.contextmanager
def _disk_full(ground: Ground) -> Iterator[None]:
    """Within the block, or until it is freed, there is no room for the event that names all friends."""
    assert ground.disk is not None
    ground.disk.fill()
    try:
        yield
    finally:
        ground.disk.free()


async def _undone(scene: Scene) -> None:
    """What an operator should not do."""
    databases = await Databases.open(scene.ground.dsns)
    try:
        await databases.records[scene.cell.point.next].roll_back_by_hand()
    finally:
        await databases.close()


async def _healed_and_judged(scene: Scene, result: Result, answer: Answer | None) -> Result:
    """The oracle's word, and what people see."""
    ground = scene.ground
    databases = None
    try:
        await ground.steady()
        databases = await Databases.open(ground.dsns, "notifications")
        outcome = await judge(
            databases,
            scene.subject,
            before=scene.before,
            acknowledged=await _acknowledged(scene, answer),
            within=HEALED,
        )
        result = msgspec.structs.replace(result, outcome=outcome)
        told = await scene.writers.judge(databases, deleted=outcome == "deleted") if scene.writers else {}
        if scene.cell.point.way == "undone":
            await _alerted(scene, databases)
        if outcome != "deleted":
            await _retried(scene, databases)
        await _seen_by_nobody(scene)
        await announced(databases, scene.subject, friends=scene.friends, within=ANNOUNCED)
        return msgspec.structs.replace(result, told=told)
    except AssertionError as error:
        return msgspec.structs.replace(result, violation=str(error)[:2000] or repr(error))
    finally:
        if databases is not None:
            await databases.close()


async def _acknowledged(scene: Scene, answer: Answer | None) -> bool | None:
    """What Alice was told at last: by the answer, or at the address that it names."""
    if answer is None:
        return None
    if answer.status == 204:
        return True
    if answer.status == 202:
        address = answer.headers["location"]
        until = time.monotonic() + HEALED
        while (state := (await scene.ground.whole.client.ask("GET", address)).ok()["state"]) == "deciding":
            assert time.monotonic() < until, f"deciding for {HEALED} s"
            await asyncio.sleep(0.05)
        # Another's delete may have gone on where this was aborted.
        return True if state == "deleted" else (None if scene.writers else False)
    if answer.status == 503 and answer.body["code"] == "deletion_aborted" and scene.writers is None:
        return False
    return None


async def _retried(scene: Scene, databases: Databases) -> None:
    """Nothing was deleted: all see her as before, and the client's retry works."""
    entries = (await scene.bob.timeline())["entries"]
    assert [one["author"]["id"] for one in entries] == [scene.alice.id], "she is not seen any more"
    until = time.monotonic() + HEALED
    while (again := await scene.alice.delete("/v1/users/me")).status not in (204, 202):
        assert again.status in (409, 503), (again.status, again.raw)
        assert time.monotonic() < until, f"refused for {HEALED} s, at last by {again.raw!r}"
        await asyncio.sleep(0.1)
    assert await judge(databases, scene.subject, before=None, within=HEALED) == "deleted"


async def _seen_by_nobody(scene: Scene) -> None:
    """She is deleted: no visible message, no edge, no way in."""
    alice, bob = scene.alice, scene.bob
    assert (await bob.get(f"/v1/users/{alice.id}")).status == 404
    assert (await bob.timeline())["entries"] == []
    assert (await bob.get("/v1/messages", params={"author": alice.id})).ok()["messages"] == []
    assert (await bob.get("/v1/friends")).ok()["people"] == []
    assert (await alice.get("/v1/users/me")).status == 401


async def _alerted(scene: Scene, databases: Databases) -> None:
    """Somebody was told of the roll-back by hand."""
    gid = await databases.value(
        COORDINATOR, "select gid from twophase_log where subject = $1 and outcome = 'COMMIT'", scene.subject
    )
    log = (scene.ground.whole.settings.data / "logs" / f"{scene.cell.point.next}.log").read_text()
    lines = [line for line in log.splitlines() if "branch_rolled_back_by_hand" in line and gid in line]
    assert lines, "nobody noticed the roll-back by hand"

"""One service's MongoDB database: reads, and the handle that alone can write. All at majority, journaled.

Nothing waits for a lock in MongoDB: of two transactions that write one document the later fails at once. So a write
takes the fences of all whom it concerns before anything else, and begins anew until it has them.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

import msgspec
from bson.datetime_ms import DatetimeMS
from pymongo import AsyncMongoClient, InsertOne, ReturnDocument, UpdateOne, WriteConcern
from pymongo import lock as pymongo_lock
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)
from pymongo.read_concern import ReadConcern

from tidings.platform import logs
from tidings.platform.contract import Busy, InFlight, Refusal, Unavailable
from tidings.platform.ending import ended, heed_cancellation, heeding_cancellation
from tidings.platform.ids import bucket_of
from tidings.platform.jitter import jittered
from tidings.platform.request import Idempotency, current, reacting_to, writing
from tidings.platform.service import AlreadyDone, Replayed
from tidings.platform.settings import Settings
from tidings.platform.storage.followers import announced, in_doubt, unchanged
from tidings.platform.storage.handle import KEPT, Fence, Saying, replay

log = logs.get_logger("storage")

Row: TypeAlias = dict[str, Any]

READ_TIMEOUT_MS: Final = 8000  # less than a route's deadline, so that the refusal arrives
SELECT_TIMEOUT_MS: Final = 2000  # for a primary to be there
COMMIT_TIMEOUT_MS: Final = 2000
END_PATIENCE: Final = 0.2  # seconds for a word that a transaction is over
COMMIT_PATIENCE: Final = 2.0  # seconds for which a commit is asked again whose answer was lost
PAUSE: Final = 0.005  # seconds between two tries for a fence
RETIRED_FOR: Final = 30.0  # seconds; no write lasts as long
ONE_TRIP: Final = 100_000  # rows of a first batch; without it MongoDB sends 101, and the rest when asked again

MAJORITY: Final = WriteConcern(w="majority", j=True)
SNAPSHOT: Final = ReadConcern("snapshot")

ROUTER: Final = "isdbgrid"  # what a router calls itself (command `hello`)
LIVE, DELETING, DELETED = "live", "deleting", "deleted"

WRITE_CONFLICT: Final = 112
DUPLICATE_KEY: Final = 11000
NO_SPACE: Final = 14031
# Of a member that is no primary any more, or of a server that ends.
DEPOSED: Final = frozenset({91, 189, 10107, 11600, 11602, 13435, 13436, 43, 50, 262, 6, 7, 89, 9001, 133, 134})
NO_SESSIONS: Final = "Sessions are not supported"  # in a ConfigurationError
LATE: Final = 290  # a transaction that the server ended for its age
TRANSIENT: Final = "TransientTransactionError"
UNKNOWN: Final = "UnknownTransactionCommitResult"


async def _waited(waiting: Awaitable[bool], timeout: float | None) -> bool:  # noqa: ASYNC109 - as it is called
    async with asyncio.timeout(timeout):
        return await waiting


# PyMongo waits for its conditions by `asyncio.wait_for`. Before Python 3.12 that runs them in a task of its own,
# which a second cancellation leaves behind: it takes the lock later and never gives it back, and from then on
# nobody gets a connection.
if sys.version_info < (3, 12):
    vars(pymongo_lock)["wait_for"] = _waited


def _codes(error: PyMongoError) -> set[int]:
    if isinstance(error, BulkWriteError):
        found = [*error.details.get("writeErrors", ()), *error.details.get("writeConcernErrors", ())]
        return {int(one.get("code", 0)) for one in found}
    return {error.code or 0} if isinstance(error, OperationFailure) else set()


def is_conflict(error: PyMongoError) -> bool:
    """Another transaction was first; this one is gone, and wrote nothing."""
    return bool(_codes(error) & {WRITE_CONFLICT, DUPLICATE_KEY})


def is_away(error: PyMongoError) -> bool:
    """No primary answers for now."""
    if isinstance(error, (ConnectionFailure, ExecutionTimeout, WTimeoutError)):
        return True
    return bool(_codes(error) & {*DEPOSED, LATE}) or error.has_error_label(TRANSIENT)


class _Meanwhile(Exception):
    """What the transaction was about to rest on is not there any more."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What a write is opened with: the key that it answers under, and how long it may last once it has begun."""

    idempotency: Idempotency | None
    ends: asyncio.Timeout
    limit: float  # seconds


class MongoWrite(Saying):
    """An open transaction. It takes fences first, then changes, announces events and records the answer.

    A store's own handle extends it. It dies with its block: nothing can be written afterwards.
    """

    def __init__(self, database: MongoDatabase, session: AsyncClientSession, opening: Opening) -> None:
        super().__init__()
        self._database = database
        self._home = session.client.get_default_database()
        self._ends, self._limit = opening.ends, opening.limit
        self._session: AsyncClientSession | None = session
        self._idempotency = opening.idempotency
        self._turns = AsyncExitStack()
        self._in_line = False
        self._versions: dict[UUID, int] = {}  # of those whose fences are held
        self._raised: dict[UUID, tuple[int, int]] = {}  # by how much, and the last millisecond

    @property
    def session(self) -> AsyncClientSession:
        """The transaction's session. A fault once the block has ended, or before the fences are held."""
        if self._session is None:
            raise RuntimeError("this write has ended; open a new one")
        if not self._session.in_transaction:
            raise RuntimeError("take the fences first: the transaction begins with them")
        return self._session

    def collection(self, name: str) -> AsyncCollection[Row]:
        """For this transaction."""
        return self._home[name]

    async def fence(
        self, own: Iterable[UUID], others: Iterable[UUID] = (), *, undecided: bool = False
    ) -> dict[UUID, Fence]:
        """Hold the fences of those whose version will rise (`own`), and of `others`, until the commit.

        A fence is held by writing it: a snapshot alone would not see that somebody else writes it (write skew).
        Who waits in this process waits in line, and holds nothing meanwhile; who waits for another process, or for
        a deletion that is not decided, tries again (unless `undecided` ones will do). Raises `Busy`.
        """
        subjects = sorted({*own, *others})
        lock_timeout = self._database.settings.lock_timeout_ms / 1000
        await self._wait_in_line(subjects)
        give_up_at = time.monotonic() + lock_timeout
        while True:
            heed_cancellation()
            refusal: Refusal = InFlight("A request with this Idempotency-Key is still at work.", retry_after=1)
            try:
                await self._begin()
                refusal = self._database.busy()
                fences = await self._hold(subjects)
                if undecided or all(fence.state != DELETING for fence in fences.values()):
                    self._versions = {subject: fence.version for subject, fence in fences.items()}
                    return fences
                await self._leave_line()  # who decides it may stand in the same one
            except _Meanwhile:
                pass
            except PyMongoError as error:
                if not is_conflict(error):
                    raise
            await self._abort()
            if time.monotonic() > give_up_at:
                raise refusal
            await asyncio.sleep(jittered(PAUSE))
            await self._wait_in_line(subjects)

    def raise_by(self, subject: UUID, by: int, *, last_ms: int = 0) -> int:
        """Raise the version of somebody whose fence is held, with the commit. The new version."""
        before, ms = self._raised.get(subject, (0, 0))
        self._raised[subject] = (before + by, max(ms, last_ms))
        return self.version_of(subject)

    def version_of(self, subject: UUID) -> int:
        """As it will be with the commit, of somebody whose fence is held."""
        return self._versions[subject] + self._raised.get(subject, (0, 0))[0]

    async def _wait_in_line(self, subjects: Sequence[UUID]) -> None:
        if self._in_line:
            return
        try:
            async with asyncio.timeout(self._database.settings.transaction_timeout_ms / 1000):
                for subject in subjects:
                    await self._turns.enter_async_context(self._database.turn(subject))
            self._in_line = True
        except TimeoutError as error:
            raise self._database.busy() from error

    async def _leave_line(self) -> None:
        self._in_line = False
        await self._turns.aclose()

    async def _begin(self) -> None:
        """From now on its time runs."""
        assert self._session is not None
        self._ends.reschedule(asyncio.get_running_loop().time() + self._limit)
        await self._session.start_transaction(
            read_concern=SNAPSHOT, write_concern=MAJORITY, max_commit_time_ms=COMMIT_TIMEOUT_MS
        )
        await self._once()
        await self._claim()

    async def _once(self) -> None:
        """In a reaction: take the event, or find that its effect is there."""
        event = reacting_to()
        if event is None:
            return
        done, key = self.collection("inbox"), {"_id": event}
        if await done.find_one(key, session=self.session) is not None:
            if await self._lasting("inbox", key) is not None:
                raise AlreadyDone(str(event))
            raise _Meanwhile
        await done.insert_one({**key, "done_at": datetime.now(UTC)}, session=self.session)

    async def _lasting(self, name: str, key: Row) -> Row | None:
        """What a majority has of a document that this transaction saw: what it sees itself may be lost again.

        In the same session, so that what is read is no older than what was seen. It ends the transaction.
        """
        assert self._session is not None
        await self._abort()
        return await self.collection(name).find_one(key, session=self._session)

    async def _hold(self, subjects: Sequence[UUID]) -> dict[UUID, Fence]:
        if not subjects:
            return {}
        fences, keys = self.collection("fence"), [keyed(subject) for subject in subjects]
        found: list[Row] = []
        if len(subjects) <= 2:
            for key in keys:
                held = await fences.find_one_and_update(
                    key, HOLD, upsert=True, return_document=ReturnDocument.AFTER, session=self.session
                )
                assert held is not None
                found.append(held)
        else:
            await fences.bulk_write([UpdateOne(key, HOLD, upsert=True) for key in keys], session=self.session)
            wanted = {"bucket": {"$in": [key["bucket"] for key in keys]}, "_id": {"$in": list(subjects)}}
            found = await fences.find(wanted, batch_size=ONE_TRIP, session=self.session).to_list()
        return {row["_id"]: Fence(row["state"], row["version"], row["last_ms"]) for row in found}

    async def _claim(self) -> None:
        """Take the Idempotency-Key, or give back what was answered under it."""
        claim = self._idempotency
        if claim is None:
            return
        kept, key = self.collection("idempotency"), claim_key(claim)
        row = await kept.find_one(key, session=self.session)
        if row is not None:
            if row["created_at"] > datetime.now(UTC) - KEPT:
                row = await self._lasting("idempotency", key)
                if row is not None:
                    replay(claim, fingerprint=row["fingerprint"], reply=row["reply"])
                raise _Meanwhile
            await kept.delete_one(key, session=self.session)
        # Who comes at the same moment meets this row.
        await kept.insert_one(
            {**key, "fingerprint": claim.fingerprint, "created_at": datetime.now(UTC)},
            session=self.session,
        )

    async def _finish(self) -> None:
        """The last statements before the commit: versions, outbox rows, and the answer under its key."""
        if self._raised:
            await self._raise_versions(self._raised)
        if self._announced:
            now = DatetimeMS(int(time.time() * 1000))
            await self.collection("outbox").bulk_write(
                [
                    InsertOne(
                        {
                            "_id": one.id,
                            "bucket": bucket_of(one.subject),
                            "event": one.event,
                            "subject": one.subject,
                            "version": one.version,
                            "body": one.body,
                            "trace": one.trace,
                            "waiting": True,
                            "created_at": now,
                        }
                    )
                    for one in self._announced
                ],
                session=self.session,
            )
        if self._idempotency is not None:
            kept = {"$set": {"reply": msgspec.json.encode(self.answered())}}
            await self.collection("idempotency").update_one(
                claim_key(self._idempotency), kept, session=self.session
            )

    async def _raise_versions(self, raised: Mapping[UUID, tuple[int, int]]) -> None:
        """A store with more that carries a version extends this."""
        await self.collection("fence").bulk_write(
            [
                UpdateOne(keyed(subject), {"$inc": {"version": by}, "$max": {"last_ms": ms}})
                for subject, (by, ms) in raised.items()
            ],
            session=self.session,
        )

    async def _abort(self) -> None:
        if self._session is not None and self._session.in_transaction:
            # Never fails: a server that is away forgets the transaction by itself.
            await self._session.abort_transaction()

    async def _die(self) -> None:
        self._session = None
        await self._leave_line()


HOLD: Final = {"$inc": {"held": 1}, "$setOnInsert": {"state": LIVE, "version": 0, "last_ms": 0}}

Handle = TypeVar("Handle", bound=MongoWrite)


class MongoDatabase:
    """Reads and writes have connections of their own: commits that wait for a majority starve no reader."""

    def __init__(
        self,
        service: str,
        url: str,
        client: AsyncMongoClient[Row],
        settings: Settings,
        writers: AsyncMongoClient[Row] | None = None,
    ) -> None:
        self.service = service
        self.url = url
        self.settings = settings
        self.client = client
        self._database = client.get_default_database()
        self._behind_router: bool | None = None
        self._writers = writers or client
        self._retired: dict[asyncio.Task[None], AsyncMongoClient[Row]] = {}
        self._lines: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    @classmethod
    @asynccontextmanager
    async def serving(cls, service: str, url: str, settings: Settings) -> AsyncIterator[MongoDatabase]:
        """A service's own database while the block lasts. Connects when it is needed."""
        client = open_client(url, service, connections=settings.pool_read)
        writers = open_client(url, service, connections=settings.pool_write)
        database = cls(service, url, client, settings, writers)
        try:
            yield database
        finally:
            await client.close()
            await database._writers.close()
            for task, retired in list(database._retired.items()):
                await ended(task)
                await retired.close()

    def collection(self, name: str) -> AsyncCollection[Row]:
        return self._database[name]

    def _renew(self, broken: AsyncMongoClient[Row]) -> None:
        """Leave a client behind whose connections cannot do transactions; what is under way on it may end.

        A connection to a single server that was made while that started passes for one without sessions for as long
        as it lives (PyMongo 4.20, `pool.py`, `supports_sessions`), and the driver never looks again.
        """
        if self._writers is not broken:
            return  # somebody was as quick
        log.warning("connections_renewed", service=self.service)
        self._writers = open_client(self.url, self.service, connections=self.settings.pool_write)

        async def retire() -> None:
            await asyncio.sleep(RETIRED_FOR)
            await broken.close()

        task = asyncio.create_task(retire(), name=f"retire connections of {self.service}")
        self._retired[task] = broken
        task.add_done_callback(lambda done: self._retired.pop(done, None))

    async def is_behind_router(self) -> bool:
        """Whether its collections may lie on several shards."""
        if self._behind_router is None:
            with self.reached():
                hello = await self._database.command("hello")
            self._behind_router = hello.get("msg") == ROUTER
        return self._behind_router

    async def ready(self) -> None:
        """`Unavailable` unless the primary answers."""
        with self.reached():
            await self._database.command("ping")

    async def find(self, name: str, wanted: Row, **how: Any) -> list[Row]:
        """Read rows outside of any write, in one round trip."""
        with self.reached():
            cursor = self.collection(name).find(wanted, batch_size=ONE_TRIP, max_time_ms=READ_TIMEOUT_MS, **how)
            return await cursor.to_list()

    async def aggregate(self, name: str, pipeline: Sequence[Row]) -> list[Row]:
        """The same by a pipeline."""
        with self.reached():
            cursor = await self.collection(name).aggregate(
                list(pipeline), batchSize=ONE_TRIP, maxTimeMS=READ_TIMEOUT_MS
            )
            return await cursor.to_list()

    async def recall(self) -> None:
        """Answer again what was answered under the request's Idempotency-Key, if it was.

        For a handler that looks at other things before it writes: a retry gets the first answer, whatever has
        changed since. Where nothing was answered yet, the write decides.
        """
        claim = current().idempotency
        if claim is None:
            return
        fresh = {**claim_key(claim), "created_at": {"$gt": datetime.now(UTC) - KEPT}, "reply": {"$exists": True}}
        for row in await self.find("idempotency", fresh):
            await unchanged(self.service, self.url)
            replay(claim, fingerprint=row["fingerprint"], reply=row["reply"])

    @asynccontextmanager
    async def write(self, handle: type[Handle], *, timeout_ms: int | None = None) -> AsyncIterator[Handle]:
        """One transaction. The commit happens when the block ends; a refusal or a fault rolls it back.

        Raises `Busy` when another writer holds what this one needs, `Unavailable` when the database is away:
        then a commit may or may not have happened, and a retry under the same Idempotency-Key settles it.
        """
        limit = (timeout_ms or self.settings.transaction_timeout_ms) / 1000
        try:
            async with self.transaction(handle, limit=limit, idempotency=current().idempotency) as write:
                yield write
        except Replayed:
            await unchanged(self.service, self.url)
            raise
        if write.happened:
            await announced(self.service, self.url, write.happened, write.occurred())
        else:
            await unchanged(self.service, self.url)

    @asynccontextmanager
    async def transaction(
        self, handle: type[Handle], *, limit: float, idempotency: Idempotency | None = None
    ) -> AsyncIterator[Handle]:
        """The same for who answers no request, and tells nobody; `limit` in seconds."""
        committing = False
        with self.reached():
            writers = self._writers
            async with writers.start_session() as session:
                ends = asyncio.timeout(None)
                write = handle(self, session, Opening(idempotency, ends, limit))
                try:
                    with writing(self.service):
                        async with ends:  # what is later than this is not committed
                            yield write
                            await write._finish()
                        committing = True
                        await commit(session)
                except ConfigurationError as error:
                    if NO_SESSIONS not in str(error):
                        raise
                    self._renew(writers)
                    raise self._unavailable(error) from error
                except BaseException:
                    if committing:
                        if write.happened:
                            in_doubt(self.service, self.url, write.happened)
                        await self._end_open(session)
                    raise
                finally:
                    try:
                        await write._abort()
                    finally:
                        await write._die()

    async def _end_open(self, session: AsyncClientSession) -> None:
        """End a transaction whose commit nobody may have heard: a session's next one ends the one before."""
        try:
            async with asyncio.timeout(END_PATIENCE):  # who asked waits for it
                await session.start_transaction(read_concern=SNAPSHOT, write_concern=MAJORITY)
                home = session.client.get_default_database()
                await home["fence"].find_one({"_id": None}, session=session)
        except (PyMongoError, TimeoutError) as error:  # it ends by itself, somewhat later
            log.info("transaction_left_open", service=self.service, error=repr(error))

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Say in a refusal what kept MongoDB from doing it."""
        try:
            with heeding_cancellation():
                yield
        except Refusal:
            raise
        except TimeoutError as error:
            raise self._unavailable(error) from error
        except PyMongoError as error:
            if is_conflict(error):
                raise self.busy() from error
            if NO_SPACE in _codes(error):
                raise Unavailable(
                    f"{self.service} has no space left to write; its operator must make room.",
                    service=self.service,
                    retry_after=60,
                ) from error
            if not is_away(error):
                raise
            raise self._unavailable(error) from error

    @asynccontextmanager
    async def turn(self, subject: UUID) -> AsyncIterator[None]:
        """Be the only one in this process who writes this fence."""
        line = self._lines.get(subject)
        if line is None:
            line = self._lines[subject] = asyncio.Lock()
        async with line:
            yield

    def busy(self) -> Busy:
        return Busy("Another change is under way there. Try again.", retry_after=1, service=self.service)

    def _unavailable(self, error: BaseException) -> Unavailable:
        log.warning("database_away", service=self.service, error=repr(error))
        return Unavailable(
            f"{self.service} cannot reach its database. Try again.", service=self.service, retry_after=1
        )


async def commit(session: AsyncClientSession) -> None:
    """Ask again while nobody knows what became of it: a commit that was made is only confirmed."""
    give_up_at = time.monotonic() + COMMIT_PATIENCE
    while True:
        try:
            await session.commit_transaction()
            return
        except PyMongoError as error:
            if not error.has_error_label(UNKNOWN) or time.monotonic() > give_up_at:
                raise
            log.warning("commit_asked_again", error=repr(error))


def open_client(url: str, service: str, *, connections: int) -> AsyncMongoClient[Row]:
    return AsyncMongoClient(
        url,
        appname=f"tidings-{service}",
        uuidRepresentation="standard",
        tz_aware=True,
        maxPoolSize=connections,
        minPoolSize=1,
        w="majority",
        journal=True,
        readConcernLevel="majority",
        serverSelectionTimeoutMS=SELECT_TIMEOUT_MS,
        connectTimeoutMS=SELECT_TIMEOUT_MS,
        socketTimeoutMS=READ_TIMEOUT_MS + 1000,
        waitQueueTimeoutMS=SELECT_TIMEOUT_MS,
    )


def keyed(subject: UUID) -> Row:
    """The key of what lies with a person: their bucket routes."""
    return {"bucket": bucket_of(subject), "_id": subject}


def claim_key(claim: Idempotency) -> Row:
    """With whoever asks, so that it lies with what they write."""
    viewer = current().viewer.user_id
    bucket = 0 if viewer is None else bucket_of(viewer)
    return {"bucket": bucket, "scope": claim.scope, "_id": {"scope": claim.scope, "key": claim.key}}

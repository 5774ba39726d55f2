"""One service's PostgreSQL database: a pool that reads, a pool that writes, and the handle that alone can write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from itertools import groupby
from typing import Any, Final, Protocol, TypeAlias, TypeVar
from uuid import UUID

import asyncpg
import msgspec

from tidings.platform import logs, metrics
from tidings.platform.contract import (
    Busy,
    InFlight,
    Unavailable,
)
from tidings.platform.ending import ended
from tidings.platform.jitter import jittered
from tidings.platform.request import Idempotency, current, reacting_to, refuse_remote, writing
from tidings.platform.service import AlreadyDone, Replayed
from tidings.platform.settings import Settings
from tidings.platform.storage.at_once import as_of, values_of
from tidings.platform.storage.followers import announced, in_doubt, unchanged, wake_relay
from tidings.platform.storage.handle import KEPT, Fence, Saying, replay
from tidings.platform.storage.pool import open_pool

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record] | asyncpg.Connection[asyncpg.Record]"
log = logs.get_logger("storage")

FORGET_EVERY: Final = 900.0  # seconds
# In small steps: a writer's transaction has little time.
FORGET: Final = (
    "DELETE FROM idempotency WHERE ctid = ANY(ARRAY("
    "SELECT ctid FROM idempotency WHERE created_at < now() - $1::interval LIMIT 1000)) RETURNING true"
)
READ_TIMEOUT_MS: Final = 8000  # less than a route's deadline, so that the refusal arrives

ALL_EXCLUSIVELY: Final = (
    "SELECT user_id, state, version, last_ms FROM subject_fence"
    " WHERE user_id = ANY($1::uuid[]) ORDER BY user_id FOR NO KEY UPDATE"
)
ALL_SHARED: Final = (
    "SELECT user_id, state, version, last_ms FROM subject_fence"
    " WHERE user_id = ANY($1::uuid[]) ORDER BY user_id FOR SHARE"
)
MAKE_FENCES: Final = "INSERT INTO subject_fence (user_id) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING"

ADD_EVENTS: Final = (
    "INSERT INTO outbox (id, event, subject, version, body, trace) SELECT * FROM"
    " unnest($1::uuid[], $2::text[], $3::uuid[], $4::bigint[], $5::jsonb[], $6::text[])"
)
ANSWER: Final = "UPDATE idempotency SET status = $3, reply = $4 WHERE scope = $1 AND key = $2"
ADD_EVENTS_AND_ANSWER: Final = (
    f"WITH announced AS ({ADD_EVENTS})"  # noqa: S608 - of constants
    " UPDATE idempotency SET status = $9, reply = $10 WHERE scope = $7 AND key = $8"
)

TAKE_EVENT: Final = "INSERT INTO inbox (event_id) VALUES ('{event}') ON CONFLICT DO NOTHING"
TAKEN_BEFORE: Final = "INSERT 0 0"

LOST = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # of a connection that broke while a statement was prepared, or in its answer
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TransactionTimeoutError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TooManyConnectionsError,
    asyncpg.QueryCanceledError,
)
CONTENDED = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


class Write(Saying):
    """An open transaction. It takes fences, raises versions, announces events and records the answer.

    A store's own handle extends it. It dies with its block: nothing can be written afterwards.
    """

    def __init__(self, connection: Connection, idempotency: Idempotency | None) -> None:
        super().__init__()
        self._connection: Connection | None = connection
        self._idempotency = idempotency

    @property
    def connection(self) -> Connection:
        """The transaction's connection. A fault once the block has ended."""
        if self._connection is None:
            raise RuntimeError("this write has ended; open a new one")
        return self._connection

    async def fence(self, own: Iterable[UUID], others: Iterable[UUID] = ()) -> dict[UUID, Fence]:
        """Lock the fences of those whose version will rise (`own`), and hold `others` still.

        Rows that do not exist are made first: a lock on a row that is not there locks nothing. In key order,
        so that two writers never wait for each other.
        """
        exclusive = set(own)
        shared = set(others) - exclusive
        subjects = sorted(exclusive | shared)
        if not subjects:
            return {}
        if len(subjects) == 1 and not shared:  # most writes; here the row is made only if it is missing
            rows = await self.connection.fetch(ALL_EXCLUSIVELY, subjects)
            if rows:
                return {row[0]: Fence(row[1], row[2], row[3]) for row in rows}
        await self.connection.execute(MAKE_FENCES, subjects)
        rows = []
        for own_one, some in groupby(subjects, exclusive.__contains__):
            rows += await self.connection.fetch(ALL_EXCLUSIVELY if own_one else ALL_SHARED, list(some))
        return {row[0]: Fence(row[1], row[2], row[3]) for row in rows}

    async def bump(self, subjects: Iterable[UUID]) -> dict[UUID, int]:
        """Raise the version of each subject by one; their fences must be held exclusively. The new versions."""
        rows = await self.connection.fetch(
            "UPDATE subject_fence SET version = version + 1 WHERE user_id = ANY($1::uuid[])"
            " RETURNING user_id, version",
            list(subjects),
        )
        return {row[0]: row[1] for row in rows}

    async def _claim(self) -> None:
        """Take the Idempotency-Key, or give back what was answered under it."""
        claim = self._idempotency
        if claim is None:
            return
        try:
            taken = await self.connection.fetchval(
                "INSERT INTO idempotency (scope, key, fingerprint) VALUES ($1, $2, $3)"
                " ON CONFLICT (scope, key) DO UPDATE SET fingerprint = $3, status = NULL, created_at = now()"
                " WHERE idempotency.created_at < now() - $4::interval RETURNING true",
                claim.scope,
                claim.key,
                claim.fingerprint,
                KEPT,
            )
        except asyncpg.LockNotAvailableError as error:
            raise InFlight("A request with this Idempotency-Key is still at work.", retry_after=1) from error
        if taken:
            return
        row = await self.connection.fetchrow(
            "SELECT fingerprint, reply FROM idempotency WHERE scope = $1 AND key = $2", claim.scope, claim.key
        )
        if row is None:
            raise InFlight("A request with this Idempotency-Key is still at work.", retry_after=1)
        replay(claim, fingerprint=row[0], reply=row[1])

    async def _finish(self) -> None:
        """The last statements before the commit: outbox rows, and the answer under its key."""
        events: tuple[Any, ...] = ()
        answer: tuple[Any, ...] = ()
        if self._announced:
            events = tuple(rows_of([msgspec.structs.astuple(one) for one in self._announced]))
        if self._idempotency is not None:
            told = self.answered()
            answer = (self._idempotency.scope, self._idempotency.key, told.status, msgspec.json.encode(told))
        if events and answer:
            await self.connection.execute(ADD_EVENTS_AND_ANSWER, *events, *answer)
        elif events:
            await self.connection.execute(ADD_EVENTS, *events)
        elif answer:
            await self.connection.execute(ANSWER, *answer)

    def _die(self) -> None:
        self._connection = None


Handle = TypeVar("Handle", bound=Write)


class Owner(Protocol):
    """What a starting service knows of its database."""

    @property
    def service(self) -> str: ...

    @property
    def settings(self) -> Settings: ...

    @property
    def database(self) -> str: ...


class Database:
    """Reads and writes have pools of their own, so that waiting writers never starve readers."""

    def __init__(self, service: str, dsn: str, readers: asyncpg.Pool, writers: asyncpg.Pool) -> None:
        self.service = service
        self._dsn = dsn
        self.readers = readers
        self.writers = writers
        self._unwatch = [
            metrics.watch_pool(service=service, pool=name, state=partial(_pool_state, pool))
            for name, pool in (("read", readers), ("write", writers))
        ]
        self._forgetting = asyncio.create_task(self._forget_keys(), name=f"forget keys of {service}")

    @classmethod
    async def open(
        cls,
        dsn: str,
        *,
        service: str,
        readers: int,
        writers: int,
        lock_timeout_ms: int,
        transaction_timeout_ms: int,
    ) -> Database:
        """Connect. One connection each at first; more as they are needed."""
        common = session_settings(service)
        reading = await open_pool(
            dsn,
            least=1,
            most=readers,
            init=json_as_text,
            settings={
                **common,
                "default_transaction_read_only": "on",
                "statement_timeout": str(READ_TIMEOUT_MS),
            },
        )
        writing_pool = await open_pool(
            dsn,
            least=1,
            most=writers,
            init=json_as_text,
            settings={
                **common,
                "lock_timeout": str(lock_timeout_ms),
                "transaction_timeout": str(transaction_timeout_ms),
            },
        )
        return cls(service, dsn, reading, writing_pool)

    @classmethod
    @asynccontextmanager
    async def serving(cls, service: str, dsn: str, settings: Settings) -> AsyncIterator[Database]:
        """A service's own database while the block lasts, with the pools and limits that the settings say."""
        database = await cls.open(
            dsn,
            service=service,
            readers=settings.pool_read,
            writers=settings.pool_write,
            lock_timeout_ms=settings.lock_timeout_ms,
            transaction_timeout_ms=settings.transaction_timeout_ms,
        )
        try:
            yield database
        finally:
            await database.close()

    @classmethod
    def opened(cls, resources: Owner) -> AbstractAsyncContextManager[Database]:
        """The database of a service that needs no store beyond it: what `ServiceKind.of` takes to open it."""
        return cls.serving(resources.service, resources.database, resources.settings)

    async def close(self) -> None:
        """Give the connections back; a statement that still runs is cut after two seconds."""
        await ended(self._forgetting)
        for unwatch in self._unwatch:
            unwatch()
        for pool in (self.readers, self.writers):
            try:
                async with asyncio.timeout(2):
                    await pool.close()
            except TimeoutError:
                pool.terminate()

    async def ready(self) -> None:
        """`Unavailable` unless the database answers."""
        await self.fetch("SELECT 1")

    async def fetch(self, query: str, *values: Any) -> list[asyncpg.Record]:
        """Read rows outside of any write."""
        try:
            return await self.readers.fetch(query, *values)
        except LOST as error:
            raise self._unavailable(error) from error

    async def recall(self) -> None:
        """Answer again what was answered under the request's Idempotency-Key, if it was.

        For a handler that looks at other things before it writes: a retry gets the first answer, whatever has
        changed since. Where nothing was answered yet, the write decides.
        """
        claim = current().idempotency
        if claim is None:
            return
        rows = await self.fetch(
            "SELECT fingerprint, reply FROM idempotency WHERE scope = $1 AND key = $2 AND reply IS NOT NULL"
            " AND created_at >= now() - $3::interval",
            claim.scope,
            claim.key,
            KEPT,
        )
        for row in rows:
            await unchanged(self.service, self._dsn)
            replay(claim, fingerprint=row[0], reply=row[1])

    @asynccontextmanager
    async def write(self, handle: type[Handle], *, timeout_ms: int | None = None) -> AsyncIterator[Handle]:
        """One transaction. The commit happens when the block ends; a refusal or a fault rolls it back.

        Raises `Busy` when another writer holds what this one needs, `Unavailable` when the database is away:
        then a commit may or may not have happened, and a retry under the same Idempotency-Key settles it.
        """
        idempotency = current().idempotency
        committing = False
        with self._refusing():
            try:
                async with self.writers.acquire() as connection:
                    with writing(self.service):
                        write = handle(connection, idempotency)
                        try:
                            async with _transaction(connection, reacting_to(), timeout_ms):
                                await write._claim()
                                yield write
                                await write._finish()
                                committing = True
                        except BaseException:
                            if committing and write.happened:
                                in_doubt(self.service, self._dsn, write.happened)
                            raise
                        finally:
                            write._die()
            except Replayed:
                await unchanged(self.service, self._dsn)
                raise
            if write.happened:
                await announced(self.service, self._dsn, write.happened, write.occurred())
            else:
                await unchanged(self.service, self._dsn)

    async def at_once(self, statement: str, *own: Any, subject: UUID, minted_ms: int, said: Saying) -> int | None:
        """A write in one statement, made of `storage.at_once`; the subject's new version, as `said` by its event.

        None: nothing was written, and `write` tells why. Somebody else holds the fence, or it is not there, is not
        live, or has minted later ids; or the request's Idempotency-Key was used before. Raises what `write` does.
        """
        [promised] = said.happened
        if promised.takes_away or reacting_to() is not None:
            raise RuntimeError("what takes away, and what reacts to an event, is written by `write`")
        refuse_remote(f"a write of {self.service} in one statement")
        values = values_of(subject, minted_ms, said, current().idempotency)
        with self._refusing():
            try:
                version: int | None = await self.writers.fetchval(statement, *values, *own)
            except CONTENDED:  # with another request under the same key
                return None
            except BaseException:
                # It may have been committed. It took nothing away: who keeps answers may hear of it by the event.
                wake_relay(self._dsn)
                raise
        if version is not None:
            happened = msgspec.structs.replace(promised, version=version)
            await announced(self.service, self._dsn, [happened], as_of({subject: version}, said))
        return version

    async def reacted_at_once(self, statement: str, *own: Any, fenced: Collection[UUID], said: Saying) -> bool:
        """A reaction in one statement, made of `storage.at_once`, which takes the event that is reacted to.

        `fenced` are all whom it concerns, and `said` has an event of each whose version may rise. False: nothing
        was written, and `write` tells why: somebody else holds a fence, or one is not there or not live, or the
        event was taken before. Raises what `write` does.
        """
        event = reacting_to()
        if event is None or any(one.takes_away for one in said.happened):
            raise RuntimeError("what takes away, and what reacts to nothing, is written by `write`")
        refuse_remote(f"a write of {self.service} in one statement")
        events = rows_of([(one.id, one.event, one.subject, one.body, one.trace) for one in said.announced])
        with self._refusing():
            try:
                rows = await self.writers.fetch(statement, event, sorted(fenced), *events, *own)
            except CONTENDED:  # with another run for the same event, or message, which alone is waited for
                return False
            except BaseException:
                wake_relay(self._dsn)  # as above
                raise
        versions = {row[0]: row[1] for row in rows if row[0] is not None}
        happened = [
            msgspec.structs.replace(one, version=versions[one.subject])
            for one in said.happened
            if one.subject in versions
        ]
        if happened:
            await announced(self.service, self._dsn, happened, as_of(versions, said))
        return bool(rows)

    async def alone(self, statement: str, *values: Any) -> list[asyncpg.Record]:
        """A write that is one statement, of which nobody is told; what it returns. Raises what `write` does."""
        if reacting_to() is not None or current().idempotency is not None:
            raise RuntimeError("what takes an event, or is answered under a key, is written by `write`")
        refuse_remote(f"a write of {self.service} in one statement")
        with self._refusing():
            rows = await self.writers.fetch(statement, *values)
        await unchanged(self.service, self._dsn)
        return rows

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """What a write that fails means to who asked."""
        try:
            yield
        except CONTENDED as error:
            raise Busy(
                "Another change is under way there. Try again.", retry_after=1, service=self.service
            ) from error
        except asyncpg.DiskFullError as error:
            raise Unavailable(
                f"{self.service} has no space left to write; its operator must make room.",
                service=self.service,
                retry_after=60,
            ) from error
        except LOST as error:
            raise self._unavailable(error) from error

    async def _forget_keys(self) -> None:
        """Remove what was answered under Idempotency-Keys once they are too old to be honoured."""
        while True:
            await asyncio.sleep(jittered(FORGET_EVERY))
            try:
                while await self.writers.fetch(FORGET, KEPT):
                    await asyncio.sleep(0)
            except (asyncpg.PostgresError, *LOST) as error:  # the next round does it
                log.warning("keys_not_forgotten", service=self.service, error=repr(error))

    def _unavailable(self, error: BaseException) -> Unavailable:
        log.warning("database_away", service=self.service, error=repr(error))
        return Unavailable(
            f"{self.service} cannot reach its database. Try again.", service=self.service, retry_after=1
        )


@asynccontextmanager
async def _transaction(connection: Connection, event: UUID | None, timeout_ms: int | None) -> AsyncIterator[None]:
    """From BEGIN to COMMIT. A reaction takes its event with the first round trip, or finds its effect there."""
    begin = ["BEGIN"]
    if timeout_ms is not None:  # a running timer ignores a new value: it must be put out first
        begin += [f"SET LOCAL transaction_timeout = {ms}" for ms in (0, int(timeout_ms))]
    if event is not None:
        begin.append(TAKE_EVENT.format(event=event))
    try:
        if await connection.execute("; ".join(begin)) == TAKEN_BEFORE:
            raise AlreadyDone(str(event))
        yield
    except BaseException:
        try:
            await connection.execute("ROLLBACK")
        except LOST as lost:  # then the server does it; what is raised is what had happened before
            log.info("connection_lost_at_rollback", error=repr(lost))
        raise
    if (ended := await connection.execute("COMMIT")) != "COMMIT":  # an error in the block was hidden
        raise RuntimeError(f"the transaction had failed; COMMIT answered {ended}")


@asynccontextmanager
async def handled(connection: Connection, handle: type[Handle], *, service: str) -> AsyncIterator[Handle]:
    """A handle on a transaction that the caller began and will end; its outbox rows are written with the block."""
    with writing(service):
        write = handle(connection, None)
        try:
            yield write
            await write._finish()
        finally:
            write._die()


def rows_of(values: Sequence[Sequence[Any]]) -> tuple[list[Any], ...]:
    """Rows as the columns that `unnest` takes."""
    return tuple(list(column) for column in zip(*values, strict=True))


def _pool_state(pool: asyncpg.Pool) -> metrics.PoolState:
    size, idle = pool.get_size(), pool.get_idle_size()
    return metrics.PoolState(open=size, busy=size - idle, most=pool.get_max_size())


def session_settings(name: str) -> dict[str, str]:
    """Of each session of ours, as the server calls them."""
    return {
        "application_name": f"tidings-{name}",
        "timezone": "UTC",
        "jit": "off",
        "plan_cache_mode": "force_generic_plan",  # else whatever takes a list is planned at each call
    }


async def json_as_text(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """JSON stays text here: it is decoded where its shape is known, or spliced as it is."""
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, schema="pg_catalog", encoder=str, decoder=str, format="text")

"""Each service's database at its newest schema: a quick look at every start, Alembic in a child when behind.

In MongoDB that is its collections with their indexes. In PostgreSQL a revision is a file `NNNN_name.py` with
`revision = "NNNN"`, `down_revision`, and `compatible_down_to`: the oldest revision whose code still works on the
schema that this one makes.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec

from tidings.platform.data_directory import ExitCode, StartRefused
from tidings.platform.document_schema import DocumentSchema
from tidings.platform.engine_url import is_mongo
from tidings.platform.settings import hide_passwords

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

# Alembic and SQLAlchemy are imported in the child alone: the server never holds them in memory.

_FILE = re.compile(r"(\d{4})_\w+\.py")
MIGRATION_LOCK = 0x7469_6469_6E67_7301  # one number for all: a lock belongs to one database


class ServiceDatabase(msgspec.Struct, frozen=True):
    """A service, the URL of its database, the folder of its migrations, and its collections if it has such."""

    service: str
    dsn: str
    migrations: Path
    documents: DocumentSchema | None = None

    @property
    def newest(self) -> str:
        """The revision that this Tidings wants there."""
        if not is_mongo(self.dsn):
            return newest(self.migrations)
        if self.documents is None:
            raise ValueError(f"{self.service} declares no collections, so its database cannot be a MongoDB")
        return self.documents.revision


class SchemaState(msgspec.Struct, frozen=True):
    """Where a database stands: its revision, the oldest code that may use it, and whether we just upgraded it."""

    service: str
    revision: str
    compatible_down_to: str
    upgraded: bool


async def ensure_schema(dsn: str, *, service: str, migrations: Path) -> SchemaState:
    """`ensure_schemas` for one."""
    return (await ensure_schemas([ServiceDatabase(service, dsn, migrations)]))[service]


async def ensure_schemas(databases: Sequence[ServiceDatabase]) -> dict[str, SchemaState]:
    """Upgrade those that are behind, all in one child process. Raises StartRefused for a schema that is too new."""
    before = await _states(databases)
    behind = [one for one in databases if _is_behind(before[one.service], one.newest)]
    if not behind:
        return _accepted(databases, before)
    relational = [one for one in behind if not is_mongo(one.dsn)]
    if relational:
        await _upgrade_in_child(relational)
    for one in behind:
        if one not in relational:
            await _upgrade_documents(one)
    after = {**before, **{name: state for name, state in (await _states(behind, upgraded=True)).items() if state}}
    return _accepted(databases, after)


def newest(migrations: Path) -> str:
    """The newest revision in the folder, by its file names."""
    revisions = [match[1] for path in migrations.iterdir() if (match := _FILE.fullmatch(path.name))]
    if not revisions:
        raise FileNotFoundError(f"no migration (NNNN_name.py) in {migrations}")
    return max(revisions)


def _is_behind(state: SchemaState | None, ours: str) -> bool:
    return state is None or state.revision < ours


def _accepted(
    databases: Sequence[ServiceDatabase], states: dict[str, SchemaState | None]
) -> dict[str, SchemaState]:
    accepted: dict[str, SchemaState] = {}
    for one in databases:
        state, ours = states[one.service], one.newest
        if state is None or state.revision < ours:
            raise StartRefused(
                f"The database of {one.service} is not at revision {ours} after its upgrade.",
                "Start again; if it stays so, its migrations do not lead there.",
                ExitCode.MIGRATION_FAILED,
            )
        if state.compatible_down_to > ours:
            raise StartRefused(
                f"The database of {one.service} has schema {state.revision}, which needs code of schema "
                f"{state.compatible_down_to} or newer; this Tidings knows {ours}.",
                "Install the newer Tidings that wrote it, or choose another --data.",
                ExitCode.NEWER_VERSION,
            )
        accepted[one.service] = state
    return accepted


async def _states(databases: Sequence[ServiceDatabase], *, upgraded: bool = False) -> dict[str, SchemaState | None]:
    found = await asyncio.gather(*(_state(one, upgraded=upgraded) for one in databases))
    return {one.service: state for one, state in zip(databases, found, strict=True)}


async def _state(one: ServiceDatabase, *, upgraded: bool) -> SchemaState | None:
    if is_mongo(one.dsn):
        return await _documents_state(one, upgraded=upgraded)
    try:
        connection = await asyncpg.connect(one.dsn, timeout=10, statement_cache_size=0)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise _not_opened(one, error) from error
    try:
        row = await connection.fetchrow("select version_num, compatible_down_to from alembic_version, schema_info")
    except asyncpg.UndefinedTableError:
        return None
    finally:
        await connection.close()
    if row is None:
        return None
    return SchemaState(one.service, row["version_num"], row["compatible_down_to"], upgraded)


def _not_opened(one: ServiceDatabase, error: Exception) -> StartRefused:
    return StartRefused(
        f"The database of {one.service} at {hide_passwords(one.dsn)} cannot be opened: {error or 'no answer'}",
        "Start that server, or mend the address, user, password or database in the topology file or --store.",
        ExitCode.ENGINE_FAILED,
    )


# MongoDB's driver is imported by those alone who have such a database.


async def _documents_state(one: ServiceDatabase, *, upgraded: bool) -> SchemaState | None:
    from pymongo.errors import PyMongoError

    from tidings.platform.storage.mongo_schema import revision_of

    try:
        found = await revision_of(one.dsn, one.service)
    except PyMongoError as error:
        raise _not_opened(one, error) from error
    return None if found is None else SchemaState(one.service, *found, upgraded)


async def _upgrade_documents(one: ServiceDatabase) -> None:
    from pymongo.errors import PyMongoError

    from tidings.platform.storage.mongo_schema import NotSharedOut, upgrade

    assert one.documents is not None
    try:
        await upgrade(one.dsn, one.service, one.documents)
    except NotSharedOut as error:
        raise StartRefused(
            f"The database of {one.service} is behind a router, and its collections are not there yet.",
            f"Share them out among the shards first: tidings provision {one.service} --admin mongodb://...",
            ExitCode.MIGRATION_FAILED,
        ) from error
    except PyMongoError as error:
        raise StartRefused(
            f"The collections of {one.service} could not be made: {error}",
            "Mend what the line above names, and start again; what was there is unchanged.",
            ExitCode.MIGRATION_FAILED,
        ) from error


async def _upgrade_in_child(databases: Sequence[ServiceDatabase]) -> None:
    # The DSNs hold passwords: through stdin, never on a command line that every user can list.
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "tidings.platform.storage.migrations", "upgrade"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, complaint = await child.communicate(msgspec.json.encode(databases, enc_hook=str))
    except asyncio.CancelledError:
        child.kill()
        await child.wait()
        raise
    if child.returncode != 0:
        lines = "\n".join(complaint.decode(errors="replace").strip().splitlines()[-8:])
        raise StartRefused(
            f"A migration failed and was rolled back ({', '.join(one.service for one in databases)}):\n{lines}",
            "Mend what the lines above name, and start again; what was there is unchanged.",
            ExitCode.MIGRATION_FAILED,
        )


async def _upgrade(one: ServiceDatabase) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    async def connect() -> asyncpg.Connection[asyncpg.Record]:
        return await asyncpg.connect(one.dsn, timeout=10)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_run_alembic, one.migrations)
    finally:
        await engine.dispose()


def _run_alembic(connection: Connection, migrations: Path) -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    # Held until this connection closes: a second runner waits here, then finds nothing to do.
    connection.exec_driver_sql(f"select pg_advisory_lock({MIGRATION_LOCK})")
    connection.commit()
    current = MigrationContext.configure(connection).get_current_revision()
    connection.commit()
    if current is not None and current >= newest(migrations):
        return
    script = ScriptDirectory(dir=migrations, version_locations=[migrations])
    environment = EnvironmentContext(
        Config(),
        script,
        fn=lambda revision, _: script._upgrade_revs("head", revision),
    )
    with environment:
        environment.configure(
            connection=connection, transaction_per_migration=True, on_version_apply=_note_compatibility
        )
        with environment.begin_transaction():
            environment.run_migrations()


def _note_compatibility(ctx: Any, step: Any, heads: Any, run_args: Any) -> None:
    """In the migration's own transaction: a revision and what it is compatible with change together."""
    oldest = step.up_revision.module.compatible_down_to
    if not re.fullmatch(r"\d{4}", oldest):
        raise ValueError(f"compatible_down_to of revision {step.up_revision_id} is not NNNN: {oldest!r}")
    connection: Connection = ctx.connection
    connection.exec_driver_sql("create table if not exists schema_info (compatible_down_to text not null)")
    connection.exec_driver_sql("delete from schema_info")
    connection.exec_driver_sql("insert into schema_info (compatible_down_to) values ($1)", (oldest,))


async def _upgrade_each(databases: Sequence[ServiceDatabase]) -> None:
    for one in databases:  # Alembic's `op` is global: one at a time
        try:
            await _upgrade(one)
        except Exception as problem:
            problem.add_note(f"in a migration of {one.service}")
            raise


def main() -> None:
    if sys.argv[1:] != ["upgrade"]:
        sys.exit("usage: python -m tidings.platform.storage.migrations upgrade   (databases as JSON on stdin)")
    asked = msgspec.json.decode(
        sys.stdin.buffer.read(), type=list[ServiceDatabase], dec_hook=lambda kind, text: kind(text)
    )
    asyncio.run(_upgrade_each(asked))


if __name__ == "__main__":
    main()

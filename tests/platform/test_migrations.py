"""Migrations: forward at start, a second time for nothing, never backward."""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from tidings.platform.data_directory import ExitCode, StartRefused
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.storage.migrations import MIGRATION_LOCK, ServiceDatabase, ensure_schema, ensure_schemas

FOUNDATION = """
from alembic import op
from tidings.platform.storage.foundation import FOUNDATION
revision, down_revision, compatible_down_to = "0001", None, "0001"
def upgrade():
    for statement in FOUNDATION:
        op.execute(statement)
"""
SECOND = """
from alembic import op
revision, down_revision, compatible_down_to = "0002", "0001", "{compatible}"
def upgrade():
    op.execute("create table thing (id int)")
    op.execute("{statement}")
"""


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[EmbeddedPostgres]:
    with tempfile.TemporaryDirectory(prefix="tidings-test-") as name:
        Path(name).chmod(0o711)
        postgres = EmbeddedPostgres(Path(name, "postgres"), socket=Path(name, "run"), password="super")
        await postgres.start()
        yield postgres
        await postgres.stop()


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """The migrations of an old code: one revision."""
    return folder_of(tmp_path / "first", FOUNDATION)


def folder_of(folder: Path, *revisions: str) -> Path:
    folder.mkdir()
    for number, text in enumerate(revisions, start=1):
        (folder / f"{number:04}_step.py").write_text(text)
    return folder


def second(tmp_path: Path, *, compatible: str = "0001", statement: str = "select 1") -> Path:
    return folder_of(tmp_path / "second", FOUNDATION, SECOND.format(compatible=compatible, statement=statement))


async def tables(dsn: str) -> set[str]:
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
        return {row["tablename"] for row in rows}
    finally:
        await connection.close()


async def test_upgrades_then_has_nothing_to_do(server: EmbeddedPostgres, first: Path, tmp_path: Path) -> None:
    dsn = await server.provision("steps", "pw")
    state = await ensure_schema(dsn, service="steps", migrations=first)
    assert (state.revision, state.compatible_down_to, state.upgraded) == ("0001", "0001", True)
    assert {"subject_fence", "outbox", "idempotency"} <= await tables(dsn)

    assert not (await ensure_schema(dsn, service="steps", migrations=first)).upgraded

    state = await ensure_schema(dsn, service="steps", migrations=second(tmp_path))
    assert (state.revision, state.upgraded) == ("0002", True)
    assert "thing" in await tables(dsn)

    # The old code again: the new schema says that it still serves it.
    state = await ensure_schema(dsn, service="steps", migrations=first)
    assert (state.revision, state.upgraded) == ("0002", False)


async def test_a_schema_that_is_too_new_is_refused(server: EmbeddedPostgres, first: Path, tmp_path: Path) -> None:
    dsn = await server.provision("newer", "pw")
    await ensure_schema(dsn, service="newer", migrations=second(tmp_path, compatible="0002"))
    with pytest.raises(StartRefused, match=r"newer.* 0002.* 0001") as refused:
        await ensure_schema(dsn, service="newer", migrations=first)
    assert refused.value.exit_code == ExitCode.NEWER_VERSION
    assert "Install" in refused.value.hint


async def test_a_migration_that_fails_leaves_nothing(server: EmbeddedPostgres, first: Path, tmp_path: Path) -> None:
    dsn = await server.provision("broken", "secret-pw")
    await ensure_schema(dsn, service="broken", migrations=first)
    with pytest.raises(StartRefused, match="absent") as refused:
        await ensure_schema(dsn, service="broken", migrations=second(tmp_path, statement="select * from absent"))
    assert refused.value.exit_code == ExitCode.MIGRATION_FAILED
    assert "secret-pw" not in str(refused.value)
    assert "thing" not in await tables(dsn)
    assert (await ensure_schema(dsn, service="broken", migrations=first)).revision == "0001"


async def test_several_services_and_two_runners_at_once(server: EmbeddedPostgres, first: Path) -> None:
    dsns = await server.provision_all({"one": "pw", "two": "pw"})
    databases = [ServiceDatabase(service, dsn, first) for service, dsn in dsns.items()]
    both = await asyncio.gather(ensure_schemas(databases), ensure_schemas(databases))
    assert [state["one"].revision for state in both] == ["0001", "0001"]
    assert [state["two"].revision for state in both] == ["0001", "0001"]


async def test_a_second_runner_waits_for_the_first(server: EmbeddedPostgres, first: Path) -> None:
    dsn = await server.provision("locked", "pw")
    runner = await asyncpg.connect(dsn)
    try:
        await runner.execute(f"select pg_advisory_lock({MIGRATION_LOCK})")
        second_runner = asyncio.ensure_future(ensure_schema(dsn, service="locked", migrations=first))
        async with asyncio.timeout(20):
            while not await runner.fetchval(
                "select count(*) from pg_locks where locktype = 'advisory' and not granted"
            ):
                assert not second_runner.done(), "it did not wait"
                await asyncio.sleep(0.02)
        assert "outbox" not in await tables(dsn)
    finally:
        await runner.close()
    assert (await second_runner).upgraded


def test_the_server_never_holds_sqlalchemy() -> None:
    code = "import sys, tidings.platform.storage.migrations; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

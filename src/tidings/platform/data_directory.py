"""The data directory: one folder that one server at a time owns, with its format, its lock and its secrets."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import Any

FORMAT = 1
ROOM_NEEDED = 64 * 1024 * 1024
# sun_path holds 108 bytes on Linux, 104 on macOS; the longest name that we put below `run` takes under 40.
SOCKET_PATH_LIMIT = 100
SOCKET_NAME_ROOM = 40


class ExitCode(IntEnum):
    """Why a start was refused, for scripts: the exit status of `tidings up`."""

    ALREADY_RUNNING = 3
    NEWER_VERSION = 4
    DISK_FULL = 5
    NOT_WRITABLE = 6
    ENGINE_FAILED = 7
    MIGRATION_FAILED = 8
    PORT_TAKEN = 9
    PROCESS_FAILED = 10


class StartRefused(Exception):
    """The server cannot start here; `hint` says what to do next."""

    def __init__(self, message: str, hint: str, exit_code: int) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}"


class DataDirectory:
    """An open data directory. Make it with `DataDirectory.open`."""

    def __init__(self, path: Path, lock_fd: int | None) -> None:
        self.path = path
        self._lock_fd = lock_fd

    @classmethod
    def open(cls, path: Path, *, lock: bool = True, room_needed: int = ROOM_NEEDED) -> DataDirectory:
        """Create or open `path`; with `lock`, own it until `close` or the end of this process.

        Raises StartRefused when another server owns it, a newer Tidings wrote it, the disk is full, or it is
        not writable.
        """
        path = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 - `resolve` would change what users see
        lock_fd: int | None = None
        try:
            with _explained(path):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
                _refuse_newer(path)
                _refuse_full(path, room_needed)
                if lock:
                    lock_fd = _locked(path)
                    _publish(lock_fd, {})
                if not (path / "version.json").exists():
                    write_private(path / "version.json", json.dumps({"format": FORMAT}).encode() + b"\n")
                return cls(path, lock_fd)
        except BaseException:
            if lock_fd is not None:
                os.close(lock_fd)
            raise

    @classmethod
    def running(cls, path: Path) -> dict[str, Any] | None:
        """`{"pid": ..., "addresses": {...}}` of the live server that owns `path`, or None."""
        try:
            fd = os.open(path.expanduser() / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _lock_info(fd)
        else:
            return None
        finally:
            os.close(fd)

    @cached_property
    def run(self) -> Path:
        """The folder for Unix sockets: `<data>/run`, or a short one of our own where that path is too long."""
        return _socket_folder(self.path)

    def announce(self, addresses: Mapping[str, str]) -> None:
        """Tell other commands (`tidings doctor`, `demo`) where this server answers."""
        if self._lock_fd is None:
            raise RuntimeError("only the owner of the data directory announces addresses")
        _publish(self._lock_fd, addresses)

    def secret(self, name: str, nbytes: int = 32) -> str:
        """The secret of that name, made at first use: urlsafe text of `nbytes` random bytes."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
            raise ValueError(f"not a name for a secret: {name!r}")
        folder = self.path / "secrets"
        with _explained(folder):
            folder.mkdir(mode=0o700, exist_ok=True)
            with _one_at_a_time(folder):
                with contextlib.suppress(FileNotFoundError):
                    return (folder / name).read_text(encoding="ascii").strip()
                made = secrets.token_urlsafe(nbytes)
                write_private(folder / name, made.encode("ascii") + b"\n")
                return made

    def close(self) -> None:
        """Give the directory up. The end of the process, even by kill -9, does the same."""
        if self._lock_fd is not None:
            if "run" in self.__dict__ and self.run.parent != self.path:
                shutil.rmtree(self.run, ignore_errors=True)  # nothing of ours stays in the temporary folder
            os.ftruncate(self._lock_fd, 0)
            os.close(self._lock_fd)
            self._lock_fd = None


def write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 0600, whole or not at all, even through a crash."""
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp: 0600, exclusive
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable (a rename is not, until its folder is synced)."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def disk_full(path: Path) -> StartRefused:
    return StartRefused(
        f"The disk that holds {path} is full.",
        "Free some space there, or choose another place with --data.",
        ExitCode.DISK_FULL,
    )


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        if problem.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise disk_full(path) from problem
        raise StartRefused(
            f"The data directory cannot be written: {problem.filename or path}: {problem.strerror}.",
            "Give this user the right to write there, or choose another place with --data.",
            ExitCode.NOT_WRITABLE,
        ) from problem


def _refuse_newer(path: Path) -> None:
    file = path / "version.json"
    try:
        found = json.loads(file.read_bytes())["format"]
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError):
        found = None
    if not isinstance(found, int):
        raise StartRefused(
            f"{file} does not say which format this data directory has.",
            f'Restore that file (this version writes {{"format": {FORMAT}}}), or choose another --data.',
            ExitCode.NEWER_VERSION,
        )
    if found > FORMAT:
        raise StartRefused(
            f"{path} was written by a newer Tidings (format {found}; this one knows {FORMAT}).",
            "Install that version, or choose another --data.",
            ExitCode.NEWER_VERSION,
        )


def _refuse_full(path: Path, room_needed: int) -> None:
    free = shutil.disk_usage(path).free
    if free < room_needed:
        raise StartRefused(
            f"The disk that holds {path} is full: {free >> 20} MB free, {room_needed >> 20} MB needed.",
            "Free some space there, or choose another place with --data.",
            ExitCode.DISK_FULL,
        )


def _locked(path: Path) -> int:
    # Python's descriptors are close-on-exec: a child program cannot keep the lock of a dead server.
    fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # `running` holds a shared lock for an instant: try again before believing that a server is there.
    for attempts_left in range(15, -1, -1):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempts_left:
                time.sleep(0.02)
        else:
            return fd
    info = _lock_info(fd)
    os.close(fd)
    pid = info.get("pid")
    raise StartRefused(
        f"Tidings already runs on {path}" + (f" (process {pid})." if pid else "."),
        (f"Stop it with `kill {pid}` (or Ctrl-C where it runs)" if pid else "Stop it")
        + ", or choose another --data for a second copy.",
        ExitCode.ALREADY_RUNNING,
    )


def _publish(lock_fd: int, addresses: Mapping[str, str]) -> None:
    # In place, not by rename: the lock belongs to this very inode.
    content = json.dumps({"pid": os.getpid(), "addresses": dict(addresses)}).encode() + b"\n"
    os.pwrite(lock_fd, content, 0)
    os.ftruncate(lock_fd, len(content))


def _lock_info(fd: int) -> dict[str, Any]:
    try:
        info = json.loads(os.pread(fd, 65_536, 0))
    except ValueError:  # read while its owner was writing
        return {}
    return info if isinstance(info, dict) else {}


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _holds_sockets(folder: Path) -> bool:
    return len(os.fsencode(folder)) + SOCKET_NAME_ROOM <= SOCKET_PATH_LIMIT


def _socket_folder(data: Path) -> Path:
    folder = data / "run"
    if not _holds_sockets(folder):
        digest = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:12]
        # The person's own temporary folder may lie deep, too; the system's never does.
        choices = [Path(parent) / f"tidings-{digest}" for parent in (tempfile.gettempdir(), "/tmp")]  # noqa: S108
        folder = next(filter(_holds_sockets, choices), choices[-1])
    with _explained(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    # The temporary folder is everybody's: another user may have put something there under this name.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise StartRefused(
            f"{folder} must be a folder of this user alone (mode 0700); it is not.",
            "Remove it, or choose a --data with a shorter path.",
            ExitCode.NOT_WRITABLE,
        )
    return folder

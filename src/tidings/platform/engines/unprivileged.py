"""How an engine's program runs: as an ordinary user even when we are root, and never longer than we do."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import pwd
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tidings.platform.data_directory import ExitCode, StartRefused

# A number of our own rather than `nobody`: whatever else runs as `nobody` could signal or trace the database.
# 60706-61183 is given to no one (systemd.io/UIDS-GIDS), and lies within the 65,536 ids of a container.
ENGINE_UID = 60817
# initdb insists on an account that has a name; what it makes is handed to ENGINE_UID at once.
NOBODY_UID = 65534

_PR_SET_PDEATHSIG = 1


def engine_uid() -> int | None:
    """The uid that engines run under when we are root, else None: our own."""
    if os.geteuid() != 0:
        return None
    if sys.platform != "linux":
        raise StartRefused(
            "The embedded engines do not run as root on this system.",
            "Start Tidings as an ordinary user.",
            ExitCode.ENGINE_FAILED,
        )
    return ENGINE_UID


def refuse_nameless(uid: int | None) -> None:
    """Refuse a user who has a number and no name, as containers give: initdb runs for none such (getpwuid(3)).

    The server itself asks for no name, so that a data folder that was made elsewhere starts.
    """
    own, name = (os.geteuid(), "tidings") if uid is None else (uid, "nobody")
    try:
        pwd.getpwuid(own)
    except KeyError:
        raise StartRefused(
            f"PostgreSQL makes no databases for a user without a name: uid {own} has no entry in /etc/passwd.",
            f"Give it one (as root: useradd -u {own} {name}){', start as root' if uid is None else ''}, or keep "
            "the data on a PostgreSQL server of your own: --store SERVICE=postgres://... for each service.",
            ExitCode.ENGINE_FAILED,
        ) from None


def credentials(uid: int | None) -> dict[str, Any]:
    """The arguments of `subprocess.Popen` that drop root for `uid`, its group and no other."""
    return {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}


def ends_with_us(death_signal: signal.Signals) -> Callable[[], None] | None:
    """A `preexec_fn` that has the kernel signal the child when we die, by kill -9 too (prctl(2), Linux).

    `preexec_fn` runs after the change of user, which would clear the signal, and exec keeps it. NOTE: the kernel
    watches the *thread* that started the child: start engines from one that lives as long as the server.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    us = os.getpid()

    def preexec() -> None:
        prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != us:  # we died before the call above
            os._exit(1)

    return preexec


def give(path: Path, uid: int | None) -> None:
    """Let the folder and all that is in it belong to `uid` and its group."""
    if uid is None:
        return
    for folder, _, names in os.walk(path):
        for name in (folder, *(os.path.join(folder, name) for name in names)):  # noqa: PTH118 - a thousand files
            os.chown(name, uid, uid, follow_symlinks=False)


def blocking_folder(path: Path, uid: int) -> Path | None:
    """The first folder on the way to `path` that `uid` cannot pass, or `path` itself if it is unreadable."""
    for parent in reversed(path.parents):
        if not _allows(parent, uid, stat.S_IXUSR):
            return parent
    return None if not path.exists() or _allows(path, uid, stat.S_IRUSR) else path


class Program:
    """An installed program that `uid` can run: in place, or else a copy that is kept until `close`."""

    def __init__(self, installed: Path, parts: tuple[Path, ...], probe: str, copy_in: Path) -> None:
        """`parts` are the folders and files below `installed` that it needs; `probe` is the one to run."""
        self._installed = installed
        self._parts = parts
        self._probe = probe
        self._copy_in = copy_in
        self._hold: int | None = None

    def root_for(self, uid: int | None) -> Path:
        if uid is None or self._readable(self._installed, uid):
            return self._installed
        return self._copy(uid)

    def close(self) -> None:
        if self._hold is not None:
            os.close(self._hold)
            self._hold = None

    def _readable(self, root: Path, uid: int) -> bool:
        return (root / self._probe).exists() and all(
            blocking_folder(path, uid) is None
            for path in (root / self._probe, *(_first_file(root / part) for part in self._parts))
        )

    def _copy(self, uid: int) -> Path:
        self.close()
        name = f"tidings-program-{_fingerprint(self._installed / self._probe)}"
        # Below the data when that can be reached; a 0700 home of root cannot, and then the temporary folder can.
        target = self._copy_in / name
        if blocking_folder(target, uid) is not None:
            target = Path(tempfile.gettempdir()) / name
        if target.exists() and target.lstat().st_uid != os.geteuid():
            raise StartRefused(
                f"{target} belongs to another user.", "Remove it, and start again.", ExitCode.ENGINE_FAILED
            )
        if not self._readable(target, uid):
            self._copy_to(target)
        if (blocked := blocking_folder(target / self._probe, uid)) is not None:
            raise StartRefused(
                f"The database server's program cannot be read by the unprivileged user that runs it: {blocked}.",
                "Install Tidings where every user may read it, or start it as an ordinary user.",
                ExitCode.ENGINE_FAILED,
            )
        # systemd-tmpfiles leaves alone a folder that is locked (tmpfiles.d(5)).
        self._hold = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._hold, fcntl.LOCK_SH)
        return target

    def _copy_to(self, target: Path) -> None:
        making = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
        try:
            for part in self._parts:
                if (self._installed / part).is_dir():
                    shutil.copytree(self._installed / part, making / part, symlinks=True)
                else:
                    (making / part).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(self._installed / part, making / part)
            for folder, _, names in os.walk(making):
                Path(folder).chmod(0o755)
                for name in names:
                    file = Path(folder, name)
                    file.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)
            if target.exists():
                shutil.rmtree(target)
            try:
                making.rename(target)
            except OSError as problem:  # another start was quicker
                if problem.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                    raise
        finally:
            shutil.rmtree(making, ignore_errors=True)


def _allows(path: Path, uid: int, owner_bit: int) -> bool:
    found = path.stat()
    shift = 0 if found.st_uid == uid else 3 if found.st_gid == uid else 6
    return bool(found.st_mode & (owner_bit >> shift))


def _first_file(folder: Path) -> Path:
    return next((path for path in folder.rglob("*") if path.is_file()), folder)


def _fingerprint(program: Path) -> str:
    found = program.stat()
    return f"{found.st_size:x}-{found.st_mtime_ns:x}"

"""Has a picture made anew by a process of its own, and outlives whatever the picture does to that."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Annotated, Any, Final, Literal, get_args

import msgspec
from msgspec import Meta

from tidings.contracts.media import NotAPicture, PictureTooLarge, Variant
from tidings.platform import logs

PROGRAM: Final = "tidings.services.media.darkroom"  # never imported here: no decoder runs in this process
MOST_SAID: Final = 4096  # bytes that are read of what it says, and of what it complains of
MOST_BYTES: Final = 8 * 1024 * 1024  # of one result
TOO_MUCH: Final = frozenset({signal.SIGKILL, signal.SIGXCPU, signal.SIGALRM})
BROKEN: Final = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE})

log = logs.get_logger("media")


class Limits(msgspec.Struct, frozen=True):
    """Of one child: bytes of memory, seconds of work, bytes of one file, and seconds until we lose patience."""

    memory: int = 1024 * 1024 * 1024
    cpu: int = 20
    file: int = 64 * 1024 * 1024
    seconds: float = 30.0


NORMAL: Final = Limits()


class Developed(msgspec.Struct, frozen=True):
    """Width and height are those of `full`. `bytes`: the length of each file; `peak`: the memory that it took."""

    width: Annotated[int, Meta(ge=1, le=2048)]
    height: Annotated[int, Meta(ge=1, le=2048)]
    animated: bool
    blurhash: Annotated[str, Meta(min_length=28, max_length=28)]
    bytes: dict[Variant, Annotated[int, Meta(ge=1, le=MOST_BYTES)]]
    peak: int = 0


class DarkroomFailed(Exception):
    """Not the picture's fault. What the child complained of is in the log."""


class Darkroom:
    """Makes pictures anew, `at_once` at a time; the others wait."""

    def __init__(self, *, at_once: int = 2, limits: Limits = NORMAL) -> None:
        self._room = asyncio.Semaphore(at_once)
        self._limits = limits

    async def develop(self, source: Path, folder: Path) -> Developed:
        """Write `full.webp`, `preview.webp`, `avatar-96.webp` and `avatar-400.webp`, which are not there yet.

        Raises `NotAPicture` or `PictureTooLarge`, with a sentence for the person; `DarkroomFailed` is a fault of
        ours. Then, and when it is cancelled, neither a process nor a file is left.
        """
        async with self._room:
            try:
                return _judged(folder, *await _run(source, folder, self._limits))
            except BaseException:
                for path in _paths(folder).values():
                    path.unlink(missing_ok=True)
                raise


class _Answer(msgspec.Struct, frozen=True):
    ok: Developed | None = None
    refused: Literal["not_a_picture", "picture_too_large"] | None = None
    why: Annotated[str, Meta(max_length=300)] = ""
    peak: int = 0


async def _run(source: Path, folder: Path, limits: Limits) -> tuple[int, bytes, bytes]:
    """Its exit status, and the beginning of what it said and of what it complained of."""
    # NOTE: not by asyncio: cancelled while it starts a child, Python 3.11 waits for that without end.
    # Nor by `preexec_fn`, which is unsafe with threads: the child takes on the limits, and leaves root, by itself.
    with subprocess.Popen(
        _command(source, folder, limits),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env={},
        start_new_session=True,
    ) as child:
        give_up_at = time.monotonic() + limits.seconds
        try:
            while child.poll() is None and time.monotonic() < give_up_at:
                await asyncio.sleep(0.01)
        finally:
            if child.poll() is None:
                with suppress(ProcessLookupError, PermissionError):  # macOS, of one that ended this moment
                    os.killpg(child.pid, signal.SIGKILL)
                while child.poll() is None:
                    await asyncio.sleep(0.01)
        return child.returncode, _beginning(child.stdout), _beginning(child.stderr)


def _command(source: Path, folder: Path, limits: Limits) -> list[str]:
    # Python 3.15 would import some of Pillow later than the child may open files.
    python = [sys.executable, "-I", "-B", "-X", "lazy_imports=none", "-m", PROGRAM]
    caps = (limits.memory, limits.cpu, limits.file, math.ceil(limits.seconds) + 5)
    return [*python, *map(str, (source.absolute(), folder.absolute(), *caps))]


def _beginning(pipe: IO[bytes] | None) -> bytes:
    """What is in it, as far as it is worth reading. One who fills it has to wait, and runs out of time."""
    assert pipe is not None
    os.set_blocking(pipe.fileno(), False)
    try:
        return os.read(pipe.fileno(), MOST_SAID)
    except BlockingIOError:
        return b""


def _judged(folder: Path, status: int, said: bytes, complaint: bytes) -> Developed:
    if complaint:
        log.error("darkroom_complains", status=status, complaint=complaint.decode(errors="replace"))
    if -status in TOO_MUCH:
        raise PictureTooLarge("This picture takes more memory or time than one may. Try a smaller one.")
    if -status in BROKEN:
        log.error("decoder_broke", status=status)
        raise NotAPicture("This picture is damaged: it could not be read.")
    if status != 0:
        raise DarkroomFailed(f"the darkroom ended with {status}")

    try:
        answer = msgspec.json.decode(said, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DarkroomFailed(f"the darkroom's answer cannot be read: {error}") from error
    if answer.refused is not None:
        raise (NotAPicture if answer.refused == "not_a_picture" else PictureTooLarge)(answer.why)
    if answer.ok is None or not _are_there(folder, answer.ok.bytes):
        raise DarkroomFailed("the darkroom's results are not what it says")
    return msgspec.structs.replace(answer.ok, peak=answer.peak)


def _are_there(folder: Path, sizes: dict[Variant, int]) -> bool:
    """Whether each is a file of that length: one who broke into the child may leave a link to something else."""
    for variant, path in _paths(folder).items():
        try:
            found = path.lstat()
        except FileNotFoundError:
            return False
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size != sizes.get(variant):
            return False
    return True


def _paths(folder: Path) -> dict[Any, Path]:
    return {variant: folder / f"{variant}.webp" for variant in get_args(Variant)}

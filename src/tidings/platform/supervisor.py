"""Child processes: started with a launch on their standard input, watched, restarted, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import IO

from tidings.platform import importing, logs
from tidings.platform.data_directory import ExitCode, StartRefused
from tidings.platform.engines.unprivileged import ends_with_us
from tidings.platform.launch import Launch

log = logs.get_logger("supervisor")

READY = b"ready\n"
START_TIME = 30.0  # seconds
STOP_TIME = 6.0


class Child:
    """One process of the topology. It says `ready` on its standard output, and ends when its input does."""

    def __init__(self, launch: Launch, module: str) -> None:
        self.launch = launch
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    async def start(self) -> None:
        """Return when it serves. `StartRefused` if it ends first, or takes too long."""
        fds = [fd for fd in (self.launch.public_fd, self.launch.metrics_fd) if fd is not None]
        said, why = b"", "no answer"
        try:
            # In this thread: the kernel ends the child with the thread that started it.
            self._process = process = subprocess.Popen(
                [sys.executable, "-m", importing.__name__, self._module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=fds,
                start_new_session=True,
                preexec_fn=ends_with_us(signal.SIGKILL),
            )
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(self.launch.encode() + b"\n")
            process.stdin.flush()
            async with asyncio.timeout(START_TIME):
                said = await _line(process.stdout)
        except (TimeoutError, OSError) as error:  # no room for a process, or it ended before it read
            why = str(error) or "no answer in time"
        if said != READY:
            await self.stop()
            status = self._process.returncode if self._process is not None else None
            raise StartRefused(
                f"The process {self.launch.process!r} did not start ({why}; exit status {status}).",
                "Its log, in the data directory under logs/, says why; or start again with --log-to stderr.",
                ExitCode.PROCESS_FAILED,
            )

    async def stop(self) -> None:
        """Ask it to end, then end it."""
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIME
        while process.poll() is None and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        if process.poll() is None:
            log.error("child_killed", process=self.launch.process)
            process.kill()
        await asyncio.to_thread(process.wait)
        if process.stdout is not None:
            process.stdout.close()

    async def watch(self, tell: Callable[[str], None]) -> None:
        """Restart it whenever it ends by itself, until cancelled; `tell` gets a line about it."""
        pause = 0.1
        while True:
            began = time.monotonic()
            while self._process is not None and self._process.poll() is None:
                await asyncio.sleep(0.1)
            status = self._process.returncode if self._process is not None else None
            log.error("child_died", process=self.launch.process, status=status)
            pause = 0.1 if time.monotonic() - began > 30 else min(pause * 2, 10.0)
            await asyncio.sleep(pause)
            try:
                await self.stop()
                await self.start()
                log.warning("child_restarted", process=self.launch.process)
                tell(f"The process {self.launch.process} ended (status {status}) and was restarted.")
            except StartRefused as refused:
                log.error("child_restart_failed", process=self.launch.process, reason=refused.message)
                tell(f"{refused.message} Trying again.")


class Supervisor:
    """All children of one installation, started together."""

    def __init__(
        self, launches: Mapping[str, Launch], module: str, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self.children = {name: Child(launch, module) for name, launch in launches.items()}
        self._tell = tell
        self._watches: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start every child; the first that fails stops all."""
        try:
            await asyncio.gather(*(child.start() for child in self.children.values()))
        except BaseException:
            await self.stop()
            raise
        self._watches = [
            asyncio.create_task(child.watch(self._tell), name=f"watch {name}")
            for name, child in self.children.items()
        ]

    async def stop(self) -> None:
        """The front first, so that nobody is refused half-way; then the rest."""
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        fronts = [child for child in self.children.values() if child.launch.front]
        rest = [child for child in self.children.values() if not child.launch.front]
        for group in (fronts, rest):
            await asyncio.gather(*(child.stop() for child in group))


def handed_launch(source: IO[bytes]) -> Launch:
    """The launch that a parent wrote to this process's standard input."""
    return Launch.decode(source.readline())


async def until_orphaned(fd: int) -> None:
    """Return when the parent closed its end of our standard input, by ending for instance."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def readable() -> None:
        if not os.read(fd, 4096) and not ended.done():
            ended.set_result(None)

    os.set_blocking(fd, False)
    loop.add_reader(fd, readable)
    try:
        await ended
    finally:
        loop.remove_reader(fd)


async def _line(stream: IO[bytes]) -> bytes:
    """One line from a pipe, without blocking the loop."""
    loop = asyncio.get_running_loop()
    line: asyncio.Future[bytes] = loop.create_future()
    got = bytearray()

    def readable() -> None:
        part = os.read(stream.fileno(), 4096)
        got.extend(part)
        if (not part or b"\n" in got) and not line.done():
            line.set_result(bytes(got))

    loop.add_reader(stream.fileno(), readable)
    try:
        return await line
    finally:
        loop.remove_reader(stream.fileno())

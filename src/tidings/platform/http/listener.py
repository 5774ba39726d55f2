"""A listener that starts and stops inside a running loop, and that cuts clients which take too long."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tidings.platform.data_directory import ExitCode, StartRefused


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the supervisor."""
        yield


def patient_for(header_timeout: float, most_connections: int) -> type[HttpToolsProtocol]:
    """A protocol that closes a connection whose request line and headers are not complete in time (seconds).

    Connections beyond `most_connections` are closed at once, so that those inside are served.
    """

    class Patient(HttpToolsProtocol):
        """Cuts slow clients: the server's own keep-alive time-out covers idle connections after an answer only."""

        _waiting: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > most_connections:
                transport.abort()
                return
            self._wait()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._wait()

        def on_headers_complete(self) -> None:
            self._stop_waiting()
            super().on_headers_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def _wait(self) -> None:
            if self._waiting is None:
                self._waiting = self.loop.call_later(header_timeout, self._cut)

        def _stop_waiting(self) -> None:
            if self._waiting is not None:
                self._waiting.cancel()
                self._waiting = None

        def _cut(self) -> None:
            self._waiting = None
            if not self.transport.is_closing():
                self.transport.close()

    return Patient


class Listener:
    """One bound socket and the server behind it."""

    def __init__(
        self,
        app: Any,
        bound: socket.socket,
        *,
        idle_timeout: float,
        header_timeout: float,
        most_connections: int = 10_000,
    ) -> None:
        self.socket = bound
        config = uvicorn.Config(
            app,
            http=patient_for(header_timeout, most_connections),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            timeout_keep_alive=int(idle_timeout),
            timeout_graceful_shutdown=2,
            backlog=2048,
            h11_max_incomplete_event_size=65536,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The TCP port; 0 for a Unix socket."""
        name = self.socket.getsockname()
        return int(name[1]) if isinstance(name, tuple) else 0

    async def start(self) -> None:
        """Return once requests are accepted."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self.socket]), name="listener")
        while not self._server.started:
            if self._task.done():
                await self._task
                raise RuntimeError("the listener ended before it started")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Finish what is under way, two seconds at most, then close."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        self.socket.close()


def bind_tcp(host: str, port: int, *, setting: str = "--port") -> socket.socket:
    """A bound TCP socket. `StartRefused` says what to do when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host.strip("[]"), port))
    except OSError as error:
        bound.close()
        raise StartRefused(
            f"Port {port} on {host} cannot be used: {error.strerror or error}.",
            f"Stop what listens there, or choose another with {setting} N.",
            ExitCode.PORT_TAKEN,
        ) from error
    bound.setblocking(False)
    return bound


def bind_unix(path: Path) -> socket.socket:
    """A bound Unix socket that only its owner can open; a stale one is replaced."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.stat().st_mode):
            path.unlink()
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bound.bind(str(path))
    path.chmod(0o600)
    bound.setblocking(False)
    return bound

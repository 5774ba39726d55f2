"""A listener that starts and stops inside a running loop, and that cuts clients which take too long."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import stat
from collections.abc import Hashable, Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Protocol

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tidings.platform import tracing
from tidings.platform.contract import Refusal
from tidings.platform.data_directory import ExitCode, StartRefused
from tidings.platform.http.problems import MEDIA_TYPE, BadRequest, HeadersTooLarge, problem_body

MOST_HEADERS = 65_536  # bytes of a request line and its headers
MOST_UNREAD = 4_194_304  # bytes of a body that come after its answer
COPIED = 65_536  # bytes of a body that are copied behind their head; more go by themselves
TOO_LONG = f"The address and the headers may have {MOST_HEADERS} bytes together."


KEY: Final = "tidings.key"  # in the scope: by this the response may be given again


class Repeats(Protocol):
    """What knows responses that can be given at once, without asking the application."""

    def key_of(self, url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> Hashable: ...

    def given(self, key: Any, headers: Sequence[tuple[bytes, bytes]]) -> tuple[bytes, bytes] | None:
        """Status line, head (each line with its end, but no date) and body."""
        ...


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the supervisor."""
        yield


class _Together:
    """The transport for one response, as far as the server uses it: what is written first, the head, goes with what
    is written next in that turn. The server writes a body for each head, if an empty one, but for HEAD.

    Each would be a system call and a packet of its own, and wake the client once more.
    """

    __slots__ = ("_held", "_is_first", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""
        self._is_first = True

    def write(self, data: bytes) -> None:
        if self._is_first:
            self._is_first, self._held = False, data
            self._loop.call_soon(self._let_go)
            return
        if len(data) <= COPIED:
            held, self._held = self._held, b""
            data = held + data if held else data
        else:
            self._let_go()
        self._transport.write(data)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self._let_go()
        self._transport.close()

    def _let_go(self) -> None:
        held, self._held = self._held, b""
        if held and not self._transport.is_closing():
            self._transport.write(held)


def patient_for(
    header_timeout: float, most_connections: int, repeats: Repeats | None = None
) -> type[HttpToolsProtocol]:
    """A protocol that closes a connection whose request line and headers are not complete in time (seconds).

    The rest of a body that was answered before its end is dropped, for the same time and up to `MOST_UNREAD`
    bytes: a connection that is closed while its client still sends loses the answer (RFC 9112, section 9.6).
    Connections beyond `most_connections` are closed at once, so that those inside are served.

    What `repeats` knows is written at once, without a task, if the connection has nothing else under way.
    """

    class Patient(HttpToolsProtocol):
        """Cuts slow clients: the server's own keep-alive time-out covers idle connections after an answer only."""

        _waiting: asyncio.TimerHandle | None = None
        _in_headers = False
        _in_message = False
        _header_bytes = 0
        _unread_bytes = 0
        _too_long = False
        _given = False

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > most_connections:
                transport.abort()
                return
            self._wait()

        def data_received(self, data: bytes) -> None:
            began_in_headers = self._in_headers
            super().data_received(data)
            if self.transport.is_closing():
                return
            if self._in_headers:
                self._wait()
                # The parser keeps whatever comes; a request line and headers without end would fill the memory.
                self._header_bytes += len(data) if began_in_headers else 0
                if self._header_bytes > MOST_HEADERS:
                    self._refuse(HeadersTooLarge(TOO_LONG))
            if self._in_message and not self._in_headers and self._answered():
                self._unread_bytes += len(data)
                if self._unread_bytes > MOST_UNREAD:
                    self.transport.close()
            if not self._in_message and self.timeout_keep_alive_task is None and self._answered():
                self._wait()  # empty lines between requests put the keep-alive timer out

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._unset_keepalive_if_required()  # what came before in the same packet may have been given
            self._in_headers = self._in_message = True

        def on_headers_complete(self) -> None:
            self._in_headers, self._header_bytes = False, 0
            self._stop_waiting()
            if repeats is not None and self.parser.get_method() == b"GET":
                key = repeats.key_of(self.url, self.headers)
                if self._idle() and self._give(repeats, key):
                    return
                self.scope[KEY] = key  # type: ignore[typeddict-unknown-key]
            if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MOST_HEADERS:
                self._too_long = True
                raise ValueError(TOO_LONG)  # ends in send_400_response
            super().on_headers_complete()

        def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
            # A head without a body would wait where the next answer passes it.
            if cycle.scope["method"] != "HEAD":
                cycle.transport = _Together(self.transport, self.loop)  # type: ignore[assignment]
            super()._start_asgi_task(cycle, app)

        def _idle(self) -> bool:
            """Whether a response may be written now, and another request may follow it."""
            return (
                self._answered()
                and not self.flow.write_paused
                and self.parser.get_http_version() == "1.1"
                and self.parser.should_keep_alive()
                and not self.parser.should_upgrade()
                and not self.transport.is_closing()
            )

        def _give(self, repeats: Repeats, key: Hashable) -> bool:
            found = repeats.given(key, self.headers)
            if found is None:
                return False
            head, body = found
            status, _, lines = head.partition(b"\r\n")
            dated = b"".join(b"%b: %b\r\n" % one for one in self.server_state.default_headers)
            self.transport.write(b"%b\r\n%b%b\r\n%b" % (status, dated, lines, body))
            self._given = True
            return True

        def on_message_complete(self) -> None:
            if self._given:
                self._given = self._in_message = False
                self.server_state.total_requests += 1
                self._unset_keepalive_if_required()
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )
                return
            super().on_message_complete()
            self._in_message, self._unread_bytes = False, 0
            self._stop_waiting()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self._in_message and not self._in_headers and not self.pipeline:
                self._wait()  # for the rest of a body that was answered before its end

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def send_400_response(self, msg: str) -> None:
            unread = BadRequest("That is not a request that HTTP/1.1 knows.")
            self._refuse(HeadersTooLarge(TOO_LONG) if self._too_long else unread)

        def _refuse(self, refusal: Refusal) -> None:
            """What can't be handed to the application is refused here, in the same words as elsewhere."""
            with tracing.span("refused", kind="server"):
                body = problem_body(refusal)
            head = (
                f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}\r\n"
                f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
                "cache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode("ascii") + body)
            self.transport.close()

        def _answered(self) -> bool:
            return self.cycle is None or self.cycle.response_complete

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
        repeats: Repeats | None = None,
    ) -> None:
        self.socket = bound
        config = uvicorn.Config(
            app,
            http=patient_for(header_timeout, most_connections, repeats),
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
        bound.listen(2048)  # two that start at once can both bind; one can listen
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

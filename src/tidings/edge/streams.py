"""Server-sent events (HTML standard, 9.2), made of one internal call that is asked again and again."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import msgspec

from tidings.platform import logs
from tidings.platform.contract import Refusal

EVENT_STREAM: Final = "text/event-stream"
RETRY_MS: Final = 1000
LOOK_EVERY: Final = 1.0  # seconds
HEARTBEAT: Final = 12.0  # seconds; proxies cut what is silent for longer

log = logs.get_logger("edge")


class _Heard(msgspec.Struct):
    """What the edge has to know of an answer; the rest passes through as it is."""

    last: str
    changed: list[str] = []
    resync: bool = False


class EventStream:
    """`listen(last)` answers as soon as something changed after `last`, or after a few seconds with nothing.

    Between two answers `still_signed_in` is asked, at most every second, so a stream ends within seconds of its
    session.
    """

    def __init__(
        self,
        listen: Callable[[str | None], Awaitable[bytes]],
        still_signed_in: Callable[[], Awaitable[bool]],
        first: bytes,
        given: str | None,
    ) -> None:
        self._listen = listen
        self._still_signed_in = still_signed_in
        self._first = first
        self._given = given

    async def events(self) -> AsyncIterator[bytes]:
        """The bytes of the stream, until the listener is signed out or a service is away: then come again."""
        body, last = self._first, self._given
        heard = msgspec.json.decode(body, type=_Heard)
        yield f"retry: {RETRY_MS}\n\n".encode()
        if not (heard.changed or heard.resync):
            yield _event("hello", heard.last, body)
        said_at = looked_at = time.monotonic()
        try:
            while True:
                if heard.changed or heard.resync:
                    yield _event("resync" if heard.resync else "changed", heard.last, body)
                    said_at = time.monotonic()
                elif time.monotonic() - said_at > HEARTBEAT:
                    yield b": still here\n\n"
                    said_at = time.monotonic()
                last = heard.last
                body = await self._listen(last)
                if time.monotonic() - looked_at >= LOOK_EVERY:  # whoever hears much is not asked after each time
                    if not await self._still_signed_in():
                        return
                    looked_at = time.monotonic()
                heard = msgspec.json.decode(body, type=_Heard)
        except Refusal as refusal:
            log.info("stream_ended", why=refusal.code)
            yield b"event: closed\ndata: {}\n\n"


def _event(name: str, event_id: str, body: bytes) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (event_id.encode(), name.encode(), body)

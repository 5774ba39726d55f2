"""What one client has seen: versions of its own writes, and how new was what it was shown. A token carries it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import Final
from uuid import UUID

import msgspec

from tidings.platform import clock
from tidings.platform.scoped import scoped

HEADER: Final = "Tidings-Seen"
KEPT_NS: Final = 10_000_000_000  # a position; by then every cache has long let go of what is older
STAMPED_NS: Final = 2_000_000_000  # a stamp: no cached entry rests on a beat that is older than that
MOST: Final = 64  # positions


class Position(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One write: the version that it gave to somebody's things in one service, and when (ns since 1970)."""

    service: str
    subject: UUID
    version: int
    at_ns: int


class Known(msgspec.Struct, frozen=True, array_like=True):
    """A client's knowledge at one moment. `stamps`: by service, no earlier than what was shown of it (ns).

    A stamp is of the service's own clock, the one that its beats tell.
    """

    positions: tuple[Position, ...] = ()
    stamps: dict[str, int] = {}


class Gathered(msgspec.Struct, frozen=True, array_like=True):
    """What goes back with an answer: all that was gathered for it, and when it had been made (ns since 1970)."""

    known: Known = Known()
    ended_ns: int = 0


_encode = msgspec.msgpack.Encoder(uuid_format="bytes").encode
_decode = msgspec.msgpack.Decoder(Known).decode
_decode_gathered = msgspec.msgpack.Decoder(Gathered).decode


class Seen:
    """Gathers, while one request is answered, what its client will have seen; begins with what it had.

    Not frozen: the parts of a composite run at the same time and all write into the one of their request.
    """

    def __init__(self, *brought: Known) -> None:
        self._positions: dict[tuple[str, UUID], Position] = {}
        self._shown: dict[str, int] = {}
        stamps: dict[str, int] = {}
        for known in brought:
            for position in known.positions:
                self._note(position)
            for service, stamp in known.stamps.items():
                stamps[service] = merged(stamps.get(service, 0), stamp)
        self._brought = Known(tuple(self._positions.values()), stamps)

    def versions(self, service: str) -> dict[UUID, int]:
        """By subject: what is older than this version is older than a write of the client's own."""
        if not self._positions:
            return {}
        return {subject: one.version for (name, subject), one in self._positions.items() if name == service}

    def wrote_ns(self, service: str) -> int:
        """When the newest of those writes had been committed (ns since 1970); 0: there are none."""
        return max([one.at_ns for one in self._positions.values() if one.service == service], default=0)

    def concerns(self, service: str) -> bool:
        """Whether the client has just seen or written something there: its next answer has to be as new."""
        since = time.time_ns() - STAMPED_NS
        return self._brought.stamps.get(service, 0) > since or any(
            one.service == service and one.at_ns > since for one in self._positions.values()
        )

    def stamp(self, service: str) -> int:
        """What was read of that service before this time is older than what the client had seen; 0: anything goes.

        What is shown to it in this very request does not count: the parts of one answer are read side by side.
        """
        return self._brought.stamps.get(service, 0)

    def wrote(self, service: str, subject: UUID, version: int, *, now_ns: int | None = None) -> None:
        """The client's own write has been committed."""
        self._note(Position(service, subject, version, now_ns or clock.stamp_ns()))

    def shown(self, service: str, stamp_ns: int) -> None:
        """The client is shown what was read of a service; the read ended then, by that service's clock."""
        self._shown[service] = merged(self._shown.get(service, 0), stamp_ns)

    @property
    def stamps_shown(self) -> dict[str, int]:
        """By service, of what was shown in this request."""
        return dict(self._shown)

    def learn(self, known: Known) -> None:
        """All that somebody else gathered for the same request."""
        for position in known.positions:
            self._note(position)
        for service, stamp in known.stamps.items():
            self.shown(service, stamp)

    def known(self, now_ns: int | None = None) -> Known:
        """What is worth carrying on: the last seconds; of many writes the oldest become their service's stamp."""
        newest = dict(self._brought.stamps)
        for service, stamp in self._shown.items():
            newest[service] = max(stamp, newest.get(service, 0))
        return self._carried(newest, now_ns)

    def refused(self, services: Iterable[str]) -> Seen:
        """For a refusal: what the client had when it came, and that it may have been shown anything.

        Not what was asked: it would tell of whom.
        """
        later = Seen(self._brought)
        for service in services:
            later.shown(service, clock.stamp_ns() + clock.SKEW_NS | 1)  # of clocks that are not ours
        return later

    def forward(self) -> bytes:
        """For who is asked in the course of this request: all writes, and what the client had seen before."""
        return _encode(self._carried(self._brought.stamps))

    def back(self, ended_ns: int = 0) -> bytes:
        """For who asked: `Gathered`. What it brought it has."""
        return _encode(Gathered(self._carried(self._shown), ended_ns))

    def _carried(self, stamps: Mapping[str, int], now_ns: int | None = None) -> Known:
        now = now_ns or time.time_ns()
        kept = {service: stamp for service, stamp in stamps.items() if now - stamp < STAMPED_NS}
        if not self._positions:  # most clients have written nothing of late
            return Known((), kept)
        recent = sorted(
            (one for one in self._positions.values() if now - one.at_ns < KEPT_NS), key=lambda one: -one.at_ns
        )
        for folded in recent[MOST:]:
            if now - folded.at_ns < STAMPED_NS:
                kept[folded.service] = merged(kept.get(folded.service, 0), folded.at_ns | 1)
        return Known(tuple(recent[:MOST]), kept)

    def _note(self, position: Position) -> None:
        key = (position.service, position.subject)
        held = self._positions.get(key)
        if held is None or held.version < position.version:
            self._positions[key] = position


def merged(one: int, other: int) -> int:
    """A stamp that is as new as both. Odd, if they differ: no single read is as new, so no entry is just that read.

    Of two reads the one that ended last may have begun first, and have seen less.
    """
    return one if one == other else max(one, other) | (1 if one and other else 0)


def decoded(raw: bytes) -> Known:
    """What who asks handed on. `msgspec.DecodeError` if it is none."""
    return _decode(raw) if raw else Known()


def gathered(raw: bytes) -> Gathered:
    """What came back with an answer. `msgspec.DecodeError` if it is none."""
    return _decode_gathered(raw) if raw else Gathered()


_seen: ContextVar[Seen | None] = ContextVar("tidings_seen", default=None)


def seen() -> Seen:
    """The knowledge of the request being answered; outside of one, some that nobody will ask for."""
    return _seen.get() or Seen()


def seeing(here: Seen) -> scoped[Seen]:
    """Gather into `here` within the block."""
    return scoped(_seen, here)

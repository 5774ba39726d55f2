"""What one client has seen: versions of its own writes, and how new was what it was shown. A token carries it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Final, TypeAlias
from uuid import UUID

import msgspec

from tidings.platform import clock
from tidings.platform.scoped import scoped

HEADER: Final = "Tidings-Seen"
KEPT_NS: Final = 10_000_000_000  # a position; by then every cache has long let go of what is older
STAMPED_NS: Final = 2_000_000_000  # a stamp, and news: no cached entry rests on a beat that is older than that
MOST: Final = 64  # positions
MOST_NEWS: Final = 4  # positions of what was shown


class Position(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A version that somebody's things had in one service, and when it was written, or read (ns since 1970)."""

    service: str
    subject: UUID
    version: int
    at_ns: int


class Known(msgspec.Struct, frozen=True, array_like=True):
    """A client's knowledge at one moment: its own writes, and by service a stamp (ns) of what it was shown.

    That was read no later than the stamp, by the service's own clock, the one that its beats tell; but for `news`:
    what others wrote since, as far as it was shown.
    """

    positions: tuple[Position, ...] = ()
    stamps: dict[str, int] = {}
    news: tuple[Position, ...] = ()


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
        self._positions: _Newest = {}
        self._shown: dict[str, int] = {}
        self._news_shown: _Newest = {}
        stamps: dict[str, int] = {}
        news: _Newest = {}
        for known in brought:
            for position in known.positions:
                _note(self._positions, position)
            for service, stamp in known.stamps.items():
                stamps[service] = merged(stamps.get(service, 0), stamp)
            for one in known.news:
                _note(news, one)
        self._brought = Known(tuple(self._positions.values()), stamps, tuple(news.values()))

    def versions(self, service: str) -> dict[UUID, int]:
        """By subject: what is older than this version is older than a write that the client has made, or was shown.

        What is shown to it in this very request does not count, as with `stamp`.
        """
        found = self.written(service)
        for one in self._brought.news:
            if one.service == service:
                found[one.subject] = max(one.version, found.get(one.subject, 0))
        return found

    def written(self, service: str) -> dict[UUID, int]:
        """The client's own writes of these alone."""
        if not self._positions:  # most have written nothing of late
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
        _note(self._positions, Position(service, subject, version, now_ns or clock.stamp_ns()))

    def shown(self, service: str, stamp_ns: int) -> None:
        """The client is shown what was read of a service; the read ended then, by that service's clock."""
        self._shown[service] = merged(self._shown.get(service, 0), stamp_ns)

    def shown_news(self, news: Iterable[Position]) -> None:
        """The client is shown what these writes left, and nothing of their subjects that is newer."""
        for one in news:
            _note(self._news_shown, one)

    @property
    def shown_here(self) -> Known:
        """What was shown in this request."""
        return Known((), dict(self._shown), tuple(self._news_shown.values()))

    def learn(self, known: Known) -> None:
        """All that somebody else gathered for the same request."""
        for position in known.positions:
            _note(self._positions, position)
        for service, stamp in known.stamps.items():
            self.shown(service, stamp)
        self.shown_news(known.news)

    def known(self, now_ns: int | None = None) -> Known:
        """What is worth carrying on: the last seconds; of many writes the oldest become their service's stamp."""
        newest = dict(self._brought.stamps)
        for service, stamp in self._shown.items():
            newest[service] = max(stamp, newest.get(service, 0))
        return self._carried(newest, self._all_news(), now_ns)

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
        return _encode(self._carried(self._brought.stamps, self._brought.news))

    def back(self, ended_ns: int = 0) -> bytes:
        """For who asked: `Gathered`. What it brought it has."""
        return _encode(Gathered(self._carried(self._shown, tuple(self._news_shown.values())), ended_ns))

    def _all_news(self) -> Sequence[Position]:
        if not self._brought.news:
            return tuple(self._news_shown.values())
        news = dict(self._news_shown)
        for one in self._brought.news:
            _note(news, one)
        return tuple(news.values())

    def _carried(self, stamps: Mapping[str, int], news: Sequence[Position], now_ns: int | None = None) -> Known:
        now = now_ns or time.time_ns()
        kept = {service: stamp for service, stamp in stamps.items() if now - stamp < STAMPED_NS}
        if news:
            recently = [one for one in news if now - one.at_ns < STAMPED_NS]
            news = [one for one in recently if not _says_as_much(kept.get(one.service, 0), one)]
            news = _folded(sorted(news, key=lambda one: -one.at_ns), MOST_NEWS, kept)
        if not self._positions:
            return Known((), kept, tuple(news))
        recent = sorted(
            (one for one in self._positions.values() if now - one.at_ns < KEPT_NS), key=lambda one: -one.at_ns
        )
        return Known(tuple(_folded(recent, MOST, kept, since=now - STAMPED_NS)), kept, tuple(news))


_Newest: TypeAlias = dict[tuple[str, UUID], Position]


def _note(newest: _Newest, position: Position) -> None:
    key = (position.service, position.subject)
    held = newest.get(key)
    if held is None or held.version < position.version:
        newest[key] = position


def _says_as_much(stamp: int, one: Position) -> bool:
    """Who has such a stamp is shown no less; unless it may be a single read's own, which may have seen less."""
    return stamp >= one.at_ns and stamp % 2 == 1


def _folded(newest: list[Position], most: int, stamps: dict[str, int], *, since: int = 0) -> list[Position]:
    """The first so many; of the others, their services' stamps are as new as those after `since`."""
    for one in newest[most:]:
        if one.at_ns > since:
            stamps[one.service] = merged(stamps.get(one.service, 0), one.at_ns | 1)
    return newest[:most]


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

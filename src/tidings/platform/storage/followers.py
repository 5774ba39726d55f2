"""Who in this process has to know what a write did: its client, the relay, and those who keep answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias
from uuid import UUID

import msgspec

from tidings.platform.clock import stamp_ns
from tidings.platform.occurrence import Occurred
from tidings.platform.seen import seen
from tidings.platform.telling import Telling


class Happened(msgspec.Struct, frozen=True):
    """What a commit announced: whose version rose in it, and whether somebody may see less from now on.

    `stirs`: of whose things something else changed, see `Event`. `tells`: what nobody here has to ask for.
    """

    subject: UUID
    version: int
    takes_away: bool
    stirs: tuple[UUID, ...] = ()
    tells: tuple[Telling, ...] = ()


class Follower(Protocol):
    """Who has to know what the writes of this process did."""

    async def committed(self, happened: Sequence[Happened]) -> None:
        """It was committed, and is acknowledged when this returns: no later than a write may take, and no error."""

    def in_doubt(self, happened: Sequence[Happened]) -> None:
        """It may have been committed; nobody knows."""

    async def settled(self) -> None:
        """Return when all that was committed by now may be acknowledged."""


Hand: TypeAlias = Callable[[Sequence[Occurred]], None]

_listeners: dict[str, set[Hand]] = {}
_followers: dict[str, set[Follower]] = {}


def on_announced(dsn: str, hand: Hand) -> Callable[[], None]:
    """Call `hand` after each commit in this process with which something was announced there; how to end that.

    It is given what was announced, or nothing where only the outbox tells.
    """
    _listeners.setdefault(dsn, set()).add(hand)

    def stop() -> None:
        _listeners[dsn].discard(hand)

    return stop


def follow(dsn: str, follower: Follower) -> Callable[[], None]:
    """Let it know of each write in this process to that database; how to end that."""
    _followers.setdefault(dsn, set()).add(follower)

    def stop() -> None:
        _followers[dsn].discard(follower)

    return stop


def wake_relay(dsn: str, rows: Sequence[Occurred] = ()) -> None:
    """A commit has left rows in the outbox there: these, if they are known."""
    for hand in _listeners.get(dsn, ()):
        hand(rows)


async def announced(service: str, dsn: str, happened: Sequence[Happened], rows: Sequence[Occurred] = ()) -> None:
    """A write was committed: the relay is woken, its client is credited, and those who keep answers are told."""
    wake_relay(dsn, rows)
    for one in happened:
        seen().wrote(service, one.subject, one.version)
    for follower in tuple(_followers.get(dsn, ())):
        await follower.committed(happened)


def in_doubt(service: str, dsn: str, happened: Sequence[Happened]) -> None:
    """The answer to a commit was lost. Whoever retries may find it done, and nothing more to do."""
    wake_relay(dsn)
    for follower in tuple(_followers.get(dsn, ())):
        follower.in_doubt(happened)


async def unchanged(service: str, dsn: str) -> None:
    """A write found nothing to do. A retry is acknowledged no sooner than what it repeats, and sees no less."""
    for follower in tuple(_followers.get(dsn, ())):
        await follower.settled()
    seen().shown(service, stamp_ns())

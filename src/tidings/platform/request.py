"""The request that is being answered: who asks, until when, under which trace, and with which conditions."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import Literal
from uuid import UUID

import msgspec

from tidings.platform.contract import Stale
from tidings.platform.scoped import scoped

Versions = list[int] | Literal["*"]


class Viewer(msgspec.Struct, frozen=True):
    """Who asks. `user_id` is None for a stranger and for the operator at the command line."""

    user_id: UUID | None = None
    role: Literal["stranger", "member", "administrator", "operator"] = "stranger"
    session_id: UUID | None = None

    @property
    def known(self) -> UUID:
        """The id of a signed-in person. A route for members is never reached without one."""
        if self.user_id is None:
            raise LookupError("this request has no signed-in person")
        return self.user_id


class Idempotency(msgspec.Struct, frozen=True):
    """An Idempotency-Key, whose it is, and a digest of what was asked under it."""

    scope: str
    key: str
    fingerprint: bytes


class Request(msgspec.Struct, frozen=True):
    """What travels beside the ask, from the edge through every internal call."""

    viewer: Viewer
    caller: str
    deadline: float  # time.monotonic() of this process
    idempotency: Idempotency | None = None
    if_match: Versions | None = None
    address: str = ""  # of who asks in public, as far as the edge believes it

    def remaining(self) -> float:
        """Seconds left; not positive when the time is up."""
        return self.deadline - time.monotonic()

    def check_version(self, current: int) -> None:
        """Refuse with `Stale` if If-Match names versions and `current` is none of them (RFC 9110, 13.1.1)."""
        if self.if_match is None or self.if_match == "*":
            return
        if current not in self.if_match:
            raise Stale(f"It is at version {current} now. Read it again, then repeat the change.")


_current: ContextVar[Request | None] = ContextVar("tidings_request", default=None)
_reacting: ContextVar[UUID | None] = ContextVar("tidings_reacting", default=None)
_writing: ContextVar[str | None] = ContextVar("tidings_writing", default=None)


def current() -> Request:
    """The request being answered. Outside of one (a background task), a fault."""
    request = _current.get()
    if request is None:
        raise LookupError("no request is being answered here")
    return request


def answering(request: Request) -> scoped[Request]:
    """Make `request` the current one within the block."""
    return scoped(_current, request)


def reacting(event_id: UUID) -> scoped[UUID]:
    """Mark that a reaction to this event runs: its write is made once, however often the event comes."""
    return scoped(_reacting, event_id)


def reacting_to() -> UUID | None:
    """The event that is being reacted to here, if any."""
    return _reacting.get()


def writing(database: str) -> scoped[str]:
    """Mark that a transaction is open: nothing remote may happen until it ends."""
    return scoped(_writing, database)


def refuse_remote(what: str) -> None:
    """A fault if a transaction is open here: it would be held for as long as another service takes."""
    database = _writing.get()
    if database is not None:
        raise RuntimeError(f"{what} was called while a transaction on {database} is open; call before or after it")

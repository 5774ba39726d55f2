"""What an open write holds and says, on whichever engine: fences, events for the outbox, the answer to keep."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final, NoReturn
from uuid import UUID

import msgspec

from tidings.platform import tracing
from tidings.platform.clock import now_ms
from tidings.platform.contract import Event, KeyReused, Route, Served, Value
from tidings.platform.ids import uuid7
from tidings.platform.occurrence import Occurred
from tidings.platform.request import Idempotency
from tidings.platform.service import Replayed, served
from tidings.platform.storage.followers import Happened
from tidings.platform.telling import Telling

KEPT: Final = timedelta(hours=24)  # how long an Idempotency-Key is remembered


class Fence(msgspec.Struct, frozen=True):
    """A subject's fence, held: whether they may write or be written to, and their version.

    `last_ms` is the millisecond of the newest id that was minted for them.
    """

    state: str
    version: int
    last_ms: int


class Announced(msgspec.Struct, frozen=True):
    """A row of the outbox: `body` is JSON."""

    id: UUID
    event: str
    subject: UUID
    version: int
    body: str
    trace: str | None


class Saying:
    """What a transaction will have said once it is committed. An engine's write handle extends it."""

    def __init__(self) -> None:
        self._announced: list[Announced] = []
        self._happened: list[Happened] = []
        self._answer: Served | None = None

    def announce(
        self, event: Event, *, subject: UUID, version: int, body: Value, tells: tuple[Telling, ...] = ()
    ) -> None:
        """Write the outbox row of what happened, in this very commit. `tells`: what is answered from then on."""
        if not isinstance(body, event.body):
            raise TypeError(f"{event.name} carries {event.body.__name__}, not {type(body).__name__}")
        self._announced.append(
            Announced(
                id=uuid7(now_ms()),
                event=event.name,
                subject=subject,
                version=version,
                body=msgspec.json.encode(body).decode(),
                trace=tracing.traceparent(),
            )
        )
        self._happened.append(Happened(subject, version, event.takes_away, event.stirred(body), tells))

    @property
    def announced(self) -> Sequence[Announced]:
        """The outbox rows."""
        return self._announced

    def occurred(self) -> list[Occurred]:
        """The same, as they travel once they are committed."""
        return [
            Occurred(one.id, one.event, one.subject, one.version, msgspec.Raw(one.body.encode()), one.trace)
            for one in self._announced
        ]

    @property
    def happened(self) -> Sequence[Happened]:
        """What others will hear of, once it is committed."""
        return self._happened

    def answers(self, route: Route[Any, Any], reply: Any) -> None:
        """Keep the answer under the request's Idempotency-Key, if it has one."""
        self._answer = served(route, reply)

    def answered(self) -> Served:
        """What was kept. A fault where a request with a key is about to be committed without it."""
        if self._answer is None:
            raise RuntimeError("a request with an Idempotency-Key was committed without its answer")
        return self._answer


def replay(claim: Idempotency, *, fingerprint: bytes, reply: bytes) -> NoReturn:
    """Answer a retry as the first time. Raises `Replayed`, or `KeyReused` when something else is asked."""
    if fingerprint != claim.fingerprint:
        raise KeyReused("This Idempotency-Key was used for another request. Take a new one.")
    raise Replayed(msgspec.json.decode(reply, type=Served))

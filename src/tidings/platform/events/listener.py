"""Reactions of a service without a database: each event as it passes, and word when some may have been missed."""

from __future__ import annotations

import time
from typing import Any, Protocol, runtime_checkable

import msgspec

from tidings.platform import logs, tracing
from tidings.platform.events.bus import Bus
from tidings.platform.occurrence import Occurred, Occurrence
from tidings.platform.request import Request, Viewer, answering
from tidings.platform.service import ServiceKind

log = logs.get_logger("listener")

DEADLINE = 5.0


@runtime_checkable
class Hears(Protocol):
    """What such a service holds: it can do without what it missed, once it knows."""

    def missed(self) -> None: ...


class Listener:
    """One service's reactions, kept in memory only."""

    def __init__(self, kind: ServiceKind[Any], holder: Any) -> None:
        if not isinstance(holder, Hears):
            raise TypeError(f"{kind.name} reacts without a database, so what it holds needs `missed()`")
        self._kind = kind
        self._holder = holder

    def gap(self) -> None:
        """The connection was lost or came back: what passed meanwhile is not known."""
        self._holder.missed()

    async def listen(self, bus: Bus) -> None:
        """Hear from now on; what was before is unknown."""
        await bus.hear(sorted(self._kind.reactions), self.heard)
        self._holder.missed()

    async def heard(self, content: bytes) -> None:
        """React. A reaction that fails has missed its event."""
        try:
            one = msgspec.json.decode(content, type=Occurred)
            event, reaction = self._kind.reactions[one.event]
            body = msgspec.json.decode(one.body, type=event.body)
            occurrence = Occurrence(one.id, event, one.subject, one.version, body)
            request = Request(Viewer(role="operator"), caller=event.service, deadline=time.monotonic() + DEADLINE)
            with tracing.span(f"react {one.event}", parent=tracing.parse(one.trace)), answering(request):
                await reaction(self._holder, occurrence)
        except Exception:
            log.exception("event_not_heard", service=self._kind.name)
            self._holder.missed()

"""The reactions of one process: what happens in it reaches them without a way over the bus."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

from tidings.platform.occurrence import Occurred


class Neighbour(Protocol):
    """One service's reactions to one producer's events."""

    @property
    def service(self) -> str: ...

    @property
    def events(self) -> list[str]: ...

    async def react_here(self, one: Occurred) -> bool:
        """React, and return True once the effect is durable; False where the bus had better see to it."""
        ...


class Neighbours:
    """`reacting` names, by event, all services that own data and react to it, wherever they run."""

    def __init__(self, reacting: Mapping[str, Collection[str]]) -> None:
        self._reacting = reacting
        self._here: dict[str, dict[str, Neighbour]] = {event: {} for event in reacting}

    def enter(self, neighbours: Iterable[Neighbour]) -> Callable[[], None]:
        """These work here from now on; how to end that."""
        entered = [(event, one) for one in neighbours for event in one.events if event in self._here]
        for event, one in entered:
            self._here[event][one.service] = one

        def leave() -> None:
            for event, one in entered:
                self._here[event].pop(one.service, None)

        return leave

    def of(self, event: str) -> Sequence[Neighbour] | None:
        """Whoever reacts to it, if all of them are here."""
        here = self._here.get(event)
        if here is None or len(here) < len(self._reacting[event]):
            return None
        return tuple(here.values())

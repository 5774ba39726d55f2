"""Those of one process who hear producers in passing: what is said in it reaches them, and not over the bus."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, TypeAlias

from tidings.platform.events.beat import Beat
from tidings.platform.occurrence import Occurred

Said: TypeAlias = Occurred | Beat


class Hearer(Protocol):
    """A service, or the edge."""

    def hears(self, producer: str, said: Said) -> None:
        """It is taken in behind all that was said before, and not waited for."""
        ...


class Audience:
    """`listening` names, by producer, all who hear what it says in passing, wherever they run."""

    def __init__(self, listening: Mapping[str, Collection[str]]) -> None:
        self._listening = listening
        self._here: dict[str, dict[str, Hearer]] = {producer: {} for producer in listening}

    def enter(self, name: str, producers: Collection[str], hearer: Hearer) -> Callable[[], None]:
        """It hears these from now on; how to end that."""
        entered = [producer for producer in producers if name in self._listening.get(producer, ())]
        for producer in entered:
            self._here[producer][name] = hearer

        def leave() -> None:
            for producer in entered:
                self._here[producer].pop(name, None)

        return leave

    def of(self, producer: str) -> Sequence[Hearer] | None:
        """Whoever hears this producer, if all of them are here: perhaps nobody does."""
        here = self._here.get(producer)
        if here is None or len(here) < len(self._listening[producer]):
            return None
        return tuple(here.values())

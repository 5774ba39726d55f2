"""Who of those expected is in this process: what is said in it can reach them all without a way over the bus."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

One = TypeVar("One")


class Roster(Generic[One]):
    """`expected` names, for each producer or event, all whom it concerns, wherever they run."""

    def __init__(self, expected: Mapping[str, Collection[str]]) -> None:
        self._expected = expected
        self._here: dict[str, dict[str, One]] = {concern: {} for concern in expected}

    def enter(self, name: str, concerns: Iterable[str], one: One) -> Callable[[], None]:
        """It is here from now on, for what it is expected at; how to end that."""
        entered = [concern for concern in concerns if name in self._expected.get(concern, ())]
        for concern in entered:
            self._here[concern][name] = one

        def leave() -> None:
            for concern in entered:
                self._here[concern].pop(name, None)

        return leave

    def of(self, concern: str) -> Sequence[One] | None:
        """Whomever it concerns, if all of them are here: perhaps nobody is expected."""
        here = self._here.get(concern)
        if here is None or len(here) < len(self._expected[concern]):
            return None
        return tuple(here.values())

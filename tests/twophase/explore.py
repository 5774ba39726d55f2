"""Through every reachable state, fewest faults and then fewest steps first, so that a counterexample is short."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush

from tests.twophase.model import Protocol, State

PROPERTIES = "abcd"
Witness = Callable[[State], bool]
Came = dict[State, tuple[State, str] | None]  # from where, by which step


@dataclass(frozen=True)
class Counterexample:
    property: str
    what: str
    trace: list[str]  # to where it breaks
    healing: list[str] = field(default_factory=list)  # and what healing makes of it

    def __str__(self) -> str:
        lines = [f"property ({self.property}): {self.what}"]
        lines += [f"{number:3} {name}" for number, name in enumerate(self.trace, 1)]
        if self.healing:
            lines += ["  healing, from there:"]
            lines += [f"  + {name}" for name in self.healing]
        return "\n".join(lines)


@dataclass(frozen=True)
class Explored:
    states: int
    transitions: int
    faults: int  # at most, on the best way to a state
    depth: int  # steps, likewise
    seconds: float
    counterexample: Counterexample | None
    taken: Counter[str]  # how often each step was taken
    witnessed: Counter[str]  # in how many states each witness held


def explore(
    protocol: Protocol, *, judged: str = PROPERTIES, witnesses: Mapping[str, Witness] | None = None
) -> Explored:
    """All states, or those up to the first that breaks one of the `judged` properties.

    Healing is tried last, from every state, the nearest first: what breaks on the way has a shorter trace.
    """
    # Nothing here is garbage before the end: looking for it again and again takes a third of the time.
    collects = gc.isenabled()
    gc.disable()
    try:
        return _explore(protocol, judged, witnesses or {})
    finally:
        if collects:
            gc.enable()


def _explore(protocol: Protocol, judged: str, witnesses: Mapping[str, Witness]) -> Explored:
    began = time.monotonic()
    start = protocol.start()
    came: Came = {start: None}
    nearest = {start: (0, 0)}
    taken: Counter[str] = Counter()
    witnessed = Counter(dict.fromkeys(witnesses, 0))
    transitions = deepest = 0
    found: Counterexample | None = None
    # By faults, then steps: who is there with fewer faults can do all that one with more can.
    waiting = [(0, 0, 0, start)]

    while waiting and found is None:
        faults, depth, _, state = heappop(waiting)
        if nearest[state] != (faults, depth):
            continue  # it was come to in a better way, and is done
        deepest = max(deepest, depth)
        for name, holds in witnesses.items():
            witnessed[name] += holds(state)
        for fault, steps in enumerate((protocol.free(state), protocol.faults(state))):
            if protocol.bounds.faults is not None and faults + fault > protocol.bounds.faults:
                continue
            way = (faults + fault, depth + 1)
            for name, after in steps:
                transitions += 1
                taken[name] += 1
                if (breaks := protocol.broken(state, after)) and found is None:
                    broken = [one for one in breaks if one[0] in judged]
                    found = Counterexample(*broken[0], [*_trace(came, state), name]) if broken else None
                if (known := nearest.get(after)) is None or way < known:
                    nearest[after] = way
                    came[after] = (state, name)
                    heappush(waiting, (*way, transitions, after))
    if found is None and "a" in judged:
        healing = Healing(protocol)
        wrongs = (
            (state, wrong) for state in sorted(nearest, key=nearest.__getitem__) if (wrong := healing.wrong(state))
        )
        if (first := next(wrongs, None)) is not None:
            state, wrong = first
            found = Counterexample("a", wrong, _trace(came, state), healing.steps(state))
    return Explored(
        states=len(came),
        transitions=transitions,
        faults=max(faults for faults, _ in nearest.values()),
        depth=deepest,
        seconds=time.monotonic() - began,
        counterexample=found,
        taken=taken,
        witnessed=witnessed,
    )


def _trace(came: Came, state: State) -> list[str]:
    names = []
    while (before := came[state]) is not None:
        state, name = before
        names.append(name)
    return names[::-1]


class Healing:
    """No more faults, and whatever can happen does: where does that end?

    Each step is one of the protocol's own, so a good end for every state says that a good end stays within reach
    whatever happened; in a finite system every strongly fair run then comes to one.
    """

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self._ends: dict[State, str | None] = {}

    def wrong(self, state: State) -> str | None:
        """What is wrong where healing ends, or that it does not end; None: nothing."""
        way: dict[State, None] = {}
        while state not in self._ends and state not in way:
            way[state] = None
            step = next(self._protocol.fair(state), None)
            if step is None:
                self._ends[state] = self._protocol.unhealed(state)
            else:
                state = step.after
        verdict = self._ends.get(state, "healing never comes to rest")
        self._ends.update(dict.fromkeys(way, verdict))
        return verdict

    def steps(self, state: State) -> list[str]:
        """The names of the steps of healing, up to its end or its first repetition."""
        names, seen = [], set[State]()
        while state not in seen and (step := next(self._protocol.fair(state), None)) is not None:
            seen.add(state)
            names.append(step.name)
            state = step.after
        return names


def refused(protocol: Protocol, trace: Iterable[str]) -> str | None:
    """The first step of a trace that the protocol does not take there; None if it takes them all."""
    states = {protocol.start()}
    for name in trace:
        steps = (step for state in states for step in (*protocol.free(state), *protocol.faults(state)))
        states = {after for taken, after in steps if taken == name}
        if not states:
            return name
    return None

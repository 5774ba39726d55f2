"""What people did and what they were told, by one clock: the record by which guarantees are judged.

A register is something that is written and shown, and that has one value at a time:

| register | values |
|---|---|
| `("account", user)` | `absent`, `live`, `deleted` |
| `("pair", low, high)` | `none`, `asks <user>`, `friends`; `pair()` orders the two |
| `("block", by, of)` | `no`, `yes` |
| `("mute", by, of)` | `no`, `yes` |
| `("name", user)` | `none`, then what they are called |
| `("message", name)` | `absent`, `standing`, `withdrawn` |
| `("audience", name)` | `none`, `friends`, `public`, `only <users>` |
| `("text", name)` | `none`, then the number of the edit |
| `("reaction", name, user, emoji)` | `no`, `yes` |

A message has a name of the history's own, which its text begins with: so it is known when it is seen, though the
answer that would have told its id was lost.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

Register = tuple[str, ...]
Outcome = Literal["pending", "ok", "refused", "unknown"]

INITIAL = {
    "account": "absent",
    "pair": "none",
    "block": "no",
    "mute": "no",
    "name": "none",
    "message": "absent",
    "audience": "none",
    "text": "none",
    "reaction": "no",
}


def pair(one: str, other: str) -> Register:
    """The register of what stands between two people."""
    return ("pair", *sorted((one, other)))


@dataclass(frozen=True, slots=True)
class Message:
    """What never changes about a message. `above` are the names over a reply, the thread's first one first."""

    name: str
    author: str
    above: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sight:
    """A message as an answer showed it."""

    name: str
    id: str
    author: str
    text: str  # the number of its edit
    version: int
    where: str  # feed, timeline, item, replies, notifications


@dataclass(frozen=True, slots=True)
class Shown:
    """What an answer showed, and of what it showed all there is.

    `covers` is one of `feed` (its items older than the id `down_to` are on a later page), `timeline`, `friends`,
    `item <name>`, `replies <name>`, `profile <user>`; None: nothing is concluded from what is not in it.
    """

    sights: tuple[Sight, ...] = ()
    cards: tuple[tuple[str, str], ...] = ()  # a person, and as what: friend, author, other
    values: tuple[tuple[Register, str], ...] = ()
    covers: str | None = None
    down_to: str | None = None


@dataclass(slots=True, eq=False)
class Operation:
    """One thing that a client did. `may` is what it may make of each register; `made` what it made, once known."""

    number: int
    client: str
    kind: str
    invoked: float
    may: dict[Register, frozenset[str]] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    returned: float = math.inf
    outcome: Outcome = "pending"
    made: dict[Register, str] = field(default_factory=dict)
    shown: Shown | None = None
    answer: str = ""  # status and code, for people
    copies: bool = False  # sent more than once: one that was given up may still arrive
    token: str | None = None  # Tidings-Seen, as it was sent

    def in_words(self) -> str:
        until = "" if math.isinf(self.returned) else f"{self.returned:.3f}"
        about = " ".join(f"{key}={value}" for key, value in self.about.items())
        when = f"[{self.invoked:.3f}..{until}]"
        return f"#{self.number} {self.client} {self.kind} {about} {when} {self.outcome} {self.answer}"


class History:
    """Operations in the order of their invocation, and the messages that they speak of."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.operations: list[Operation] = []
        self.messages: dict[str, Message] = {}

    def names(self, author: str, *, above: Iterable[str] = (), mentions: Iterable[str] = ()) -> Message:
        """A message that is about to be sent."""
        message = Message(f"m{len(self.messages)}", author, tuple(above), tuple(mentions))
        self.messages[message.name] = message
        return message

    def invokes(
        self, client: str, kind: str, may: Mapping[Register, Iterable[str]] | None = None, **about: Any
    ) -> Operation:
        """Called before anything is sent."""
        writes = {register: frozenset(values) for register, values in (may or {}).items()}
        operation = Operation(len(self.operations), client, kind, self.clock(), writes, about)
        self.operations.append(operation)
        return operation

    def returns(
        self,
        operation: Operation,
        outcome: Outcome,
        *,
        made: Mapping[Register, str] | None = None,
        shown: Shown | None = None,
    ) -> None:
        """Called after the answer was read. `ok` without `made`: it made the only thing that it might."""
        if outcome == "ok":
            known = made or {}
            only = {register: next(iter(values)) for register, values in operation.may.items() if len(values) == 1}
            operation.made = {register: known.get(register) or only[register] for register in operation.may}
        operation.shown = shown if outcome == "ok" else None
        operation.returned = self.clock()
        operation.outcome = outcome

    def save(self, path: Path) -> None:
        """One line of JSON for each operation, and first of all the messages."""
        with path.open("wb") as file:
            file.write(msgspec.json.encode(list(self.messages.values())) + b"\n")
            for one in self.operations:
                line = {name: getattr(one, name) for name in Operation.__slots__}
                line["may"] = [(list(register), sorted(values)) for register, values in one.may.items()]
                line["made"] = [(list(register), value) for register, value in one.made.items()]
                line["returned"] = None if math.isinf(one.returned) else one.returned
                file.write(msgspec.json.encode(line) + b"\n")

    @classmethod
    def load(cls, path: Path) -> History:
        """What `save` wrote."""
        history = cls()
        with path.open("rb") as file:
            messages = msgspec.json.decode(file.readline(), type=list[Message])
            history.messages = {message.name: message for message in messages}
            for line in file:
                kept = msgspec.json.decode(line)
                kept["may"] = {tuple(register): frozenset(values) for register, values in kept["may"]}
                kept["made"] = {tuple(register): value for register, value in kept["made"]}
                kept["returned"] = math.inf if kept["returned"] is None else kept["returned"]
                kept["shown"] = None if kept["shown"] is None else msgspec.convert(kept["shown"], Shown)
                history.operations.append(Operation(**kept))
        return history

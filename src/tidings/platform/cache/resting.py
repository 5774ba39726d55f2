"""What an answer rests on: the entries that it was made of, gathered while it is made.

Whoever holds them knows that the same answer would be made again, for as long as each of them would be used again.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from tidings.platform.cache.shelf import Held, Shelf
from tidings.platform.scoped import scoped

MOST_CARRIED: Final = 2500  # entries


class Part(NamedTuple):
    """Entries of one bulk read, on the shelf of one who keeps."""

    holder: str
    call: str
    shelf: Shelf
    held: Held
    as_of_ns: int = 0  # by then, of the producer's clock, nothing newer had been committed


class CarriedPart(msgspec.Struct, frozen=True, array_like=True):
    """The same for another process: of whom the entries are, and as of which versions."""

    call: str
    producer: str
    as_of_ns: int
    versions: dict[UUID, int]


class Carried(msgspec.Struct, frozen=True, array_like=True):
    """All that an answer rests on."""

    parts: list[CarriedPart]


_encode = msgspec.msgpack.Encoder(uuid_format="bytes").encode
_decode = msgspec.msgpack.Decoder(Carried).decode


class Resting:
    """Gathers parts. What rests on more than shelves hold is not `whole`, and cannot be kept."""

    __slots__ = ("_brought", "_more", "parts")

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self._brought: list[bytes] = []
        self._more = False

    @property
    def whole(self) -> bool:
        return not self._more and not self._brought

    def on(self, part: Part) -> None:
        self.parts.append(part)

    def on_more(self) -> None:
        self._more = True

    def also(self, other: Resting) -> None:
        """Rest on all that the other one rests on."""
        self.parts += other.parts
        self._more = self._more or not other.whole

    # From one process to another.

    def carried(self) -> bytes:
        """What goes with the answer to another process; nothing, where that could not keep it."""
        if not self.whole or not self.parts or sum(len(part.held.entries) for part in self.parts) > MOST_CARRIED:
            return b""
        if any(part.held.until_ms is not None or not part.as_of_ns for part in self.parts):
            return b""
        return _encode(
            Carried(
                [
                    CarriedPart(part.call, part.shelf.producer, part.as_of_ns, part.held.versions)
                    for part in self.parts
                ]
            )
        )

    def brought(self, raw: bytes) -> None:
        """An answer came with this from another process; it counts for nothing until it is `settled`."""
        if raw:
            self._brought.append(raw)
        else:
            self.on_more()

    def settle(self, shelves: Mapping[str, Shelf], holder: str) -> None:
        """Rest on entries of one's own shelves instead of the other process's; `msgspec.DecodeError` is a fault."""
        brought, self._brought = self._brought, []
        for raw in brought:
            for part in _decode(raw).parts:
                shelf = shelves.get(part.producer)
                held = None if shelf is None else shelf.vouch(part.versions, part.as_of_ns)
                if shelf is None or held is None:
                    self.on_more()
                    return
                self.parts.append(Part(holder, part.call, shelf, held, part.as_of_ns))


_resting: ContextVar[Resting | None] = ContextVar("tidings_resting", default=None)


def resting_on() -> Resting | None:
    """Where what is made now says what it rests on, if anybody asks."""
    return _resting.get()


def gathering() -> scoped[Resting]:
    """Gather, within the block, what is rested on."""
    return scoped(_resting, Resting())

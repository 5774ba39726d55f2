"""The keeper: answers a service's bulk calls from what was kept of earlier ones, and asks for the rest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from uuid import UUID, uuid4

import msgspec

from tidings.platform import metrics
from tidings.platform.cache.resting import Part, gathering, resting_on
from tidings.platform.cache.shelf import Entry, Held, Reading, Shelf
from tidings.platform.clock import SKEW_NS
from tidings.platform.contract import Call, Unavailable
from tidings.platform.request import Viewer
from tidings.platform.seen import Seen, seen

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")
# The answer, and when it had been made, by the producer's clock (ns since 1970).
Bring = Callable[[Ask], Awaitable[tuple[Answer, int]]]

OVERHEAD: Final = 400  # bytes that an entry costs beside its value
BEHIND: Final = 0.05  # seconds; then a producer that is behind a client's own write is asked once more


@dataclass(frozen=True, slots=True)
class Piece:
    """What an answer says under one key, as of a version of whom it is about.

    `keep` is False where it is meant for this asker alone; `until_ms`: from then on it is void.
    """

    key: Hashable
    value: Any
    subject: UUID
    version: int
    keep: bool = True
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Kept(Generic[Ask, Answer]):
    """How one safe bulk call is kept. Functions are pure; no keys: this ask is not kept at all.

    `rest` is the ask for some keys alone, `pieces` what its answer says of each (who is absent has none), and
    `whole` the answer to the whole ask from the values by key, as of a time (ns since 1970), or None if they do not
    tell: then it is asked for as it is. `shown`: whether people see what it says.
    """

    call: Call[Ask, Answer]
    keys: Callable[[Viewer, Ask], Sequence[Hashable]]
    rest: Callable[[Ask, Sequence[Any]], Ask]
    pieces: Callable[[Viewer, Ask, Answer], Iterable[Piece]]
    whole: Callable[[Ask, Mapping[Any, Any], int], Answer | None]
    shown: bool = True


class Keeper:
    """What one service, or the edge, keeps in this process: a shelf for each producer, with a share of the room."""

    def __init__(
        self,
        holder: str,
        kept: Collection[Kept[Any, Any]],
        *,
        room: int,
        strict: bool = True,
        replicated: Collection[str] = (),  # the producers that several processes serve
        vouched: Collection[str] = (),  # producers of which another process keeps answers for us
    ) -> None:
        self.id: UUID = uuid4()
        self.holder = holder
        self.strict = strict
        self._asked: dict[tuple[str, Hashable], asyncio.Future[None]] = {}  # of keys that are being asked for
        self._kept = {one.call.name: one for one in kept} if room else {}
        producers = sorted({one.call.service for one in kept}.union(vouched)) if room else []
        self.shelves = {
            name: Shelf(
                name,
                room // len(producers),
                strict=strict,
                skew_ns=SKEW_NS if name in replicated else 0,
            )
            for name in producers
        }

    def keeps(self, call: Call[Any, Any]) -> Kept[Any, Any] | None:
        return self._kept.get(call.name)

    def heard(self, producer: str, happened: Iterable[tuple[UUID, int]]) -> None:
        """These subjects have these versions by now."""
        shelf = self.shelves.get(producer)
        if shelf is not None:
            for subject, version in happened:
                shelf.heard(subject, version)

    async def answer(self, kept: Kept[Ask, Answer], viewer: Viewer, ask: Ask, bring: Bring[Ask, Answer]) -> Answer:
        """The answer to `ask`; `bring` asks the producer. Raises what it raises.

        `Unavailable` too, if the producer does not know of a write that the client has made: never older data.
        """
        known, producer = seen(), kept.call.service
        resting = resting_on()
        keys = kept.keys(viewer, ask) if self.shelves[producer].keeps else ()
        if not keys:
            return await self._as_it_is(kept, ask, bring, known)
        name, shelf = kept.call.name, self.shelves[producer]
        values, found, missing = shelf.find(keys, known, of=name)
        if missing and (others := {self._asked[name, key] for key in missing if (name, key) in self._asked}):
            await asyncio.wait(others)  # whoever asks for them now may bring what will do here
            values, found, missing = shelf.find(keys, known, of=name)
        stamp = max([entry.reading.ended_ns for entry in found], default=0)
        as_of_ns = shelf.as_of_ns if found else time.time_ns()
        if as_of_ns <= 0:  # used without beats, where that is measured
            as_of_ns = min(entry.reading.began_ns for entry in found)
        metrics.cache_read(holder=self.holder, call=name, hits=len(found), misses=len(missing))
        if missing:
            try:
                with self._asking(name, missing):
                    asked = kept.rest(ask, missing)
                    pieces, reading, filled = await self._brought(kept, viewer, asked, bring, known)
            except BaseException:
                if resting is not None:
                    resting.on_more()  # on its absence
                raise
            found += filled
            as_of_ns = min(as_of_ns, reading.began_ns)
            values.update((piece.key, piece.value) for piece in pieces)
            stamp = max(stamp, reading.ended_ns)
        answer = kept.whole(ask, values, as_of_ns - SKEW_NS)
        if answer is None:
            return await self._as_it_is(kept, ask, bring, known)
        if resting is not None:
            if len(found) < len(keys):
                resting.on_more()
            else:
                resting.on(Part(self.holder, name, shelf, Held(found), as_of_ns))
        if kept.shown:
            known.shown(producer, stamp)
        return answer

    async def _as_it_is(self, kept: Kept[Ask, Answer], ask: Ask, bring: Bring[Ask, Answer], known: Seen) -> Answer:
        """Ask, and keep nothing of the answer."""
        if (resting := resting_on()) is not None:
            resting.on_more()
        answer, ended_ns = await bring(ask)
        if kept.shown:
            known.shown(kept.call.service, ended_ns)
        return answer

    @contextmanager
    def _asking(self, call: str, keys: Sequence[Hashable]) -> Iterator[None]:
        """Let others know, within the block, that the producer is being asked for these."""
        done = asyncio.get_running_loop().create_future()
        for key in keys:
            self._asked[call, key] = done
        try:
            yield
        finally:
            done.set_result(None)
            for key in keys:
                if self._asked.get((call, key)) is done:
                    del self._asked[call, key]

    async def _brought(
        self,
        kept: Kept[Ask, Answer],
        viewer: Viewer,
        ask: Ask,
        bring: Bring[Ask, Answer],
        known: Seen,
    ) -> tuple[list[Piece], Reading, list[Entry]]:
        producer = kept.call.service
        for attempt in range(2):
            began, began_ns = time.monotonic(), time.time_ns()
            with gathering():  # what it rests on with its producer is no concern of who asked: it is kept here
                answer, ended_ns = await bring(ask)
            reading = Reading(began, began_ns, ended_ns)
            pieces = list(kept.pieces(viewer, ask, answer))
            own = known.versions(producer) if self.strict else {}
            if own and any(piece.version < own.get(piece.subject, 0) for piece in pieces):
                if not attempt:
                    await asyncio.sleep(BEHIND)
                continue
            return pieces, reading, self._fill(kept, pieces, reading)
        raise Unavailable(f"{producer} is behind what you have seen. Try again.", service=producer, retry_after=1)

    def _fill(self, kept: Kept[Any, Any], pieces: Iterable[Piece], reading: Reading) -> list[Entry]:
        """Keep what may be kept; what is on the shelf of it now."""
        shelf = self.shelves[kept.call.service]
        filled: list[Entry] = []
        for piece in pieces:
            if piece.keep:
                size = OVERHEAD + len(msgspec.json.encode(piece.value))
                entry = Entry(piece.subject, piece.version, piece.value, reading, size, piece.until_ms)
                held = shelf.fill((kept.call.name, piece.key), entry)
                if held is not None:
                    filled.append(held)
        metrics.cache_holds(holder=self.holder, producer=shelf.producer, entries=len(shelf), size=shelf.size)
        return filled

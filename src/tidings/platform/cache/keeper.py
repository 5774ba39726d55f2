"""The keeper: answers a service's bulk calls from what was kept of earlier ones, and asks for the rest."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Generator,
    Hashable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Generic, NamedTuple, TypeVar
from uuid import UUID, uuid4

import msgspec

from tidings.platform import metrics
from tidings.platform.cache.kept import Bring, Further, Kept, Onto, Piece, Ranked, Ranking
from tidings.platform.cache.lookups import Again, Found, Lookups, looked_up
from tidings.platform.cache.resting import Part, gathering, resting_on
from tidings.platform.cache.room import Room
from tidings.platform.cache.sharing import Sharing
from tidings.platform.cache.shelf import Entry, EntryKey, Held, Reading, Shelf
from tidings.platform.clock import SKEW_NS
from tidings.platform.contract import Call, Unavailable
from tidings.platform.request import Viewer
from tidings.platform.seen import MOST_NEWS, Position, Seen, merged, seen
from tidings.platform.telling import Telling

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")


OVERHEAD: Final = 400  # bytes that an entry costs beside its value
BEHIND: Final = 0.05  # seconds; then a producer that is behind a client's own write is asked once more

NOBODY: Final = Viewer()

_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class _Brought:
    """What one call brought, by key; `entries` of what is kept."""

    values: Mapping[Hashable, Any]
    pieces: Mapping[Hashable, Piece]
    alone: AbstractSet[Hashable]  # meant for who asked
    entries: Mapping[Hashable, Entry]
    reading: Reading
    generation: int  # of the shelf, when those entries were on it


@dataclass(slots=True)
class _Got:
    """What there is of an answer: values by key, the entries that hold them, and as of when.

    `is_kept`: an entry holds each. `stamp`: when the last of it had been made.
    """

    values: Mapping[Any, Any] = field(default_factory=dict)
    entries: Mapping[EntryKey, Entry] = field(default_factory=dict)
    as_of_ns: int = sys.maxsize
    stamp: int = 0
    generation: int = sys.maxsize
    is_kept: bool = True

    def add(self, found: Found, as_of_ns: int) -> None:
        self.values = {**self.values, **found.values} if self.values else found.values
        self.entries = {**self.entries, **found.entries} if self.entries else found.entries
        self.as_of_ns, self.stamp = min(self.as_of_ns, as_of_ns), merged(self.stamp, found.stamp)
        self.generation = min(self.generation, found.generation)


class _Asked(NamedTuple):
    """What the shelf had of some keys; it is as new as `as_of_ns`, of the producer's clock."""

    keys: Sequence[Hashable]
    found: Found
    as_of_ns: int


@dataclass(slots=True)
class _Answering(Generic[Ask, Answer]):
    """One answer, while it is put together; with `again`, what there was of it but for a few keys."""

    kept: Kept[Ask, Answer]
    viewer: Viewer
    ask: Ask
    bring: Bring[Ask, Answer]
    known: Seen
    again: Again | None = None
    got: _Got = field(default_factory=_Got)
    keys: list[Hashable] = field(default_factory=list)  # that were looked up
    asked_further: bool = False

    def anew(self) -> Further:
        """What there was does not do: all of it is looked up."""
        self.again, self.got, self.asked_further = None, _Got(), False
        self.keys.clear()
        return Further(self.kept.keys(self.viewer, self.ask))


class Begun(Generic[Answer]):
    """An answer that is there at once, or is waited for: then `answer` is None, and `finish` is called, once."""

    __slots__ = ("answer", "finish")

    def __init__(self, answer: Answer | None, finish: Callable[[], Awaitable[Answer]]) -> None:
        self.answer = answer
        self.finish = finish

    def __await__(self) -> Generator[Any, None, Answer]:
        if self.answer is not None:
            return self.answer
        return (yield from self.finish().__await__())


class Keeper:
    """What one service, or the edge, keeps in this process: a shelf for each producer; they share its room.

    What it has to ask for it asks for together with what other requests wait for, if it `shares`.
    """

    def __init__(
        self,
        holder: str,
        kept: Collection[Kept[Any, Any]],
        *,
        room: int,
        strict: bool = True,
        replicated: Collection[str] = (),  # the producers that several processes serve
        vouched: Collection[str] = (),  # producers of which another process keeps answers for us
        shares: bool = True,
    ) -> None:
        self.id: UUID = uuid4()
        self.holder = holder
        self.strict = strict
        self._kept = {one.call.name: one for one in kept}
        # By call, of keys that are being asked for and may be kept.
        self._asked: dict[str, dict[Hashable, asyncio.Future[None]]] = {name: {} for name in self._kept}
        self._sharing: dict[str, Sharing[_Brought]] = {
            name: Sharing(leads=one.leads) for name, one in self._kept.items() if shares
        }
        shared = Room(room)
        producers = sorted({one.call.service for one in kept}.union(vouched)) if room else []
        self.shelves = {
            name: Shelf(name, shared, strict=strict, skew_ns=SKEW_NS if name in replicated else 0)
            for name in producers
        }
        self.stirring = {event.name: event for one in kept for event in one.stirred_by} if room else {}
        self._stirred = [one.call for one in kept if one.stirred_by] if room else []
        remembered = {one.call.service for one in kept if one.many} if room else set()
        self._lookups = {name: Lookups(self.shelves[name], shared) for name in remembered}
        for name, shelf in self.shelves.items():
            metrics.watch_cache(holder=holder, producer=name, state=partial(_state, shelf))
        for name, lookups in self._lookups.items():
            metrics.watch_cache(holder=holder, producer=f"{name} lookups", state=partial(_state, lookups))

    def keeps(self, call: Call[Any, Any]) -> Kept[Any, Any] | None:
        return self._kept.get(call.name)

    def heard(self, producer: str, happened: Iterable[tuple[UUID, int]]) -> None:
        """These subjects have these versions by now."""
        shelf = self.shelves.get(producer)
        if shelf is not None:
            for subject, version in happened:
                shelf.heard(subject, version)

    def told(self, tells: Sequence[Telling], version: int, ended_ns: int) -> None:
        """What producers answer from a commit on, which gave its subject this version, and was stamped so.

        It takes the place of what is kept under the same keys, whatever the version, or is put onto it, if that is
        of the version before. What nobody asked for is not kept.
        """
        kept = ((self._kept.get(one.call.name), one) for one in tells)
        renewed = [
            (found, self._renewed(found, one, version, ended_ns)) for found, one in kept if found is not None
        ]
        for found, pieces in renewed:  # after all are there: with the first, all that is older of the subject goes
            for piece, reading in pieces:
                self._fill(found, [piece], reading, told=True)

    def _renewed(
        self, kept: Kept[Any, Any], telling: Telling, version: int, ended_ns: int
    ) -> list[tuple[Piece, Reading]]:
        """Of what is kept, what it is by now."""
        shelf, renewed = self._shelf_of(kept.call), list[tuple[Piece, Reading]]()
        if shelf is None:
            return renewed
        for piece in kept.pieces(NOBODY, telling.ask, telling.answer(version)):
            held = shelf.get((kept.call.name, piece.key))
            if held is None:
                continue
            one = piece if kept.onto is None else _put_onto(kept.onto, held, piece)
            if one is not None:
                # What is stirred has no version: it is as old as it was, and was not stirred since, or it had gone.
                began_ns = held.reading.began_ns if kept.stirred_by else telling.began_ns
                renewed.append((one, Reading(telling.began, began_ns, ended_ns)))
        return renewed

    def stirred(self, producer: str, subjects: Iterable[UUID]) -> None:
        """Of their things something changed just now, of which no version tells."""
        for call in self._stirred:
            if call.service == producer:
                for subject in subjects:
                    self.shelves[producer].stirred(subject, call.name)

    def begin(self, kept: Kept[Ask, Answer], viewer: Viewer, ask: Ask, bring: Bring[Ask, Answer]) -> Begun[Answer]:
        """The answer to `ask`, at once if all of it is kept; `bring` asks the producer. It raises what that raises.

        `Unavailable` too, if the producer does not know of a write that the client has made: never older data.
        """
        known, shelf = seen(), self._shelf_of(kept.call)
        if shelf is not None and (again := self._again(kept, viewer, ask, known)) is not None:
            got = _Got({}, again.entries, shelf.as_of_ns, again.stamp, shelf.generation)
            metrics.cache_read(holder=self.holder, call=kept.call.name, hits=len(got.entries), misses=0)
            return self._begun(_Answering(kept, viewer, ask, bring, known, again, got), again.changed)
        keys = kept.keys(viewer, ask) if shelf is not None or not kept.dear else ()
        as_it_is = partial(self._as_it_is, kept, ask, bring, known)
        if kept.stirred_by and self.strict and shelf is not None and not shelf.has_heard(known):
            keys = ()  # no piece's version tells whether that is in it
        if not keys:
            return Begun(None, as_it_is)
        if len(keys) == 1 and shelf is not None:
            answer = self._of_one(kept, ask, keys[0], shelf, known)
            if answer is not None:
                return Begun(answer, as_it_is)
        return self._begun(_Answering(kept, viewer, ask, bring, known), keys)

    def _begun(self, one: _Answering[Ask, Answer], keys: Sequence[Hashable]) -> Begun[Answer]:
        while True:
            if keys:
                asked = self._find(one, keys)
                if asked.found.missing:
                    if one.again is not None:
                        one.again.hold()
                    return Begun(None, partial(self._finish, one, asked))
                self._take(one, asked)
            answer = self._made(one)
            if not isinstance(answer, Further):
                return Begun(answer, partial(self._as_it_is, one.kept, one.ask, one.bring, one.known))
            keys = answer.keys

    def _again(self, kept: Kept[Any, Any], viewer: Viewer, ask: Any, known: Seen) -> Again | None:
        if not isinstance(kept.whole, Ranked) or not kept.many:
            return None
        return self._lookups[kept.call.service].again(ask, known, of=kept.call.name, who=viewer.user_id)

    def _of_one(self, kept: Kept[Ask, Answer], ask: Ask, key: Hashable, shelf: Shelf, known: Seen) -> Answer | None:
        """The answer of one entry, if it is there and tells all of it."""
        entry = shelf.one(key, known, kept.call.name)
        if entry is None:
            return None
        as_of_ns = shelf.as_of_ns if shelf.as_of_ns > 0 else entry.reading.began_ns
        answer = kept.whole(ask, {key: entry.value}, as_of_ns - SKEW_NS)
        if answer is None or isinstance(answer, Further):
            return None
        metrics.cache_read(holder=self.holder, call=kept.call.name, hits=1, misses=0)
        held = Held((entry,), generation=shelf.generation, timed=shelf.is_timed)
        self._given(kept, known, Part(self.holder, kept.call.name, shelf, held, as_of_ns), entry.reading.ended_ns)
        return answer

    @staticmethod
    def _given(kept: Kept[Any, Any], known: Seen, part: Part | None, stamp: int) -> None:
        """An answer is given that rests on this alone, or on more than is kept."""
        if (resting := resting_on()) is not None:
            if part is None:
                resting.on_more()
            else:
                resting.on(part)
        if not kept.shown:
            return
        service = kept.call.service
        if part is not None and part.shelf.has_one_clock and not kept.stirred_by and stamp >= part.as_of_ns > 0:
            news = _news(service, part)
            if news is not None:
                known.shown_news(news)
                stamp = (part.as_of_ns - 1) | 1  # odd: no single read's own
        known.shown(service, stamp)

    async def _finish(self, one: _Answering[Ask, Answer], asked: _Asked) -> Answer:
        while True:
            await self._get(one, asked)
            answer = self._made(one)
            if answer is None:
                return await self._as_it_is(one.kept, one.ask, one.bring, one.known)
            if not isinstance(answer, Further):
                return answer
            asked = self._find(one, answer.keys)

    def _made(self, one: _Answering[Ask, Answer]) -> Answer | Further | None:
        """The answer of what there is; once, what more it takes; or None, if it takes the ask itself."""
        kept, got = one.kept, one.got
        answer: Answer | Further | None
        if isinstance(kept.whole, Ranked):
            answer = self._ranked(one, kept.whole)
        else:
            answer = kept.whole(one.ask, got.values, got.as_of_ns - SKEW_NS)
        if answer is None or isinstance(answer, Further):
            if one.again is not None and (answer is None or one.asked_further):
                return one.anew()
            asked_before, one.asked_further = one.asked_further, True
            return None if asked_before else answer
        part, shelf = None, self._shelf_of(kept.call)
        if shelf is not None and got.is_kept:
            held = Held(got.entries.values(), by_key=got.entries, generation=got.generation, timed=shelf.is_timed)
            part = Part(self.holder, kept.call.name, shelf, held, got.as_of_ns)
        self._given(kept, one.known, part, got.stamp)
        return answer

    def _ranked(self, one: _Answering[Any, Any], ranked: Ranked[Any, Any]) -> Any:
        """The answer, whose ranking is remembered for the next one."""
        call, got, again, ask = one.kept.call, one.got, one.again, one.ask
        if again is None:
            ranking = ranked.rank(ask, got.values)
        elif not one.keys:
            ranking = again.ranking
        else:
            ranking = ranked.rank_again(ask, again.ranking, got.values)
        if not isinstance(ranking, Ranking):
            return ranking
        values = got.values if again is None else again.values(ranking.things[: ask.limit], got.values)
        answer = ranked.show(ask, ranking, values, got.as_of_ns - SKEW_NS)
        if one.kept.many and call.service in self._lookups and (again is None or one.keys):  # entries may go for it
            found = Found({}, got.entries, (), got.stamp, got.generation)
            self._lookups[call.service].ranked(ask, ranking, one.keys, found, of=call.name, who=one.viewer.user_id)
        return answer

    def _shelf_of(self, call: Call[Any, Any]) -> Shelf | None:
        """Where what it says is kept now."""
        shelf = self.shelves.get(call.service)
        return shelf if shelf is not None and shelf.keeps else None

    def _find(self, one: _Answering[Any, Any], keys: Sequence[Hashable]) -> _Asked:
        """What is on the shelf of these keys."""
        name, shelf = one.kept.call.name, self._shelf_of(one.kept.call)
        if shelf is None:
            return _Asked(keys, Found({}, {}, keys, stamp=0, generation=0), time.time_ns())
        if one.kept.many and not isinstance(one.kept.whole, Ranked):
            lookups = self._lookups[one.kept.call.service]
            found = lookups.find(keys, one.known, of=name, who=one.viewer.user_id)
        else:
            found = looked_up(shelf, keys, one.known, name)
        as_of_ns = shelf.as_of_ns if found.entries else time.time_ns()
        if as_of_ns <= 0:  # used without beats, where that is measured
            as_of_ns = min(entry.reading.began_ns for entry in found.entries.values())
        return _Asked(keys, found, as_of_ns)

    def _take(self, one: _Answering[Any, Any], asked: _Asked) -> None:
        """Add to what there is."""
        hits, misses = len(asked.found.entries), len(asked.found.missing)
        metrics.cache_read(holder=self.holder, call=one.kept.call.name, hits=hits, misses=misses)
        one.keys += asked.keys
        one.got.add(asked.found, asked.as_of_ns)

    async def _get(self, one: _Answering[Any, Any], asked: _Asked) -> None:
        """Add what was found on the shelf, and what the producer says of the other keys."""
        kept, got = one.kept, one.got
        under_way, missing = self._asked[kept.call.name], asked.found.missing
        if missing and under_way and (others := {under_way[key] for key in missing if key in under_way}):
            await asyncio.wait(others)  # whoever asks for them now may bring what will do here
            asked = self._find(one, asked.keys)
            missing = asked.found.missing
        self._take(one, asked)
        if not missing:
            return
        try:
            brought = await self._brought(kept, one.viewer, missing, one.bring, one.known)
        except BaseException:
            if (resting := resting_on()) is not None:
                resting.on_more()  # on its absence
            raise
        for part, told in brought:
            entries = [part.entries[key] for key in told if key in part.entries] if part.entries else []
            held = {entry.key: entry for entry in entries}
            got.add(Found(told, held, (), part.reading.ended_ns, part.generation), part.reading.began_ns)
            got.is_kept = got.is_kept and len(held) == len(told)
        got.is_kept = got.is_kept and sum(len(told) for _, told in brought) == len(missing)

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
        done, asked = asyncio.get_running_loop().create_future(), self._asked[call]
        asked.update(dict.fromkeys(keys, done))
        try:
            yield
        finally:
            done.set_result(None)
            for key in keys:
                if asked.get(key) is done:
                    del asked[key]

    async def _brought(
        self,
        kept: Kept[Ask, Answer],
        viewer: Viewer,
        missing: Sequence[Hashable],
        bring: Bring[Ask, Answer],
        known: Seen,
    ) -> list[tuple[_Brought, dict[Hashable, Any]]]:
        """The calls that brought what was missing, each with what it tells, by key."""
        producer = kept.call.service
        for attempt in range(2):
            parts = await self._asked_for(kept, viewer, missing, bring)
            # Not what others wrote: that was told by the producer's only process, which reads what it wrote.
            own = known.written(producer) if self.strict else {}
            if not own or all(_is_as_new(part.pieces[key], own) for part, told in parts for key in told):
                return parts
            if not attempt:
                await asyncio.sleep(BEHIND)
        raise Unavailable(f"{producer} is behind what you have seen. Try again.", service=producer, retry_after=1)

    async def _asked_for(
        self, kept: Kept[Ask, Answer], viewer: Viewer, missing: Sequence[Hashable], bring: Bring[Ask, Answer]
    ) -> list[tuple[_Brought, dict[Hashable, Any]]]:
        sharing = self._sharing.get(kept.call.name)
        if sharing is None:
            part, is_own = await self._call(kept, viewer, bring, missing), True
        else:
            part, is_own = await sharing.ask(missing, partial(self._call, kept, viewer, bring, for_others=True))
        get = part.values.get
        told = {key: value for key in missing if (value := get(key, _ABSENT)) is not _ABSENT}
        if is_own or not part.alone or part.alone.isdisjoint(told):
            return [(part, told)]
        # What was meant for who asked: everybody else asks for themselves.
        alone = await self._call(kept, viewer, bring, [key for key in told if key in part.alone])
        others = {key: value for key, value in told.items() if key not in part.alone}
        return [(part, others), (alone, dict(alone.values))]

    async def _call(
        self,
        kept: Kept[Ask, Answer],
        viewer: Viewer,
        bring: Bring[Ask, Answer],
        keys: Sequence[Hashable],
        *,
        for_others: bool = False,
    ) -> _Brought:
        ask = kept.rest(keys)
        is_kept = self._shelf_of(kept.call) is not None
        with self._asking(kept.call.name, keys if is_kept else ()):
            began, began_ns = time.monotonic(), time.time_ns()
            with gathering():  # what it rests on with its producer is no concern of who asked: it is kept here
                answer, ended_ns = await bring(ask, for_others=for_others)
            reading = Reading(began, began_ns, ended_ns)
            pieces = {piece.key: piece for piece in kept.pieces(viewer, ask, answer)}
            entries, shelf = self._fill(kept, pieces.values(), reading), self._shelf_of(kept.call)
            return _Brought(
                values={key: piece.value for key, piece in pieces.items()},
                pieces=pieces,
                alone={key for key, piece in pieces.items() if not piece.keep},
                entries=entries,
                reading=reading,
                generation=0 if shelf is None else shelf.generation,
            )

    def _fill(
        self, kept: Kept[Any, Any], pieces: Iterable[Piece], reading: Reading, *, told: bool = False
    ) -> dict[Hashable, Entry]:
        """Keep what may be kept; what is on the shelf of it now. `told` by the write itself, and not read."""
        shelf = self._shelf_of(kept.call)
        filled: dict[Hashable, Entry] = {}
        if shelf is None:
            return filled
        for piece in pieces:
            if piece.keep:
                size = OVERHEAD + len(msgspec.json.encode(piece.value))
                value = piece.value if told else kept.own(piece.value)  # what was read came as bytes
                exact = told and kept.onto is None  # it may be put onto what was read
                entry = Entry(piece.subject, piece.version, value, reading, size, piece.until_ms, exact)
                held = shelf.fill(piece.key, entry, of=kept.call.name, counts=bool(kept.stirred_by))
                if held is not None:
                    filled[piece.key] = held
        return filled


def _state(cache: Shelf | Lookups) -> metrics.CacheState:
    return metrics.CacheState(entries=len(cache), size=cache.size)


def _put_onto(onto: Onto, held: Entry, piece: Piece) -> Piece | None:
    """What is held, with the piece. None where something between is not known, or the piece is in it already."""
    if held.version != piece.version - 1:
        return None
    value = onto(piece.key, held.value, piece.value)
    return None if value is None else msgspec.structs.replace(piece, value=value, until_ms=held.until_ms)


def _news(service: str, part: Part) -> list[Position] | None:
    """The versions that stand for all that is newer than the part's time; None where they do not."""
    new = [entry for entry in part.held.entries if entry.reading.ended_ns >= part.as_of_ns]
    if len(new) > MOST_NEWS or not all(entry.exact for entry in new):
        return None
    return [Position(service, entry.subject, entry.version, entry.reading.ended_ns) for entry in new]


def _is_as_new(piece: Piece, own: Mapping[UUID, int]) -> bool:
    return piece.version >= own.get(piece.subject, 0)

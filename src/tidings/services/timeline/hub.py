"""Who listens, and what changed for them: kept in memory only, from events; nothing in it is anybody's content."""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from tidings.contracts.friends import Circle
from tidings.contracts.timeline import Concern, Heard
from tidings.contracts.users import UserId

KEPT: Final = 60.0  # seconds that a place is kept for somebody who does not listen: a client comes back within it
MOST_KEPT: Final = 100_000


@dataclass(slots=True, eq=False)
class Place:
    """One person's: whom they hear, and when each concern of theirs changed last."""

    since: int  # what changed before is not known here
    authors: set[UserId]
    muted: set[UserId]
    changed: dict[Concern, int] = field(default_factory=dict)
    resync: int = 0
    waiting: set[asyncio.Event] = field(default_factory=set)
    used: float = field(default_factory=time.monotonic)
    marked: float = -math.inf  # by time.monotonic(), when it was last said elsewhere that this person listens


class Hub:
    """Numbers what happens, and wakes whom it concerns. A number means something within one hub's life."""

    def __init__(self) -> None:
        self._epoch = secrets.token_hex(4)
        self._number = 0
        self._places: dict[UserId, Place] = {}
        self._by_author: defaultdict[UserId, set[UserId]] = defaultdict(set)
        self._reading: dict[UserId, int] = {}  # whose friends are being read, and by how many
        self._moved: dict[UserId, int] = {}  # whose friendships changed meanwhile, and when

    # Those who listen.

    def knows(self, person: UserId) -> bool:
        return person in self._places

    async def welcome(self, person: UserId, read_circle: Callable[[], Awaitable[Circle]]) -> None:
        """Begin to note what concerns a person. Read again if their friendships change while they are read."""
        if len(self._places) >= MOST_KEPT:
            self.sweep()
        while True:
            since = self._number
            self._reading[person] = self._reading.get(person, 0) + 1
            try:
                circle = await read_circle()
            finally:
                moved = self._moved.get(person, 0)
                self._reading[person] -= 1
                if not self._reading[person]:
                    del self._reading[person]
                    self._moved.pop(person, None)
            if moved <= since:
                break
        before = self._places.get(person)
        self._leave(person)
        if before is not None:  # somebody else was as quick; who waits there looks again
            _wake(before)
        place = self._places[person] = Place(since, {*circle.friends, person}, set(circle.muted))
        for author in place.authors:
            self._by_author[author].add(person)

    async def heard(self, person: UserId, last: str | None, wait: float) -> Heard:
        """What changed after `last`, as soon as something did, or nothing after `wait` seconds."""
        place = self._places.get(person)
        if place is None:  # events were lost since they were welcomed
            return Heard(last=self._at(), resync=True)
        place.used = time.monotonic()
        number = self._parsed(last)
        if last is None:
            return Heard(last=self._at())
        if number is None or number < place.since:
            return Heard(last=self._at(), resync=True)
        found = self._after(place, number)
        if found.changed or found.resync or not wait:
            return found
        woken = asyncio.Event()
        place.waiting.add(woken)
        try:
            async with asyncio.timeout(wait):
                await woken.wait()
        except TimeoutError:
            return Heard(last=last)
        finally:
            place.waiting.discard(woken)
            place.used = time.monotonic()
        if self._places.get(person) is not place:  # events were lost meanwhile
            return Heard(last=self._at(), resync=True)
        return self._after(place, number)

    def is_to_be_marked(self, person: UserId, every: float) -> bool:
        """Whether to say elsewhere that they listen: that was not asked for `every` seconds."""
        place, now = self._places[person], time.monotonic()
        if now - place.marked < every:
            return False
        place.marked = now
        return True

    def sweep(self) -> None:
        """Let go of those who have not listened for a while."""
        now = time.monotonic()
        for person, place in list(self._places.items()):
            if not place.waiting and now - place.used > KEPT:
                self._leave(person)

    # What happens.

    def changed_for(self, person: UserId, concern: Concern) -> None:
        place = self._places.get(person)
        if place is not None:
            self._number += 1
            place.changed[concern] = self._number
            _wake(place)

    def changed_by(self, author: UserId, concern: Concern) -> None:
        """For all who hear this author, and have not muted them."""
        for person in self._by_author.get(author, ()):
            if author not in self._places[person].muted:
                self.changed_for(person, concern)

    def resync_for_readers_of(self, author: UserId) -> None:
        for person in self._by_author.get(author, ()):
            self._resync(self._places[person])

    def _note(self, person: UserId) -> None:
        if person in self._reading:
            self._number += 1
            self._moved[person] = self._number

    def befriended(self, person: UserId, other: UserId) -> None:
        self._note(person)
        place = self._places.get(person)
        if place is not None:
            place.authors.add(other)
            self._by_author[other].add(person)

    def parted(self, person: UserId, other: UserId) -> None:
        self._note(person)
        place = self._places.get(person)
        if place is not None and other != person:
            place.authors.discard(other)
            self._by_author[other].discard(person)

    def muted(self, person: UserId, other: UserId, *, is_muted: bool) -> None:
        self._note(person)
        place = self._places.get(person)
        if place is not None:
            (place.muted.add if is_muted else place.muted.discard)(other)

    def missed(self) -> None:
        """Events were lost: whom everybody hears is read again, and everybody has to look for themselves."""
        self._number += 1
        self._epoch = secrets.token_hex(4)
        for person in self._reading:
            self._moved[person] = self._number
        for person, place in list(self._places.items()):
            self._leave(person)
            _wake(place)

    # Within.

    def _leave(self, person: UserId) -> None:
        place = self._places.pop(person, None)
        for author in place.authors if place is not None else ():
            self._by_author[author].discard(person)
            if not self._by_author[author]:
                del self._by_author[author]

    def _resync(self, place: Place) -> None:
        self._number += 1
        place.resync = self._number
        _wake(place)

    def _after(self, place: Place, number: int) -> Heard:
        changed: list[Concern] = sorted(name for name, at in place.changed.items() if at > number)
        return Heard(last=self._at(), changed=changed, resync=place.resync > number)

    def _at(self) -> str:
        return f"{self._epoch}.{self._number}"

    def _parsed(self, last: str | None) -> int | None:
        epoch, _, number = (last or "").partition(".")
        return int(number) if epoch == self._epoch and number.isdecimal() else None


def _wake(place: Place) -> None:
    for woken in place.waiting:
        woken.set()

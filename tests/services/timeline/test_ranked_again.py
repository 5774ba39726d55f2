"""Of what was ranked before only the changes are ranked again: the page is the one that would be made anew."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidings.contracts.messages import (
    DEEPER,
    AuthorAsOf,
    AuthorLatest,
    AuthorRecents,
    Latest,
    LatestAsk,
    MessageId,
    PageByAuthors,
    PageByAuthorsAsk,
    PageItem,
)
from tidings.contracts.users import UserId
from tidings.platform.cache.keeper import Keeper
from tidings.platform.cache.kept import Kept, Ranked, Ranking
from tidings.platform.clock import stamp_ns
from tidings.platform.request import Viewer
from tidings.platform.seen import Known, Position, Seen, seeing
from tidings.services.timeline.kept import KEPT, Recents

FEW: Final = 3
AUTHORS: Final = [UserId(UUID(int=number)) for number in range(1, 7)]
SECRETIVE: Final = AUTHORS[0]  # what they say is not the same for all
READERS: Final = [Viewer(UUID(int=100 + number), "member") for number in range(2)]
FRIENDS: Final = {READERS[0].user_id: AUTHORS, READERS[1].user_id: AUTHORS[1:]}
[FEED] = [kept for kept in KEPT if kept.call.name == "messages/page_by_authors"]
[LATEST] = [kept for kept in KEPT if kept.call.name == "messages/latest_by_authors"]


@dataclass
class Messages:
    """The producer, with a keeper before it that hears of everything."""

    said: dict[UserId, list[int]] = field(default_factory=lambda: defaultdict(list))  # newest first
    version: dict[UserId, int] = field(default_factory=lambda: defaultdict(lambda: 1))
    feed: Kept[Any, Any] = FEED
    timeline: Kept[Any, Any] = LATEST
    room: int = 10**7
    long: int = 0  # characters of each message besides
    keeper: Keeper = field(init=False)
    asked: list[Any] = field(default_factory=list)
    meanwhile: Callable[[], None] | None = None  # happens while somebody waits
    last: int = 0

    def __post_init__(self) -> None:
        self.keeper = Keeper("timeline", [self.feed, self.timeline], room=self.room)
        self.listens()

    def listens(self) -> None:
        shelf = self.keeper.shelves["messages"]
        shelf.listening()
        shelf.registered(time.monotonic() + 1000)
        shelf.beat(time.time_ns() + 3_600_000_000_000)

    def says(self, author: UserId) -> None:
        self.last += 1
        self._changed(author, [self.last * 10 + author.int, *self.said[author]])

    def withdraws(self, author: UserId, place: int) -> None:
        said = self.said[author]
        self._changed(author, [one for at, one in enumerate(said) if at != place % max(1, len(said))])

    def _changed(self, author: UserId, said: list[int]) -> None:
        self.said[author] = said
        self.version[author] += 1
        self.keeper.heard("messages", [(author, self.version[author])])

    def items(self, author: UserId) -> list[PageItem]:
        said = [(one, msgspec.Raw(b'"%d%b"' % (one, b"x" * self.long))) for one in self.said[author]]
        return [PageItem(MessageId(UUID(int=one)), author, body) for one, body in said]

    def page(self, limit: int, reader: Viewer = READERS[0]) -> list[PageItem]:
        everything = [one for author in FRIENDS[reader.user_id] for one in self.items(author)]
        return sorted(everything, key=lambda one: one.id, reverse=True)[:limit]

    def recents(self, author: UserId, few: int) -> AuthorRecents:
        items = self.items(author)
        down_to = items[few - 1].id if len(items) > few else None
        return AuthorRecents(author, self.version[author], author != SECRETIVE, down_to, items[:few])

    async def bring(self, ask: Any, *, for_others: bool = False) -> tuple[Any, int]:
        self.asked.append(ask)
        answer = self._answer(ask)
        if self.meanwhile is not None:
            self.meanwhile, meanwhile = None, self.meanwhile
            meanwhile()
        await asyncio.sleep(0)
        return answer, stamp_ns()

    def _answer(self, ask: Any) -> Any:
        if isinstance(ask, LatestAsk):
            authors = [self.latest(author) for author in ask.friends if self.said[author]]
            as_of = [AuthorAsOf(author, self.version[author], author != SECRETIVE) for author in ask.friends]
            return Latest(authors=authors, as_of=as_of)
        if not ask.to_keep:
            [reader] = [one for one in READERS if FRIENDS[one.user_id] == ask.friends]
            more = len(self.page(1000, reader)) > ask.limit
            return PageByAuthors(items=self.page(ask.limit, reader), more=more, read_at_ms=0)
        return PageByAuthors(
            items=[],
            more=False,
            read_at_ms=0,
            recents=[self.recents(author, FEW) for author in ask.friends],
            deeper=[self.recents(author, DEEPER) for author in ask.deeper],
        )

    def asked_for(self) -> set[UserId]:
        """Of whom it was asked; as much as is kept, and never for a page as it is."""
        assert all(ask.to_keep for ask in self.asked)
        return {friend for ask in self.asked for friend in ask.friends}

    def latest(self, author: UserId) -> AuthorLatest:
        [newest, *_] = self.items(author)
        return AuthorLatest(author, newest.id, [newest.message])

    async def read_feed(self, reader: Viewer, limit: int) -> PageByAuthors:
        ask = PageByAuthorsAsk(friends=FRIENDS[reader.user_id], others=[], limit=limit)
        found: PageByAuthors = await self.keeper.begin(self.feed, reader, ask, self.bring)
        return found

    async def read_timeline(self, reader: Viewer, limit: int, known: Seen | None = None) -> Latest:
        ask = LatestAsk(friends=FRIENDS[reader.user_id], others=[], limit=limit)
        with seeing(known or Seen()):
            found: Latest = await self.keeper.begin(self.timeline, reader, ask, self.bring)
        return found

    def newest(self, limit: int, reader: Viewer = READERS[0]) -> list[AuthorLatest]:
        spoke = [self.latest(author) for author in FRIENDS[reader.user_id] if self.said[author]]
        return sorted(spoke, key=lambda one: one.newest_id, reverse=True)[:limit]


DEEDS: Final = st.lists(
    st.one_of(
        st.tuples(st.just("says"), st.sampled_from(AUTHORS), st.integers(1, 8)),
        st.tuples(st.just("withdraws"), st.sampled_from(AUTHORS), st.integers(0, 4)),
        st.tuples(st.just("reads"), st.sampled_from(READERS), st.sampled_from([1, 3, 5])),
        st.tuples(st.just("withdraws and is read"), st.sampled_from(AUTHORS), st.just(0)),
        st.tuples(st.just("withdraws"), st.sampled_from(AUTHORS[1:3]), st.just(0)),
        st.tuples(st.just("reads while"), st.just(READERS[0]), st.sampled_from(AUTHORS)),
        st.tuples(st.just("gap"), st.none(), st.none()),
    ),
    max_size=40,
)


@settings(max_examples=400, deadline=None)
@given(DEEDS, st.sampled_from([10**7, 20_000, 12_000, 9_000]))
def test_whatever_happens_it_is_the_page_that_would_be_made_anew(
    deeds: list[tuple[str, Any, Any]], room: int
) -> None:
    """However little room there is, so that what is kept goes at any time."""

    async def happen() -> None:
        messages = Messages(room=room)
        for deed, one, other in deeds:
            if deed == "says":
                for _ in range(other):
                    messages.says(one)
            elif deed == "withdraws":
                messages.withdraws(one, other)
            elif deed == "withdraws and is read":
                await read(messages, READERS[0], 3)
                messages.withdraws(one, other)
                await read(messages, READERS[0], 3)
            elif deed == "gap":
                messages.listens()
            elif deed == "reads while":
                await reads_while(messages, one, other)
            else:
                await read(messages, one, other)

    asyncio.run(happen())


async def read(messages: Messages, reader: Viewer, limit: int) -> None:
    """Both pages are what has been said."""
    found = await messages.read_feed(reader, limit)
    assert found.items == messages.page(limit, reader)
    assert found.more == (len(messages.page(1000, reader)) > limit)
    latest = await messages.read_timeline(reader, limit)
    assert latest.authors == messages.newest(limit, reader)
    assert latest.more == (len(messages.newest(100, reader)) > limit)


async def reads_while(messages: Messages, reader: Viewer, author: UserId) -> None:
    """Somebody says something while others' words are brought: the page is as before it, or as after it."""
    before = messages.page(3)
    messages.meanwhile = lambda: messages.says(author)
    found = await messages.read_feed(reader, 3)
    assert found.items in (before, messages.page(3))
    messages.meanwhile = None


async def settled(feed: Kept[Any, Any] = FEED, timeline: Kept[Any, Any] = LATEST, *, long: int = 0) -> Messages:
    """Everybody but one has said as much as is kept of each, and the first reader has read both pages, twice."""
    messages = Messages(feed=feed, timeline=timeline, long=long)
    for _ in range(FEW):
        for author in AUTHORS[1:]:
            messages.says(author)
    for _ in range(2):
        await messages.read_feed(READERS[0], 3)
        await messages.read_timeline(READERS[0], 3)
    messages.asked.clear()
    return messages


@pytest.mark.parametrize("name", ["feed", "timeline"])
async def test_who_reads_again_has_only_what_changed_ranked(name: str) -> None:
    ranked: list[str] = []

    def counting(kept: Kept[Any, Any]) -> Kept[Any, Any]:
        whole = kept.whole
        assert isinstance(whole, Ranked)

        def rank(ask: Any, values: Any) -> Any:
            ranked.append(kept.call.name)
            return whole.rank(ask, values)

        return replace(kept, whole=Ranked(rank, whole.rank_again, whole.show))

    messages = await settled(counting(FEED), counting(LATEST))
    reads = messages.read_feed if name == "feed" else messages.read_timeline
    assert len(ranked) == 2
    messages.says(AUTHORS[2])
    await reads(READERS[0], 3)
    assert len(ranked) == 2
    assert messages.asked_for() == {SECRETIVE, AUTHORS[2]}  # who is not kept, and who changed
    await reads(READERS[1], 3)
    assert len(ranked) == 3


async def test_who_knows_of_a_write_that_was_not_heard_of_is_not_shown_what_was_before() -> None:
    messages = await settled()
    author = AUTHORS[3]
    messages.said[author].insert(0, 99_990 + author.int)
    messages.version[author] += 1
    wrote = Seen(Known((Position("messages", author, messages.version[author], time.time_ns()),), {}))
    assert (await messages.read_timeline(READERS[0], 3, wrote)).authors == messages.newest(3)
    assert (await messages.read_timeline(READERS[0], 3)).authors == messages.newest(3)


async def test_where_changes_do_not_tell_all_of_it_is_looked_up_again() -> None:
    messages = await settled()
    first = messages.page(1)[0].author_id
    messages.withdraws(first, 0)  # somebody else's, which was left out, comes up
    await read(messages, READERS[0], 3)
    assert messages.asked_for() == {SECRETIVE, first}


async def test_who_comes_up_while_somebody_waits_is_there_though_they_changed_meanwhile() -> None:
    messages = await settled()
    shown = [one.author_id for one in messages.newest(4)]
    for author in shown[:1]:
        for _ in range(FEW):
            messages.withdraws(author, 0)
    before = messages.newest(3)
    messages.meanwhile = lambda: messages.says(shown[3])
    assert (await messages.read_timeline(READERS[0], 3)).authors == before


async def test_what_goes_to_remember_a_page_is_on_that_page_yet() -> None:
    messages = await settled(long=2000)
    lively, quiet = AUTHORS[2], READERS[1]
    for _ in range(2):
        await messages.read_feed(quiet, 5)
    for _ in range(FEW + 1):
        messages.says(lively)
    # Somebody else has them brought, and more of who says much: what is remembered of this reader will be more.
    ask = PageByAuthorsAsk(friends=AUTHORS[1:], others=[], limit=5)
    await messages.keeper.begin(messages.feed, Viewer(UUID(int=200), "member"), ask, messages.bring)
    shelf = messages.keeper.shelves["messages"]
    shelf._room.size = shelf._room.taken - 30_000
    kept = len(shelf)
    messages.asked.clear()
    assert (await messages.read_feed(quiet, 5)).items == messages.page(5, quiet)
    assert messages.asked == []
    assert len(shelf) < kept - 2


@pytest.mark.parametrize("reader", READERS, ids=["with one who is not kept", "all kept"])
async def test_a_client_is_told_that_it_saw_what_it_is_shown(reader: Viewer) -> None:
    messages = await settled()
    stamps: list[int] = []
    for _ in range(3):
        with seeing(Seen()) as client:
            await messages.read_timeline(reader, 3, client)
        stamps.append(client.shown_here.stamps["messages"])
    assert stamps == sorted(stamps)
    assert time.time_ns() - 5_000_000_000 < stamps[0]


SAYINGS: Final = st.lists(st.integers(1, 60), max_size=8, unique=True)


@settings(max_examples=500)
@given(
    st.lists(st.tuples(SAYINGS, SAYINGS), min_size=3, max_size=6), st.sets(st.integers(0, 2), min_size=1), st.data()
)
def test_what_is_ranked_again_is_what_is_ranked(
    said: list[tuple[list[int], list[int]]], changed: set[int], data: st.DataObject
) -> None:
    """Or it is not told; with some of whom more is known than the newest few."""
    whole, limit = FEED.whole, data.draw(st.integers(1, 5))
    assert isinstance(whole, Ranked)
    ask = PageByAuthorsAsk(friends=AUTHORS[: len(said)], others=[], limit=limit)

    def values(which: Any) -> dict[Any, Recents]:
        found: dict[Any, Recents] = {}
        for number, pair in enumerate(said):
            ids = sorted((MessageId(UUID(int=one * 10 + number)) for one in pair[which(number)]), reverse=True)
            items = [PageItem(one, AUTHORS[number], msgspec.Raw(b"1")) for one in ids]
            found[number] = Recents(items[:FEW], ids[FEW - 1] if len(ids) > FEW else None)
            found["more", number] = Recents(items, None)
        return found

    before, after = values(lambda number: 0), values(lambda number: number in changed)
    of_them = {key: value for key, value in after.items() if (key if isinstance(key, int) else key[1]) in changed}
    ranking = whole.rank(ask, before)
    assert isinstance(ranking, Ranking)
    again = whole.rank_again(ask, ranking, of_them)
    if again is not None:
        assert isinstance(again, Ranking)
        assert again == whole.rank(ask, after)
    expected = whole.rank(ask, after)
    assert isinstance(expected, Ranking)
    few_before = whole.rank(ask, {key: value for key, value in before.items() if isinstance(key, int)})
    few = {key: value for key, value in of_them.items() if isinstance(key, int)}
    for known in (ranking, few_before):
        again = whole.rank_again(ask, known, few) if isinstance(known, Ranking) else None
        if isinstance(again, Ranking):  # the one below the page tells no more than that there is one
            assert [one[0] for one in again.things][:limit] == [one[0] for one in expected.things][:limit]
            assert len(again.things) == len(expected.things)


def test_what_was_not_kept_may_come_up_above_what_is_new() -> None:
    whole, ask = FEED.whole, PageByAuthorsAsk(friends=AUTHORS[:3], others=[], limit=4)
    assert isinstance(whole, Ranked)

    def of(author: int, *numbers: int, down_to: int | None = None) -> Recents:
        ids = [MessageId(UUID(int=number)) for number in numbers]
        items = [PageItem(one, AUTHORS[author], msgspec.Raw(b"1")) for one in ids]
        return Recents(items, None if down_to is None else MessageId(UUID(int=down_to)))

    # The second one has said 65, too.
    ranking = whole.rank(ask, {0: of(0, 100), 1: of(1, 90, 80, 70, down_to=70), 2: of(2, 60)})
    assert isinstance(ranking, Ranking)
    assert whole.rank_again(ask, ranking, {0: of(0, 62)}) is None
    assert isinstance(whole.rank_again(ask, ranking, {0: of(0, 75)}), Ranking)

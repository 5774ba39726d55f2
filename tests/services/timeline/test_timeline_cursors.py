"""Cursors against a model: whatever is written meanwhile, however late its commit, a walk shows each thing once."""

from __future__ import annotations

from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.services.timeline.conftest import Alone
from tests.services.timeline.neighbourhood import Neighbourhood, ids_of
from tidings.contracts import timeline
from tidings.platform.clock import now_ms
from tidings.services.timeline.rules import SETTLED_MS

START = 1_700_000_000_000
LATEST_COMMIT = 1_500  # ms after the id is minted: the longest that a write's transaction may take

posts = st.tuples(st.just("post"), st.integers(0, 2), st.integers(0, LATEST_COMMIT))
waits = st.tuples(st.just("wait"), st.sampled_from([1, 40, 300, 900, 2_500]), st.just(0))
reads = st.tuples(st.just("read"), st.integers(1, 7), st.just(0))
histories = st.lists(st.one_of(posts, posts, waits, reads), max_size=40)
thorough = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Reader:
    """Follows the feed as a client does: the newer cursor again and again, the older one when it likes."""

    def __init__(self, alone: Alone, around: Neighbourhood) -> None:
        self.alone = alone
        self.around = around
        self.shown: list[UUID] = []
        self.newer: str | None = None
        self.older: str | None = None

    async def open(self, limit: int) -> None:
        page = await self._page(limit, None)
        self.newer, self.older = page.previous_cursor, page.next_cursor

    async def read_newer(self, limit: int) -> int:
        page = await self._page(limit, self.newer)
        self.newer = page.previous_cursor
        return len(page.items)

    async def read_older(self, limit: int) -> None:
        page = await self._page(limit, self.older)
        self.older = page.next_cursor

    async def _page(self, limit: int, cursor: str | None) -> timeline.Feed:
        ask = timeline.FeedAsk(limit=limit, cursor=cursor)
        page = await self.alone.lone.route(timeline.get_feed, ask, self.around.me)
        ids = [one for item in page.items for one in ids_of([item.message])]
        assert ids == sorted(ids, reverse=True)  # newest first
        self.shown += ids
        return page


async def live(around: Neighbourhood, reader: Reader | None, history: list[tuple[str, int, int]]) -> None:
    people = [*around.friends, around.me]
    for what, value, late in history:
        match what:
            case "post":
                around.says(people[value], around.now_ms, late_ms=late)
                around.now_ms += 1
            case "wait":
                around.now_ms += value
            case _ if reader is not None:
                await reader.read_newer(value)


@thorough
@given(before=histories, during=histories, first=st.integers(1, 8), step=st.integers(1, 6))
async def test_a_walk_of_the_feed_both_ways_shows_each_message_once(
    alone: Alone,
    before: list[tuple[str, int, int]],
    during: list[tuple[str, int, int]],
    first: int,
    step: int,
) -> None:
    around = alone.among(Neighbourhood(now_ms=START))
    around.befriend(2)
    await live(around, None, before)

    reader = Reader(alone, around)
    await reader.open(first)
    await live(around, reader, during)
    around.now_ms += SETTLED_MS + 1  # every write has ended; the older pages are read now
    while reader.older is not None:
        await reader.read_older(step)
    while await reader.read_newer(step):
        pass

    assert len(reader.shown) == len(set(reader.shown)), "something is repeated"
    assert sorted(reader.shown) == sorted(around.said), "something is skipped"


@thorough
@given(
    friends=st.integers(1, 12),
    limit=st.integers(1, 5),
    posted=st.lists(st.tuples(st.integers(0, 11), st.sampled_from([-90_000, -5_000, -1_500, -200])), max_size=25),
    between=st.lists(st.lists(st.integers(0, 11), max_size=4), max_size=12),
)
async def test_a_walk_of_the_timeline_shows_each_friend_once_as_page_one_was(
    alone: Alone, friends: int, limit: int, posted: list[tuple[int, int]], between: list[list[int]]
) -> None:
    around = alone.among(Neighbourhood(now_ms=now_ms()))
    people = around.befriend(friends)
    for place, friend in enumerate(people):
        around.says(friend, around.now_ms - 100_000 + place)
    for who, age in posted:
        around.says(people[who % friends], around.now_ms + age)
    spoken_before = around.said

    shown: list[tuple[UUID, UUID]] = []
    cursor, pages = None, iter(between)
    while True:
        around.now_ms = now_ms() + 1_000
        ask = timeline.TimelineAsk(limit=limit, cursor=cursor)
        page = await alone.lone.route(timeline.get_timeline, ask, around.me)
        shown += [(entry.author.id, ids_of(entry.messages)[0]) for entry in page.entries]
        cursor = page.next_cursor
        if cursor is None:
            break
        for who in next(pages, []):
            around.says(people[who % friends], now_ms())

    assert sorted(author for author, _ in shown) == sorted(people)  # each friend, and each once
    assert {message for _, message in shown} <= spoken_before  # nothing that came after page one

"""What timeline promises, with its three neighbours played."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.services.timeline.conftest import Alone
from tests.services.timeline.neighbourhood import Neighbourhood, ids_of
from tidings.contracts import timeline
from tidings.contracts.messages import MessageId
from tidings.contracts.users import UserId
from tidings.platform.clock import now_ms
from tidings.platform.contract import BadCursor, Invalid, Unavailable
from tidings.services.timeline.rules import MOST_SEEN, SETTLED_MS


def a_neighbourhood(friends: int = 3) -> Neighbourhood:
    """Friends who each said one thing, the last friend last, all of it settled."""
    around = Neighbourhood(now_ms=now_ms())
    for place, friend in enumerate(around.befriend(friends)):
        around.says(friend, around.now_ms - 100_000 + place)
    return around


@pytest.mark.parametrize("friends", [1, 39, 313, 5000])
async def test_three_calls_however_many_friends(alone: Alone, friends: int) -> None:
    around = alone.among(a_neighbourhood(friends))

    page = await alone.lone.route(timeline.get_timeline, timeline.TimelineAsk(limit=100), around.me)
    assert len(page.entries) == min(friends, 100)
    assert sorted(alone.lone.calls) == ["friends/circles", "messages/latest_by_authors", "users/cards_as_of"]

    alone.lone.calls.clear()
    feed = await alone.lone.route(timeline.get_feed, timeline.FeedAsk(limit=100), around.me)
    assert len(feed.items) == min(friends, 100)
    assert sorted(alone.lone.calls) == ["friends/circles", "messages/page_by_authors", "users/cards_as_of"]


async def test_messages_down_leaves_the_friends(alone: Alone) -> None:
    around = alone.among(a_neighbourhood())
    around.down.add("messages")

    page = await alone.lone.route(timeline.get_timeline, timeline.TimelineAsk(), around.me)
    assert page.unreachable == ["messages"]
    assert {entry.author.id for entry in page.entries} == set(around.friends)
    assert [entry.messages for entry in page.entries] == [[], [], []]
    assert page.next_cursor is None

    feed = await alone.lone.route(timeline.get_feed, timeline.FeedAsk(), around.me)
    assert (feed.items, feed.unreachable) == ([], ["messages"])


@pytest.mark.parametrize("service", ["friends", "users"])
async def test_friends_or_users_down_is_refused_by_name(alone: Alone, service: str) -> None:
    around = alone.among(a_neighbourhood())
    around.down.add(service)

    for route, ask in (
        (timeline.get_timeline, timeline.TimelineAsk()),
        (timeline.get_feed, timeline.FeedAsk()),
    ):
        with pytest.raises(Unavailable) as refused:
            await alone.lone.route(route, ask, around.me)  # type: ignore[arg-type]
        assert refused.value.service == service


@pytest.mark.parametrize("why", ["gone", "suspended"])
async def test_who_has_no_card_is_gone_and_who_is_muted_is_not_asked_for(alone: Alone, why: str) -> None:
    around = alone.among(a_neighbourhood())
    first, second, third = around.friends
    getattr(around, why).add(second)
    around.muted.append(third)

    page = await alone.lone.route(timeline.get_timeline, timeline.TimelineAsk(explain=1), around.me)

    assert [entry.author.id for entry in page.entries] == [first]
    assert page.omitted == timeline.Omitted(gone=1, muted=1)
    assert sorted(around.asked[-1].friends) == sorted([first, second])
    assert page.explain is not None
    feed = await alone.lone.route(timeline.get_feed, timeline.FeedAsk(), around.me)
    assert [item.author.id for item in feed.items] == [first]
    assert feed.omitted == timeline.Omitted(gone=1, muted=1)


async def test_the_rules_travel_to_messages(alone: Alone) -> None:
    around = alone.among(a_neighbourhood())
    ask = timeline.TimelineAsk(per_friend=2, max_age=60, has="media", near="38.7,-9.1", within_km=5)
    began = now_ms()

    page = await alone.lone.route(timeline.get_timeline, ask, around.me)

    sent = around.asked[-1]
    assert page.entries == []  # what was said is older than a minute
    assert (sent.per_author, sent.rules.has_media) == (2, True)
    assert sent.rules.since_ms is not None
    assert 0 <= sent.rules.since_ms - (began - 60_000) < 5_000
    assert sent.rules.near is not None
    assert (sent.rules.near.latitude, sent.rules.near.longitude, sent.rules.near.within_km) == (38.7, -9.1, 5)


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        (timeline.TimelineAsk(near="1,1"), "?within_km"),
        (timeline.TimelineAsk(within_km=1), "?near"),
        (timeline.TimelineAsk(near="91,0", within_km=1), "?near"),
        (timeline.TimelineAsk(near="0,181", within_km=1), "?near"),
    ],
)
async def test_a_place_is_whole_and_on_earth(alone: Alone, ask: timeline.TimelineAsk, field: str) -> None:
    around = alone.among(a_neighbourhood())
    with pytest.raises(Invalid) as refused:
        await alone.lone.route(timeline.get_timeline, ask, around.me)
    assert [error.pointer for error in refused.value.errors] == [field]
    assert alone.lone.calls == []


async def test_a_cursor_belongs_to_its_asker_and_its_list(alone: Alone) -> None:
    around = alone.among(a_neighbourhood())
    page = await alone.lone.route(timeline.get_timeline, timeline.TimelineAsk(limit=1), around.me)
    feed = await alone.lone.route(timeline.get_feed, timeline.FeedAsk(limit=1), around.me)

    for ask, asker in (
        (timeline.TimelineAsk(limit=1, cursor=page.next_cursor), around.friends[0]),
        (timeline.TimelineAsk(limit=1, per_friend=2, cursor=page.next_cursor), around.me),
        (timeline.TimelineAsk(limit=1, cursor=feed.next_cursor), around.me),
    ):
        with pytest.raises(BadCursor):
            await alone.lone.route(timeline.get_timeline, ask, asker)
    with pytest.raises(BadCursor):
        await alone.lone.route(timeline.get_feed, timeline.FeedAsk(cursor=page.next_cursor), around.me)


async def test_max_age_is_counted_from_page_one(alone: Alone) -> None:
    around = alone.among(a_neighbourhood())
    ask = timeline.TimelineAsk(limit=1, max_age=3600)
    page = await alone.lone.route(timeline.get_timeline, ask, around.me)
    since = around.asked[-1].rules.since_ms
    next_ask = timeline.TimelineAsk(limit=1, max_age=3600, cursor=page.next_cursor)
    await alone.lone.route(timeline.get_timeline, next_ask, around.me)
    assert around.asked[-1].rules.since_ms == since


async def test_a_tail_that_is_full_waits_until_it_settles(alone: Alone) -> None:
    around = alone.among(Neighbourhood(now_ms=now_ms()))
    (friend,) = around.befriend(1)
    start = await alone.lone.route(timeline.get_feed, timeline.FeedAsk(), around.me)
    posted = [around.says(friend, around.now_ms + n) for n in range(MOST_SEEN + 50)]
    around.now_ms += MOST_SEEN + 50  # nothing of it is settled

    read, cursor = [], start.previous_cursor

    async def reads(times: int) -> None:
        nonlocal cursor
        for _ in range(times):
            ask = timeline.FeedAsk(limit=100, cursor=cursor)
            page = await alone.lone.route(timeline.get_feed, ask, around.me)
            read.extend(one for item in page.items for one in ids_of([item.message]))
            cursor = page.previous_cursor

    await reads(5)
    assert sorted(read) == sorted(posted)[:MOST_SEEN]
    assert alone.lone.calls.count("messages/page_by_authors") == 4  # a full tail is not asked for again

    await asyncio.sleep(SETTLED_MS / 1000 + 0.5)
    around.now_ms = now_ms()
    await reads(2)
    assert sorted(read) == sorted(posted)


async def test_the_feed_begins_with_a_message_and_leads_both_ways_from_it(alone: Alone) -> None:
    around = Neighbourhood(now_ms=now_ms())
    (friend,) = around.befriend(1)
    said = [around.says(friend, around.now_ms - 100_000 + place) for place in range(9)]
    mine = around.says(around.me, around.now_ms - 50_000)
    newest_first = [mine, *reversed(said)]
    alone.among(around)

    async def page(**ask: Any) -> tuple[list[UUID], timeline.Feed]:
        found = await alone.lone.route(timeline.get_feed, timeline.FeedAsk(limit=3, **ask), around.me)
        return [one for item in found.items for one in ids_of([item.message])], found

    for place, one in enumerate(newest_first):
        shown, _ = await page(at=one)
        assert shown == newest_first[place : place + 3]
    shown, found = await page(at=said[4])
    older, _ = await page(cursor=found.next_cursor)
    newer, further = await page(cursor=found.previous_cursor)
    assert [*newer, *shown, *older] == newest_first[2:11][: len(newer) + len(shown) + len(older)]
    assert newer == newest_first[2:5]
    newest, _ = await page(cursor=further.previous_cursor)
    assert newest == newest_first[:2]


async def test_the_feed_begins_with_the_next_older_where_the_message_is_not_shown(alone: Alone) -> None:
    around = Neighbourhood(now_ms=now_ms())
    (friend,) = around.befriend(1)
    strangers = UserId(uuid4())
    first, hidden, last = (
        around.says(author, around.now_ms - 90_000 + place)
        for place, author in enumerate((friend, strangers, friend))
    )
    alone.among(around)

    async def shown(at: UUID) -> list[UUID]:
        ask = timeline.FeedAsk(at=MessageId(at))
        found = await alone.lone.route(timeline.get_feed, ask, around.me)
        return [one for item in found.items for one in ids_of([item.message])]

    assert await shown(hidden) == [first]  # of a stranger: it tells nothing of itself
    assert await shown(UUID(int=hidden.int + 1)) == [first]
    assert await shown(UUID(int=2**128 - 1)) == [last, first]
    assert await shown(UUID(int=0)) == []


async def test_the_feed_begins_at_a_cursor_or_at_a_message(alone: Alone) -> None:
    around = alone.among(a_neighbourhood())
    found = await alone.lone.route(timeline.get_feed, timeline.FeedAsk(limit=1), around.me)
    both = timeline.FeedAsk(cursor=found.next_cursor, at=MessageId(ids_of([found.items[0].message])[0]))
    with pytest.raises(Invalid) as refused:
        await alone.lone.route(timeline.get_feed, both, around.me)
    assert refused.value.errors[0].pointer == "?at"

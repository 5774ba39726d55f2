"""notifications by itself: what each event leads to, in whatever order, and what is shown of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.services.notifications.happenings import Happenings
from tidings.contracts import friends, messages, notifications
from tidings.contracts.notifications import MarkRead, NewMark
from tidings.contracts.users import UserId
from tidings.platform.contract import BadCursor, Forbidden, NotFound, Nothing
from tidings.platform.occurrence import EventId
from tidings.platform.request import Viewer


async def test_requests_and_answers(happenings: Happenings) -> None:
    alice, bob = happenings.person(), happenings.person()
    happenings.asks(alice, bob)
    assert await happenings.kinds(bob) == [("friend_request", 1)]
    assert await happenings.kinds(alice) == []
    for one, other in ((alice, bob), (bob, alice)):
        happenings.graph(friends.befriended, one, other, by=bob)
    assert await happenings.kinds(bob) == []
    assert await happenings.kinds(alice) == [("friend_acceptance", 1)]
    for one, other in ((alice, bob), (bob, alice)):
        happenings.graph(friends.unfriended, one, other, by=alice)
    assert await happenings.kinds(alice) == []


async def test_what_concerns_nobody_here_is_passed_over_once(happenings: Happenings) -> None:
    alice, bob = happenings.person(), happenings.person()
    body = friends.FriendsImported(user_id=alice, friend_ids=[bob], version=1)
    happenings.happened(friends.imported, body, subject=alice)
    await happenings.settled()


async def test_groups_and_who_is_in_them(happenings: Happenings) -> None:
    alice, bob, cleo = (happenings.person() for _ in range(3))
    message = happenings.posts(alice)
    for who in (bob, cleo, alice):
        happenings.reacts(who, message, alice)
        happenings.posts(who, reply_to=message, reply_to_author=alice, mentions=[alice])
    assert await happenings.kinds(alice) == [("reaction", 2), ("reply", 2)]
    happenings.reacts(bob, message, alice, left=0)
    assert await happenings.kinds(alice) == [("reaction", 1), ("reply", 2)]
    happenings.gone.add(cleo)
    assert await happenings.kinds(alice) == [("reply", 1)]
    happenings.blocked.add(bob)
    assert await happenings.kinds(alice) == []


async def test_an_older_state_that_comes_late_changes_nothing(happenings: Happenings) -> None:
    alice, bob = happenings.person(), happenings.person()
    message = happenings.message()
    later = happenings.version + 100
    happenings.posts(bob, messages.edited, message_id=message, version=later, mentions=[])
    happenings.posts(bob, messages.posted, message_id=message, version=later - 1, mentions=[alice])
    withdrawn = happenings.message()
    happenings.posts(bob, messages.withdrawn, message_id=withdrawn, version=later + 2)
    happenings.posts(bob, messages.posted, message_id=withdrawn, version=later + 1, mentions=[alice])
    again = happenings.message()
    happenings.posts(bob, messages.edited, message_id=again, version=later + 4, mentions=[])
    happenings.posts(bob, messages.edited, message_id=again, version=later + 3, mentions=[alice])
    assert await happenings.kinds(alice) == []


async def test_what_may_not_be_seen_is_not_told(happenings: Happenings) -> None:
    alice, bob = happenings.person(), happenings.person()
    told, hidden = (happenings.posts(bob, mentions=[alice]) for _ in range(2))
    happenings.hidden.add(hidden)
    (shown,) = (await happenings.list(alice)).notifications
    assert shown.message is not None
    assert shown.message.id == told
    asked = sorted(call for call in happenings.lone.calls if not call.endswith("/occurrences"))
    assert asked == ["friends/relations", "messages/by_ids", "users/cards"]


async def test_without_messages_only_what_needs_none_is_shown(happenings: Happenings) -> None:
    alice, bob = happenings.person(), happenings.person()
    happenings.asks(bob, alice)
    happenings.posts(bob, mentions=[alice])
    await happenings.settled()
    happenings.messages_down = True
    page = await happenings.list(alice, raw=True)
    assert ([one.kind for one in page.notifications], page.unreachable) == (["friend_request"], ["messages"])


async def test_a_deleted_person_leaves_nothing_and_gets_nothing(happenings: Happenings) -> None:
    alice, bob, cleo = (happenings.person() for _ in range(3))
    happenings.posts(bob, mentions=[alice, cleo])
    assert await happenings.kinds(alice) == [("mention", 1)]
    happenings.removed(bob)
    assert await happenings.kinds(alice) == await happenings.kinds(cleo) == []
    happenings.posts(bob, mentions=[alice])  # an event from before, that came late
    assert await happenings.kinds(alice) == []
    happenings.removed(alice)
    happenings.posts(cleo, mentions=[alice])
    assert await happenings.kinds(alice) == []


async def test_pages_and_the_mark(happenings: Happenings) -> None:
    alice, bob = happenings.person(), happenings.person()
    for _ in range(5):
        happenings.posts(bob, mentions=[alice])
    first = await happenings.list(alice, limit=3)
    assert (len(first.notifications), first.unread, first.read_until) == (3, True, None)
    rest = await happenings.list(alice, limit=3, cursor=first.next_cursor)
    ids = [one.message.id for one in (*first.notifications, *rest.notifications) if one.message]
    assert (len(set(ids)), rest.next_cursor) == (5, None)
    with pytest.raises(BadCursor):
        await happenings.list(bob, cursor=first.next_cursor)
    ahead = MarkRead(body=NewMark(read_until=datetime(2100, 1, 1, tzinfo=UTC)))
    marked = await happenings.lone.route(notifications.mark_read, ahead, alice)
    assert marked.read_until < "2100"  # nobody reads what has not come
    assert not (await happenings.list(alice)).unread


async def test_events_are_the_operators_alone(happenings: Happenings) -> None:
    with pytest.raises(Forbidden):
        await happenings.lone.call(notifications.dead_letters, Nothing(), Viewer())
    with pytest.raises(NotFound):
        await happenings.lone.call(notifications.replay_event, EventId(id=happenings.person()))


async def test_something_is_unread_from_when_it_came_until_it_was_read(happenings: Happenings) -> None:
    alice, bob = happenings.person(), happenings.person()

    async def unread(person: UserId = alice) -> bool:
        await happenings.settled()
        return (await happenings.lone.call(notifications.unread, Nothing(), person)).unread

    async def reads() -> None:
        mark = MarkRead(body=NewMark(read_until=datetime.now(UTC)))
        await happenings.lone.route(notifications.mark_read, mark, alice)

    assert not await unread()
    message = happenings.posts(bob, mentions=[alice])
    assert await unread()
    assert not await unread(bob)
    await reads()
    assert not await unread()
    happenings.reacts(bob, message, bob)  # nothing of hers
    assert not await unread()
    happenings.asks(bob, alice)
    assert await unread()
    assert notifications.unread.callers == {"web"}


async def test_what_was_taken_back_is_not_unread(happenings: Happenings) -> None:
    """What no longer stands is kept against late events, and is no news."""
    alice, bob = happenings.person(), happenings.person()
    message = happenings.posts(alice)
    happenings.reacts(bob, message, alice)
    await happenings.settled()
    assert (await happenings.lone.call(notifications.unread, Nothing(), alice)).unread
    happenings.reacts(bob, message, alice, left=0)
    assert await happenings.kinds(alice) == []
    assert not (await happenings.lone.call(notifications.unread, Nothing(), alice)).unread

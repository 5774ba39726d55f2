"""Who sees what: every kind of viewer, over every read (rows 1, 2, 3, 6 and 7 of the security checklist)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from tests.services.messages.neighbourhood import Neighbourhood, Person, at, hides
from tidings.contracts.messages import AuthorLatest, Message, MessageId, PageItem
from tidings.platform.clock import now_ms
from tidings.platform.ids import uuid7

Read = Callable[[Person, Message], Awaitable[bool]]  # whether the viewer got it


async def by_id(viewer: Person, said: Message) -> bool:
    return not await hides(viewer.reads(said))


async def by_ids(viewer: Person, said: Message) -> bool:
    nothing = MessageId(uuid7(now_ms()))
    found = await viewer.finds(nothing, said)
    assert found in ([], [said.id])
    return bool(found)


async def by_author(viewer: Person, said: Message) -> bool:
    author = Person(said.author_id, viewer.town)
    return said.id in [one.message.id for one in (await viewer.lists(author)).messages]


async def by_replies(viewer: Person, said: Message) -> bool:
    return not await hides(viewer.reads_replies(said))


async def by_reactions(viewer: Person, said: Message) -> bool:
    return not await hides(viewer.reads_reactions(said))


async def by_history(viewer: Person, said: Message) -> bool:
    return not await hides(viewer.reads_history(said))


async def by_replying(viewer: Person, said: Message) -> bool:
    return not await hides(viewer.replies(said))


async def by_reacting(viewer: Person, said: Message) -> bool:
    return not await hides(viewer.reacts(said))


async def by_unreacting(viewer: Person, said: Message) -> bool:
    return not await hides(viewer.unreacts(said))


READS: list[Read] = [
    by_id,
    by_ids,
    by_author,
    by_replies,
    by_reactions,
    by_history,
    by_replying,
    by_reacting,
    by_unreacting,
]

# audience: who sees it.
MATRIX = {
    "friends": {"author", "friend"},
    "public": {"author", "friend", "named", "stranger"},
    "only": {"author", "named"},
}
VIEWERS = ("author", "friend", "named", "stranger", "blocked")


@pytest.mark.parametrize("read", READS, ids=lambda read: read.__name__)
@pytest.mark.parametrize("audience", sorted(MATRIX))
async def test_1_2_3_the_audience_decides_on_every_read(town: Neighbourhood, audience: str, read: Read) -> None:
    author, friend, named, stranger, blocked = town.people(5)
    town.befriend(author, friend, blocked)
    town.block(blocked, author)
    viewers = dict(zip(VIEWERS, (author, friend, named, stranger, blocked), strict=True))
    only = [named, blocked] if audience == "only" else []
    said = await author.posts("secret", audience=audience, only=only)
    assert {name for name, viewer in viewers.items() if await read(viewer, said)} == MATRIX[audience]


@pytest.mark.parametrize("read", READS, ids=lambda read: read.__name__)
async def test_6_a_suspended_or_deleted_author_is_never_shown(town: Neighbourhood, read: Read) -> None:
    author, friend = town.people(2)
    town.befriend(author, friend)
    said = await author.posts(audience="public")
    assert await read(friend, said)
    town.gone.add(author.id)
    assert not await read(friend, said)
    town.gone.discard(author.id)
    assert await read(friend, said)  # reinstated


async def test_a_muted_person_is_shown_when_read_directly(town: Neighbourhood) -> None:
    author, friend = town.people(2)
    town.befriend(author, friend)
    said = await author.posts()
    for read in READS:
        assert await read(friend, said)


async def test_a_mention_widens_nothing(town: Neighbourhood) -> None:
    author, stranger = town.people(2)
    said = await author.posts(mentions=[stranger.id])
    assert not await by_id(stranger, said)


async def test_narrowing_takes_away_at_once(town: Neighbourhood) -> None:
    author, friend = town.people(2)
    town.befriend(author, friend)
    said = await author.posts()
    await author.edits(said, audience="only", only=[author])
    for read in READS:
        assert not await read(friend, said)
    assert (await friend.latest([author])).authors == []
    assert (await friend.page([author])).items == []


async def test_widening_does_not_reach_back_into_history(town: Neighbourhood) -> None:
    author, friend, stranger = town.people(3)
    town.befriend(author, friend)
    said = await author.posts("among friends")
    await author.edits(said, text="for all", audience="public")
    await author.edits(said, text="for all!")
    assert [one.text for one in await stranger.reads_history(said)] == ["for all"]
    assert [one.text for one in await friend.reads_history(said)] == ["for all", "among friends"]
    assert [one.text for one in await author.reads_history(said)] == ["for all", "among friends"]


async def test_28_a_place_is_for_friends_and_oneself(town: Neighbourhood) -> None:
    author, friend, stranger = town.people(3)
    town.befriend(author, friend)
    said = await author.posts(audience="public", place=at(52.123456, 4.98765, decimals=1))
    for viewer, place in ((author, said.place), (friend, said.place), (stranger, None)):
        assert (await viewer.reads(said)).message.place == place
        assert [one.message.place for one in (await viewer.lists(author)).messages] == [place]
    assert said.place is not None
    assert (said.place.latitude, said.place.longitude) == (52.1, 5.0)
    near, far = await friend.latest([author]), await stranger.latest([], [author])
    assert [placed(one) for one in (*near.authors, *far.authors)] == [True, False]
    nearby, faraway = await friend.page([author]), await stranger.page([], [author])
    assert [placed(one) for one in (*nearby.items, *faraway.items)] == [True, False]


def placed(shown: AuthorLatest | PageItem) -> bool:
    raw = shown.message if isinstance(shown, PageItem) else shown.messages[0]
    return msgspec.json.decode(raw, type=Message).place is not None


async def test_a_reply_is_for_those_who_see_all_above_and_whom_it_admits(town: Neighbourhood) -> None:
    author, replier, readers, friend_of_replier, stranger = town.people(5)
    town.befriend(author, replier, readers)
    town.befriend(replier, friend_of_replier)
    among_friends = await author.posts()
    answer = await replier.replies(among_friends, audience="public")
    assert await sees(answer, author, replier, readers, friend_of_replier, stranger) == [1, 1, 1, 0, 0]

    public = await author.posts(audience="public")
    answers = {
        "public": await replier.replies(public, audience="public"),
        "friends": await replier.replies(public, audience="friends"),
        "only": await replier.replies(public, audience="only", only=[stranger]),
    }
    everybody = (author, replier, readers, friend_of_replier, stranger)
    assert await sees(answers["public"], *everybody) == [1, 1, 1, 1, 1]
    # Friends of the replier, and those of the author above: a thread among friends stays one talk.
    assert await sees(answers["friends"], *everybody) == [1, 1, 1, 1, 0]
    assert await sees(answers["only"], *everybody) == [0, 1, 0, 0, 1]
    listed = [one.message.id for one in (await stranger.reads_replies(public)).messages]
    assert listed == [answers["public"].id, answers["only"].id]

    below = await stranger.replies(answers["only"], audience="public")
    assert await sees(below, *everybody) == [0, 1, 0, 0, 1]


async def sees(said: Message, *viewers: Person) -> list[int]:
    return [int(await by_id(viewer, said)) for viewer in viewers]


async def test_6_replies_under_or_by_the_gone_and_blocked_are_hidden(town: Neighbourhood) -> None:
    author, replier, reader = town.people(3)
    town.befriend(author, replier, reader)
    said = await author.posts(audience="public")
    answer = await replier.replies(said, audience="public")
    below = await author.replies(answer, audience="public")
    town.block(reader, replier)
    assert await sees(said, reader) + await sees(answer, reader) + await sees(below, reader) == [1, 0, 0]
    assert (await reader.reads_replies(said)).messages == []
    assert await hides(reader.reads_replies(answer))
    town.blocks.clear()
    town.gone.add(replier.id)
    assert await sees(answer, reader, author) == [0, 0]
    assert await sees(below, reader, author) == [0, 0]
    town.gone.discard(replier.id)


async def test_6_7_reactions_name_nobody_gone_or_blocked(town: Neighbourhood) -> None:
    author, one, two, three = town.people(4)
    town.befriend(author, one, two, three)
    said = await author.posts()
    for reactor in (one, two, three):
        await reactor.reacts(said)
    town.block(author, one)
    town.gone.add(two.id)
    assert [reaction.user.id for reaction in await author.reads_reactions(said)] == [three.id]
    assert (await author.reads(said)).reactions[0].count == 3  # counted as stored


async def test_hidden_replies_leave_no_page_short_while_there_are_others(town: Neighbourhood) -> None:
    author, blocked, reader = town.people(3)
    town.befriend(author, blocked, reader)
    town.block(reader, blocked)
    said = await author.posts()
    for _ in range(3):
        await blocked.replies(said)
    answers = [(await author.replies(said)).id for _ in range(3)]
    shown: list[MessageId] = []
    cursor = None
    for _ in range(4):
        page = await reader.reads_replies(said, limit=2, cursor=cursor)
        shown.extend(one.message.id for one in page.messages)
        cursor = page.next_cursor
        if cursor is None:
            break
    assert shown == answers

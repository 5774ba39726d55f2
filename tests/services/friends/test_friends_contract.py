"""What friends promises of asking, accepting and ending, of blocks and of mutes."""

from __future__ import annotations

import pytest

from tests.services.friends.town import Person, Town, ids, refusal, shown
from tidings.contracts import friends as contract
from tidings.contracts.friends import NotYourself, Relation
from tidings.contracts.users import ByIds
from tidings.platform.contract import NotFound, Unavailable
from tidings.platform.request import Viewer


async def test_a_friendship_is_asked_and_accepted(town: Town) -> None:
    ada, ben = town.people(2)
    asked = await ada.asks(ben)
    assert (asked.user_id, asked.state) == (ben.id, "requested")
    assert await ada.stands_with(ben) == asked
    assert (await ben.stands_with(ada)).state == "asked"
    assert shown(await ben.incoming()) == [ada.id]
    assert shown(await ada.outgoing()) == [ben.id]
    assert (await ada.circle()).friends == []
    assert await ada.relations(ben) == {}

    accepted = await ben.asks(ada)
    assert (accepted.user_id, accepted.state) == (ada.id, "friends")
    mine = await ada.stands_with(ben)
    assert (mine.user_id, mine.state, mine.since) == (ben.id, "friends", accepted.since)
    for one, other in ((ada, ben), (ben, ada)):
        assert shown(await one.friends()) == [other.id]
        assert (await one.circle()).friends == [other.id]
        assert await one.relations(other) == {other.id: Relation(friend=True)}
        assert shown(await one.incoming()) == shown(await one.outgoing()) == []


async def test_asking_again_changes_nothing_and_is_answered_the_same(town: Town) -> None:
    ada, ben = town.people(2)
    asked = await ada.asks(ben)
    assert await ada.asks(ben) == asked
    assert await town.versions(ada, ben) == [1, 1]
    friends = await ben.asks(ada)
    assert await ben.asks(ada) == friends
    assert (await ada.asks(ben)).since == friends.since
    assert await town.versions(ada, ben) == [2, 2]
    assert len(await town.happened(ada, ben)) == 4


async def test_a_friendship_ends_on_both_sides(town: Town) -> None:
    ada, ben = town.people(2)
    await ada.befriends(ben)
    await ben.ends(ada)
    for one, other in ((ada, ben), (ben, ada)):
        assert shown(await one.friends()) == []
        await refusal(NotFound, one.stands_with(other))
        await refusal(NotFound, one.ends(other))
    assert (await ada.asks(ben)).state == "requested"


async def test_a_request_is_withdrawn_or_declined(town: Town) -> None:
    ada, ben = town.people(2)
    for one in (ada, ben):
        await ada.asks(ben)
        await refusal(NotFound, one.ends(ben if one is ada else ada))
        await one.drops(ben if one is ada else ada)
        assert shown(await ben.incoming()) == shown(await ada.outgoing()) == []
        await refusal(NotFound, one.drops(ben if one is ada else ada))
    await ada.befriends(ben)
    await refusal(NotFound, ada.drops(ben))
    assert (await ada.stands_with(ben)).state == "friends"


async def test_nobody_stands_with_themselves(town: Town) -> None:
    [ada] = town.people(1)
    for doing in (ada.asks, ada.blocks, ada.mutes):
        await refusal(NotYourself, doing(ada))
    for looking in (ada.stands_with, ada.ends, ada.drops, ada.unblocks, ada.unmutes):
        await refusal(NotFound, looking(ada))
    assert town.lone.calls == []
    assert await town.versions(ada) == [0]


async def test_the_unknown_cannot_be_asked_blocked_or_muted(town: Town) -> None:
    ada, ghost = town.people(2)
    town.gone.add(ghost.id)
    for doing in (ada.asks, ada.blocks, ada.mutes):
        await refusal(NotFound, doing(ghost))
    assert await town.versions(ada, ghost) == [0, 0]


async def test_users_away_is_said_so_and_changes_nothing(town: Town) -> None:
    ada, ben, cyd = town.people(3)
    await ada.befriends(cyd)
    town.users_down = True
    for doing in (ada.asks(ben), ada.blocks(ben), ada.mutes(ben), ada.friends(), ada.stands_with(cyd)):
        assert (await refusal(Unavailable, doing)).service == "users"
    assert (await ada.circle()).friends == [cyd.id]
    town.users_down = False
    await refusal(NotFound, ada.stands_with(ben))
    assert await ada.relations(ben) == {}


async def test_the_gone_are_shown_nowhere(town: Town) -> None:
    ada, ben, cyd = town.people(3)
    await ada.befriends(ben, cyd)
    town.gone.add(ben.id)
    assert shown(await ada.friends()) == [cyd.id]
    await refusal(NotFound, ada.stands_with(ben))
    await refusal(NotFound, ada.friends_of(ben))
    assert shown(await cyd.friends_of(ada)) == [cyd.id]


@pytest.mark.parametrize("before", ["strangers", "asked", "was asked", "friends"])
async def test_a_block_ends_all_and_hides_both_ways(town: Town, before: str) -> None:
    ada, ben = town.people(2)
    if before in ("asked", "friends"):
        await ada.asks(ben)
    if before in ("was asked", "friends"):
        await ben.asks(ada)
    await ada.blocks(ben)
    for one, other in ((ada, ben), (ben, ada)):
        assert await one.relations(other) == {other.id: Relation(blocked=True)}
        assert (await one.circle()).friends == []
        assert shown(await one.incoming()) == shown(await one.outgoing()) == shown(await one.friends()) == []
        await refusal(NotFound, one.stands_with(other))
        await refusal(NotFound, one.friends_of(other))
        await refusal(NotFound, one.ends(other))
        await refusal(NotFound, one.drops(other))
    assert shown(await ada.blocked()) == [ben.id]
    assert shown(await ben.blocked()) == []
    await refusal(NotFound, ben.unblocks(ada))

    await ada.unblocks(ben)
    assert await ada.relations(ben) == await ben.relations(ada) == {}
    await refusal(NotFound, ada.stands_with(ben))
    await refusal(NotFound, ada.unblocks(ben))
    assert (await ben.asks(ada)).state == "requested"


async def test_nobody_learns_that_they_were_blocked(town: Town) -> None:
    ada, ben, ghost = town.people(3)
    town.gone.add(ghost.id)
    await ada.blocks(ben)
    unknown = await refusal(NotFound, ben.asks(ghost))
    for one, other in ((ben, ada), (ada, ben)):
        refused = await refusal(NotFound, one.asks(other))
        assert (refused.code, refused.status, refused.detail) == (unknown.code, unknown.status, unknown.detail)
        assert (refused.errors, refused.retry_after) == (unknown.errors, unknown.retry_after)
    looked = [await refusal(NotFound, ben.stands_with(other)) for other in (ada, ghost)]
    assert looked[0].detail == looked[1].detail
    assert await town.versions(ada, ben) == [1, 1]


async def test_both_may_block_and_each_lifts_their_own(town: Town) -> None:
    ada, ben = town.people(2)
    await ada.blocks(ben)
    await ben.blocks(ada)
    await ben.blocks(ada)
    assert await town.versions(ada, ben) == [2, 2]
    await ada.unblocks(ben)
    for one, other in ((ada, ben), (ben, ada)):
        assert await one.relations(other) == {other.id: Relation(blocked=True)}
    await refusal(NotFound, ada.asks(ben))
    await ben.unblocks(ada)
    assert await ada.relations(ben) == {}


async def test_a_mute_concerns_the_muter_alone(town: Town) -> None:
    ada, ben, cyd = town.people(3)
    await ada.befriends(ben)
    await ada.mutes(ben)
    await ada.mutes(ben)
    await ada.mutes(cyd)
    assert await ada.relations(ben, cyd) == {
        ben.id: Relation(friend=True, muted=True),
        cyd.id: Relation(muted=True),
    }
    assert await ben.relations(ada) == {ada.id: Relation(friend=True)}
    circle = await ada.circle()
    assert (circle.friends, circle.muted) == ([ben.id], [ben.id])
    assert (await ben.circle()).muted == []
    assert shown(await ada.muted()) == [cyd.id, ben.id]
    assert await town.versions(ada, ben, cyd) == [4, 2, 0]
    await ada.unmutes(ben)
    await refusal(NotFound, ada.unmutes(ben))
    assert (await ada.circle()).muted == []


async def test_a_circle_is_oldest_first(town: Town) -> None:
    ada, *others = town.people(5)
    await town.imports(*((ada, other) for other in reversed(others)))
    assert (await ada.circle()).friends == ids(reversed(others))


async def test_a_stranger_to_the_server_has_no_relations(town: Town) -> None:
    ada, ben = town.people(2)
    await ada.befriends(ben)
    assert await town.lone.call(contract.relations, ByIds(ids=ids((ada, ben))), Viewer()) == {}


async def test_relations_are_one_bulk_answer(town: Town) -> None:
    ada, friend, muted, blocked, blocker, asked, stranger = everybody = town.people(7)
    await ada.befriends(friend)
    await ada.mutes(muted)
    await ada.blocks(blocked)
    await blocker.blocks(ada)
    await ada.asks(asked)
    assert await ada.relations(*everybody) == {
        friend.id: Relation(friend=True),
        muted.id: Relation(muted=True),
        blocked.id: Relation(blocked=True),
        blocker.id: Relation(blocked=True),
    }
    assert stranger.id not in await ada.relations(stranger)


async def test_friends_of_a_friend_without_the_blocked(town: Town) -> None:
    ada, owner, ben, blocked, blocker, stranger = town.people(6)
    await town.imports(*((owner, other) for other in (ada, ben, blocked, blocker)))
    await ada.blocks(blocked)
    await blocker.blocks(ada)
    assert shown(await ada.friends_of(owner)) == ids((ben, ada))
    assert shown(await ben.friends_of(owner)) == ids((blocker, blocked, ben, ada))
    assert shown(await owner.friends_of(owner)) == shown(await owner.friends())
    await refusal(NotFound, stranger.friends_of(owner))
    await owner.asks(stranger)
    await refusal(NotFound, stranger.friends_of(owner))


async def test_one_may_look_at_friends_of_only_while_friends(town: Town) -> None:
    ada, owner = town.people(2)
    await ada.befriends(owner)
    assert shown(await ada.friends_of(owner)) == [ada.id]
    await owner.ends(ada)
    await refusal(NotFound, ada.friends_of(owner))


@pytest.mark.parametrize("verb", ["friends", "incoming", "outgoing", "blocked", "muted"])
async def test_an_empty_list_asks_nobody(town: Town, verb: str) -> None:
    [ada] = town.people(1)
    page = await getattr(ada, verb)()
    assert (page.people, page.next_cursor) == ([], None)
    assert town.lone.calls == []


async def test_a_list_costs_one_call_however_long(town: Town) -> None:
    ada, *others = town.people(101)
    await town.imports(*((ada, other) for other in others))
    assert len((await ada.friends(limit=100)).people) == 100
    assert town.lone.calls == ["users/cards"]
    others_view: Person = others[0]
    assert len((await others_view.friends_of(ada, limit=100)).people) == 100
    assert town.lone.calls == ["users/cards"] * 2

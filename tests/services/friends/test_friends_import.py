"""What the operator's import promises: one transaction, idempotent, within every rule."""

from __future__ import annotations

import asyncio
from itertools import combinations

import asyncpg
import pytest

from tests.harness.lone import in_process, lone
from tests.services.friends.conftest import KINDS
from tests.services.friends.town import Town, ids, refusal, shown
from tidings.contracts import friends as contract
from tidings.contracts.friends import MOST_FRIENDS, ImportFriendships, NotYourself, Relation, TooManyFriends
from tidings.contracts.users import Imported
from tidings.platform.contract import Forbidden, Unavailable
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.request import Viewer
from tidings.platform.settings import Settings


async def test_an_import_makes_friends_and_a_second_changes_nothing(town: Town) -> None:
    people = town.people(5)
    pairs = list(combinations(people, 2))
    assert await town.imports(*pairs) == Imported(added=10, present=0)
    assert await town.versions(*people) == [1] * 5
    happened = await town.happened(*people)
    assert sorted((row.subject, row.event, row.version) for row in happened) == [
        (one, "friends.imported", 1) for one in sorted(ids(people))
    ]
    for row in happened:
        assert (row.body["user_id"], row.body["version"]) == (str(row.subject), row.version)
        assert sorted(row.body["friend_ids"]) == sorted(str(one) for one in ids(people) if one != row.subject)

    assert await town.imports(*((b, a) for a, b in pairs), since_ms=9) == Imported(added=0, present=10)
    assert await town.versions(*people) == [1] * 5
    assert len(await town.happened(*people)) == 5
    for one in people:
        assert sorted(shown(await one.friends())) == sorted(set(ids(people)) - {one.id})


async def test_a_pair_named_twice_is_one_friendship(town: Town) -> None:
    ada, ben, cyd = town.people(3)
    await ada.befriends(ben)
    assert await town.imports((ada, ben), (ada, cyd), (cyd, ada)) == Imported(added=1, present=1)
    assert (await ada.circle()).friends == [cyd.id, ben.id]


async def test_an_import_answers_requests(town: Town) -> None:
    ada, ben, cyd = town.people(3)
    await ada.asks(ben)
    await cyd.asks(ada)
    await town.imports((ada, ben), (ada, cyd))
    assert shown(await ada.outgoing()) == shown(await ada.incoming()) == []
    assert shown(await ben.incoming()) == shown(await cyd.outgoing()) == []
    assert (await ben.stands_with(ada)).state == "friends"


async def test_the_blocked_and_the_deleted_are_left_out(town: Town) -> None:
    ada, ben, cyd, dan, eve = town.people(5)
    await ben.blocks(ada)
    await ada.blocks(cyd)
    await town.delete(dan)
    assert await town.imports((ada, ben), (ada, cyd), (ada, dan), (ada, eve)) == Imported(added=1, present=0)
    assert (await ada.circle()).friends == [eve.id]
    assert (await dan.circle()).friends == []
    assert await ada.relations(ben, cyd, dan) == {other.id: Relation(blocked=True) for other in (ben, cyd)}


async def test_one_bad_pair_and_nothing_is_kept(town: Town) -> None:
    ada, ben = town.people(2)
    await refusal(NotYourself, town.imports((ada, ben), (ben, ben)))
    assert (await ada.circle()).friends == []
    assert await town.imports() == Imported(added=0, present=0)


@pytest.mark.parametrize("role", ["member", "stranger"])
async def test_only_an_operator_imports(town: Town, role: str) -> None:
    [ada] = town.people(1)
    viewer = Viewer(user_id=ada.id, role=role)  # type: ignore[arg-type]
    ask = ImportFriendships(friendships=[])
    await refusal(Forbidden, town.lone.call(contract.import_friendships, ask, viewer))


async def test_five_thousand_friends_and_no_more(town: Town) -> None:
    ada, ben, cyd, *others = town.people(3 + MOST_FRIENDS)
    assert (await town.imports(*((ada, other) for other in others[:-1]))).added == MOST_FRIENDS - 1

    await ben.asks(ada)
    await ada.asks(cyd)
    assert (await ada.asks(ben)).state == "friends"  # the last place
    assert len((await ada.circle()).friends) == MOST_FRIENDS
    versions = await town.versions(ada, cyd, others[-1])

    await refusal(TooManyFriends, cyd.asks(ada))  # would accept
    await refusal(TooManyFriends, others[-1].asks(ada))
    await refusal(TooManyFriends, ada.asks(others[-1]))
    await refusal(TooManyFriends, town.imports((ben, cyd), (others[-1], ada)))
    assert (await ada.asks(ben)).state == "friends"  # that is there already
    assert await town.versions(ada, cyd, others[-1]) == versions
    assert ben.id not in (await cyd.circle()).friends
    assert (await town.imports((ada, ben), (ada, others[0]))) == Imported(added=0, present=2)

    await ada.ends(ben)
    assert (await cyd.asks(ada)).state == "friends"
    assert len((await ada.circle()).friends) == MOST_FRIENDS
    assert len(await ada.relations(cyd, *others)) == MOST_FRIENDS


@in_process  # a second one beside it, with time-outs of its own
@pytest.mark.parametrize("running", ["rows"], indirect=True)
async def test_a_batch_may_take_longer_than_an_ordinary_write(town: Town, postgres: EmbeddedPostgres) -> None:
    hasty = Town()
    settings = Settings(transaction_timeout_ms=200, lock_timeout_ms=5000)
    played = {"users/cards": hasty.cards}
    async with lone(KINDS["rows"], postgres, played, database="friends_rows", settings=settings) as alone:
        hasty.lone = alone
        cyd, dan = hasty.people(2)
        holder = await asyncpg.connect(alone.dsn)
        try:
            async with holder.transaction():
                await holder.execute("insert into subject_fence (user_id) values ($1)", cyd.id)
                importing = asyncio.create_task(hasty.imports((cyd, dan)))
                await refusal(Unavailable, dan.asks(cyd))
                await asyncio.sleep(0.2)
            assert await importing == Imported(added=1, present=0)
        finally:
            await holder.close()

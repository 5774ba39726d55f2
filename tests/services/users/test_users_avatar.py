"""A picture of one's own that one is shown by."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from tests.services.users.people import Person, Town
from tidings.contracts import users
from tidings.platform.clock import now_ms
from tidings.platform.contract import Busy, Invalid, NotFound, Stale, Unavailable
from tidings.platform.ids import uuid7


async def shown(person: Person) -> tuple[str, str]:
    """As others are shown them: on the card, and on the person's page."""
    town = person.town
    [found] = (await person.does(users.find_users, ids=[person.id])).users
    card = (await town.cards(person.id))[person.id]
    [kept] = (await town.lone.call(users.cards_as_of, users.ByIds(ids=[person.id]))).values()
    assert found == card == kept.card
    return card.avatar, (await person.sees(person)).avatar


async def test_one_is_shown_by_a_picture_of_ones_own(town: Town) -> None:
    anna = await town.joins("av_anna1")
    made = f"/v1/avatars/{anna.id}"
    assert await shown(anna) == (made, made)
    avatar = anna.uploads()
    changed = await anna.changes(avatar=avatar)
    own = (f"/v1/media/{avatar}/avatar-96", f"/v1/media/{avatar}/avatar-400")
    assert await shown(anna) == own
    assert changed.avatar == own[1]
    assert changed == await anna.sees(anna)
    assert (await anna.changes(bio="hi")).avatar == own[1]  # what is left out stays
    removed = await anna.changes(avatar=None)
    assert (removed.avatar, removed.bio) == (made, "hi")
    assert await shown(anna) == (made, made)


async def test_a_whole_profile_is_with_its_picture_or_without(town: Town) -> None:
    anna = await town.joins("av_anna2")
    avatar = anna.uploads()

    async def replaces(**profile: UUID) -> str:
        body = users.NewProfile(name="Anna", bio="", **profile)
        replaced: users.Profile = await anna.does(users.replace_user, user_id=anna.id, body=body)
        return replaced.avatar

    assert await replaces(avatar=avatar) == f"/v1/media/{avatar}/avatar-400"
    assert await replaces(avatar=avatar) == f"/v1/media/{avatar}/avatar-400"
    assert await replaces() == f"/v1/avatars/{anna.id}"
    assert await town.told(anna) == [("joined", None), ("changed", avatar), ("changed", avatar), ("changed", None)]


async def test_an_avatar_is_a_picture_of_ones_own(town: Town) -> None:
    anna, ben = await town.joins("av_anna3"), await town.joins("av_ben3")
    avatar = anna.uploads()
    await anna.changes(avatar=avatar)
    for wrong in (ben.uploads(), uuid7(now_ms())):
        with pytest.raises(Invalid) as refused:
            await anna.changes(name="Other", avatar=wrong)
        assert [error.pointer for error in refused.value.errors] == ["/avatar"]
        with pytest.raises(Invalid):
            await anna.does(
                users.replace_user, user_id=anna.id, body=users.NewProfile(name="Other", bio="", avatar=wrong)
            )
    assert (await anna.sees(anna)).name == "Av_anna3"
    assert await town.told(anna) == [("joined", None), ("changed", avatar)]
    with pytest.raises(NotFound):
        await ben.does(users.patch_user, user_id=anna.id, body=users.ProfilePatch(avatar=ben.uploads()))


async def test_media_is_asked_for_another_avatar_alone(town: Town) -> None:
    anna = await town.joins("av_anna4")
    first, second = anna.uploads(), anna.uploads()
    for profile, calls in (
        ({"name": "Anna"}, []),
        ({"avatar": None}, []),
        ({"avatar": first}, ["media/hold"]),
        ({"avatar": first, "bio": "the same"}, []),
        ({"avatar": second}, ["media/hold"]),
        ({"avatar": None}, []),
        ({"avatar": second}, ["media/hold"]),
    ):
        town.lone.calls.clear()
        await anna.changes(**profile)
        assert town.lone.calls == calls


async def test_without_media_one_keeps_the_avatar_that_one_has(town: Town) -> None:
    anna = await town.joins("av_anna5")
    avatar = anna.uploads()
    await anna.changes(avatar=avatar)
    town.down.add("media")
    with pytest.raises(Unavailable) as refused:
        await anna.changes(name="Other", avatar=anna.uploads())
    assert refused.value.service == "media"
    kept = await anna.changes(name="Anna", avatar=avatar)
    assert (kept.name, kept.avatar) == ("Anna", f"/v1/media/{avatar}/avatar-400")
    assert (await anna.changes(avatar=None)).avatar == f"/v1/avatars/{anna.id}"


async def test_an_avatar_that_is_removed_meanwhile_does_not_come_back(town: Town) -> None:
    """It was not asked for, since the profile had it: so nobody keeps the picture any more."""
    anna = await town.joins("av_anna6")
    avatar = anna.uploads()
    await anna.changes(avatar=avatar)
    async with town.database.transaction():
        await town.database.execute("select from subject_fence where user_id = $1 for no key update", anna.id)
        changing = asyncio.create_task(anna.changes(bio="hi", avatar=avatar))
        while not await town.database.fetchval("select count(*) from pg_locks where not granted"):
            await asyncio.sleep(0.01)
        await town.database.execute("update accounts set avatar = null where id = $1", anna.id)
    with pytest.raises(Busy):
        await changing
    assert (await anna.changes(avatar=avatar)).avatar == f"/v1/media/{avatar}/avatar-400"


async def test_a_change_of_an_avatar_is_of_a_version(town: Town) -> None:
    anna = await town.joins("av_anna7")
    change = users.PatchProfile(user_id=anna.id, body=users.ProfilePatch(avatar=anna.uploads()))
    await town.lone.served(users.patch_user, change, anna.viewer, if_match=[1])
    with pytest.raises(Stale):
        await town.lone.served(users.patch_user, change, anna.viewer, if_match=[1])


async def test_every_event_tells_the_avatar_as_of_then(town: Town) -> None:
    anna, root = await town.joins("av_anna8"), await town.joins("av_root8")
    await town.makes_administrator(root)
    first, second = anna.uploads(), anna.uploads()
    await anna.changes(avatar=first)
    await anna.changes(name="Anna")
    await anna.signs_in()
    assert anna.session is not None
    await anna.does(users.sign_out, session_id=anna.session.session_id)
    await anna.signs_in()
    await anna.does(users.sign_out_everywhere)
    await anna.changes(avatar=second)
    await anna.signs_in()
    await town.makes_administrator(anna)
    await root.suspends(anna)
    await root.does(users.reinstate_user, user_id=anna.id)
    await anna.leaves()
    assert await town.told(anna) == [
        ("joined", None),
        ("changed", first),
        ("changed", first),
        ("signed_out", first),
        ("signed_out", first),
        ("changed", second),
        ("changed", second),
        ("signed_out", second),
        ("suspended", second),
        ("reinstated", second),
        ("removed", None),
    ]


async def test_a_deleted_account_has_no_avatar(town: Town) -> None:
    anna = await town.joins("av_anna9")
    await anna.changes(avatar=anna.uploads())
    await anna.leaves()
    left = await town.database.fetchrow("select state, avatar from accounts where id = $1", anna.id)
    assert left is not None and tuple(left) == ("deleted", None)

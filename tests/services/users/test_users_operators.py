"""Invites, import and the operator's lists."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.services.users.people import NOTHING, PASSWORD, Town
from tidings.contracts import users
from tidings.platform.contract import Invalid, NotFound
from tidings.platform.ids import uuid7
from tidings.platform.request import Viewer


def person(number: int, handle: str, **rest: Any) -> users.ImportedPerson:
    identifier = users.UserId(uuid7(number, rand_a=7, rand_b=number))
    fields = {"name": f"Person {handle}", "bio": "", "created_ms": 1_700_000_000_000 + number, **rest}
    return users.ImportedPerson(id=identifier, handle=handle, **fields)


async def imports(town: Town, *people: users.ImportedPerson) -> users.Imported:
    return await town.lone.call(users.import_people, users.ImportPeople(people=list(people)))


async def operator_invites(town: Town) -> str:
    return (await town.lone.call(users.invite, NOTHING)).secret


async def test_an_invite_lets_one_person_in(closed: Town) -> None:
    for code in (None, "tdi_nonsense"):
        with pytest.raises(users.InviteNeeded):
            await closed.joins("early", invite=code)
    code = await operator_invites(closed)
    answers = await asyncio.gather(
        *(closed.joins(f"lucky{n}", invite=code) for n in range(3)), return_exceptions=True
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["InviteNeeded", "InviteNeeded", "Person"]
    with pytest.raises(users.InviteNeeded):
        await closed.joins("late", invite=code)


async def test_a_refused_sign_up_leaves_the_invite_open(closed: Town) -> None:
    await closed.joins("settled", invite=await operator_invites(closed))
    code = await operator_invites(closed)
    with pytest.raises(users.HandleTaken):
        await closed.joins("settled", invite=code)
    await closed.joins("unsettled", invite=code)


async def test_a_repeated_sign_up_needs_its_invite_once(closed: Town) -> None:
    new = users.NewUser(handle="again", name="A", password=PASSWORD, invite=await operator_invites(closed))
    first = await closed.lone.route(users.sign_up, users.SignUp(body=new), Viewer(), key="again")
    assert first == await closed.lone.route(users.sign_up, users.SignUp(body=new), Viewer(), key="again")


async def test_its_maker_sees_an_invite_and_may_withdraw_it(closed: Town) -> None:
    anna = await closed.joins("iv_anna", invite=await operator_invites(closed))
    ben = await closed.joins("iv_ben", invite=await operator_invites(closed))
    used, withdrawn = await anna.invites(), await anna.invites()
    assert used.code.startswith("tdi_") and used.code != withdrawn.code
    await closed.joins("iv_new", invite=used.code)
    listed = (await anna.does(users.list_invites)).invites
    assert [(one.id, one.code, one.used) for one in listed] == [
        (withdrawn.id, withdrawn.code, False),
        (used.id, used.code, True),
    ]
    assert (await ben.does(users.list_invites)).invites == []
    for who, invite_id in ((ben, withdrawn.id), (anna, used.id), (anna, uuid7(1))):
        with pytest.raises(NotFound):
            await who.does(users.withdraw_invite, invite_id=invite_id)
    await anna.does(users.withdraw_invite, invite_id=withdrawn.id)
    with pytest.raises(users.InviteNeeded):
        await closed.joins("iv_late", invite=withdrawn.code)


async def test_a_repeated_invite_is_one_and_shows_its_code(closed: Town) -> None:
    anna = await closed.joins("iw_anna", invite=await operator_invites(closed))
    first, again = [
        await closed.lone.route(users.make_invite, NOTHING, anna.viewer, key="an invite") for _ in range(2)
    ]
    assert first == again and again.code
    assert len((await anna.does(users.list_invites)).invites) == 1


@pytest.mark.parametrize("ends", ["deleted", "suspended", "expired"])
async def test_an_invite_ends_with_its_time_or_its_maker(closed: Town, ends: str) -> None:
    anna = await closed.joins(f"ie_{ends}", invite=await operator_invites(closed))
    invite = await anna.invites()
    if ends == "deleted":
        await anna.leaves()
    elif ends == "suspended":
        root = await closed.joins("ie_root", invite=await operator_invites(closed))
        await closed.makes_administrator(root)
        await root.suspends(anna)
    else:
        days = await closed.database.fetchval(
            "select extract(epoch from expires_at - now()) / 86400 from invites where id = $1", invite.id
        )
        assert 6.9 < days <= 7
        await closed.database.execute("update invites set expires_at = now() where id = $1", invite.id)
    with pytest.raises(users.InviteNeeded):
        await closed.joins(f"ie_new_{ends}", invite=invite.code)


async def test_imports_many_at_once_and_a_second_time_nothing(town: Town) -> None:
    people = [person(n, f"im{n}") for n in range(5000)]
    assert await imports(town, *people) == users.Imported(added=5000, present=0)
    one = (await town.cards(people[4242].id))[people[4242].id]
    assert (one.handle, one.name) == ("im4242", "Person im4242")
    before = await contents(town)
    assert await imports(town, *people) == users.Imported(added=0, present=5000)
    assert await contents(town) == before
    rows = await town.database.fetch("select version, event from outbox where subject = $1", people[7].id)
    assert [tuple(row) for row in rows] == [(1, "users.joined")]
    renamed = person(1, "im_renamed", name="Renamed")
    assert await imports(town, renamed) == users.Imported(added=0, present=1)
    assert (await town.cards(renamed.id))[renamed.id].handle == "im1"
    await town.database.execute("delete from search_entries where user_id = any($1)", [one.id for one in people])


async def contents(town: Town) -> str:
    shown: str = await town.database.fetchval(
        "select md5(string_agg(t::text, '' order by t::text)) from"
        " (select a::text from accounts a union all select e::text from search_entries e"
        "  union all select f::text from subject_fence f union all select id::text from outbox) t"
    )
    return shown


async def test_an_import_that_collides_imports_nobody(town: Town) -> None:
    await town.joins("ic_taken")
    await (await town.joins("ic_left")).leaves()
    for handle in ("ic_taken", "ic_left"):
        with pytest.raises(users.HandleTaken, match=handle):
            await imports(town, person(10_001, "ic_free"), person(10_002, handle))
    assert await town.cards(person(10_001, "ic_free").id) == {}
    with pytest.raises(Invalid, match="ic_twice"):
        await imports(town, person(10_003, "ic_twice"), person(10_004, "ic_twice"))
    with pytest.raises(Invalid, match="2 times"):
        await imports(town, person(10_003, "ic_one"), person(10_003, "ic_two"))


async def test_the_deleted_stay_deleted_when_imported_again(town: Town) -> None:
    one = person(10_010, "id_gone")
    await imports(town, one)
    await town.lone.route(users.delete_user, users.OneUser(user_id=one.id), one.id)
    assert await imports(town, one) == users.Imported(added=0, present=1)
    assert await town.cards(one.id) == {}


async def test_imported_people_come_in_by_link_alone(town: Town) -> None:
    one = person(10_020, "il_demo")
    await imports(town, one)
    with pytest.raises(users.SignInFailed):
        await town.signs_in("il_demo", "")
    link = await town.lone.call(users.sign_in_link, users.ByHandle(handle="@il_demo"))
    assert (await town.opens(link)).user_id == one.id


async def test_the_operator_pages_by_handle(closed: Town) -> None:
    for handle in ("zz_a", "zz_b", "zz_c"):
        await closed.joins(handle, invite=await operator_invites(closed))
    page = await closed.lone.call(users.accounts, users.AccountsAsk(after="zz", limit=2))
    assert [one.handle for one in page.accounts] == ["zz_a", "zz_b"]
    rest = await closed.lone.call(users.accounts, users.AccountsAsk(after="zz_b", limit=2))
    assert [one.handle for one in rest.accounts] == ["zz_c"]
    assert page.total == await closed.database.fetchval("select count(*) from accounts where state = 'live'")
    found = await closed.lone.call(users.find, users.ByHandle(handle="@ZZ_a"))
    assert found == page.accounts[0]
    suspended = await closed.lone.call(users.suspend, users.Suspend(handle="zz_a", suspended=True))
    assert suspended.suspended
    back = await closed.lone.call(users.suspend, users.Suspend(handle="zz_a", suspended=False))
    assert not back.suspended

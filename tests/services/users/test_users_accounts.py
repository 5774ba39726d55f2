"""Accounts: joining, profiles, preferences, deletion, cards."""

from __future__ import annotations

import asyncio
from hashlib import blake2b, sha256
from typing import Any

import pytest
from msgspec import UNSET

from tests.harness.lone import Mode
from tests.services.users.people import NOTHING, PASSWORD, Town, town_on
from tidings.contracts import users
from tidings.platform.contract import Invalid, KeyReused, NotFound, Stale, Unauthenticated
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.ids import uuid7
from tidings.platform.request import Viewer
from tidings.services.users.avatar import picture


def new(handle: str, **rest: Any) -> users.SignUp:
    return users.SignUp(body=users.NewUser(**{"handle": handle, "name": "N", "password": PASSWORD, **rest}))


async def test_joins_once_however_often_it_is_sent(town: Town) -> None:
    first = await town.lone.served(users.sign_up, new("once"), Viewer(), key="k")
    again = await town.lone.served(users.sign_up, new("once"), Viewer(), key="k")
    assert (first.status, first.body, first.headers) == (again.status, again.body, again.headers)
    assert first.status == 201 and first.headers["location"].startswith("/v1/users/")
    with pytest.raises(KeyReused):
        await town.lone.served(users.sign_up, new("twice"), Viewer(), key="k")
    assert await town.database.fetchval("select count(*) from accounts where handle = 'once'") == 1


async def test_two_who_want_one_handle(town: Town) -> None:
    answers = await asyncio.gather(*(town.joins("wanted") for _ in range(4)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert len(refused) == 3 and all(isinstance(one, users.HandleTaken) for one in refused)
    assert await town.database.fetchval("select count(*) from accounts where handle = 'wanted'") == 1


@pytest.mark.parametrize("password", ["password1", "newcomer", "New Comer", "11111111", "letmein123"])
async def test_refuses_weak_passwords(town: Town, password: str) -> None:  # row 11
    with pytest.raises(users.WeakPassword) as refusal:
        await town.lone.route(users.sign_up, new("newcomer", name="New Comer", password=password))
    assert refusal.value.errors[0].pointer == "/password"
    assert password not in str(refusal.value)


async def test_stores_argon2id(town: Town) -> None:  # row 11
    person = await town.joins("argon")
    kept = await town.database.fetchval("select password_hash from accounts where id = $1", person.id)
    assert kept.startswith("$argon2id$v=19$m=8,t=1,p=1$")


async def test_a_name_must_be_seen(town: Town) -> None:
    with pytest.raises(Invalid) as refusal:
        await town.joins("unseen", "\u200b\u200b")
    assert refusal.value.errors[0].pointer == "/name"


async def test_shows_private_things_to_oneself_and_administrators(town: Town) -> None:
    anna, ben, root = await town.joins("anna1"), await town.joins("ben1"), await town.joins("root1")
    await town.makes_administrator(root)
    assert (await anna.sees(anna)).role == "member"
    seen = await anna.sees(ben)
    assert seen.role is UNSET and seen.suspended is UNSET
    assert seen.avatar == f"/v1/avatars/{ben.id}"
    assert (await root.sees(ben)).suspended is False
    await root.suspends(ben)
    with pytest.raises(NotFound):
        await anna.sees(ben)
    assert (await root.sees(ben)).suspended is True


async def test_changes_its_own_profile_only(town: Town) -> None:
    anna, ben = await town.joins("anna2"), await town.joins("ben2")
    changed = await anna.does(
        users.replace_user, user_id=anna.id, body=users.NewProfile(name=" Anna  B ", bio="Hi")
    )
    assert (changed.name, changed.bio) == ("Anna B", "Hi")
    patched = await anna.does(users.patch_user, user_id=anna.id, body=users.ProfilePatch(bio=None))
    assert (patched.name, patched.bio) == ("Anna B", "")
    assert await anna.sees(anna) == patched
    assert await town.events(anna) == ["joined", "changed", "changed"]
    for route, body in (
        (users.replace_user, users.NewProfile(name="X", bio="")),
        (users.patch_user, users.ProfilePatch(name="X")),
    ):
        with pytest.raises(NotFound):
            await anna.does(route, user_id=ben.id, body=body)
    assert (await town.cards(ben.id))[ben.id].name == "Ben2"


async def test_a_profile_read_before_another_change_is_stale(town: Town) -> None:
    anna = await town.joins("anna3")
    ask = users.OneUser(user_id=anna.id)
    version = (await town.lone.served(users.get_user, ask, anna.viewer)).version
    assert version is not None
    await anna.signs_in()
    await anna.does(users.sign_out_everywhere)  # raises her own version, and changes no profile
    assert (await town.lone.served(users.get_user, ask, anna.viewer)).version == version
    change = users.PatchProfile(user_id=anna.id, body=users.ProfilePatch(name="One"))
    after = await town.lone.served(users.patch_user, change, anna.viewer, if_match=[version])
    assert after.version is not None and after.version > version
    with pytest.raises(Stale):
        await town.lone.served(users.patch_user, change, anna.viewer, if_match=[version])


async def test_two_changes_of_one_version_make_one(town: Town) -> None:
    anna = await town.joins("anna4")
    asks = [
        users.PatchProfile(user_id=anna.id, body=users.ProfilePatch(name=name)) for name in ("One", "Two", "Three")
    ]
    answers = await asyncio.gather(
        *(town.lone.served(users.patch_user, ask, anna.viewer, if_match=[1]) for ask in asks),
        return_exceptions=True,
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["Served", "Stale", "Stale"]


async def test_keeps_preferences(town: Town) -> None:
    anna = await town.joins("anna5")
    assert await anna.does(users.get_preferences) == users.Preferences()
    wanted = users.Preferences(language="de", feed_marker=uuid7(5), presence=False)
    ask = users.ReplacePreferences(body=wanted)
    kept = await town.lone.served(users.replace_preferences, ask, anna.viewer, if_match=[0])
    assert await anna.does(users.get_preferences) == wanted
    assert (await town.lone.served(users.get_preferences, NOTHING, anna.viewer)).version == kept.version
    with pytest.raises(Stale):
        await town.lone.served(users.replace_preferences, ask, anna.viewer, if_match=[0])


async def test_a_deleted_account_leaves_a_tombstone_alone(town: Town) -> None:
    anna, ben = await town.joins("anna6", "Anna Sixpence"), await town.joins("ben6")
    token = await anna.signs_in()
    await anna.does(users.patch_user, user_id=anna.id, body=users.ProfilePatch(bio="Sixpence's story"))
    await anna.does(users.replace_preferences, body=users.Preferences(language="sx"))
    await anna.invites()
    link = await town.link(users.reset_link, anna)
    await anna.leaves()

    assert await town.cards(anna.id, ben.id) == {ben.id: (await town.cards(ben.id))[ben.id]}
    with pytest.raises(NotFound):
        await ben.sees(anna)
    assert await ben.finds("sixpence") == []
    with pytest.raises(Unauthenticated):  # row 15
        await town.whois(token.token)
    with pytest.raises(users.SignInFailed):
        await anna.signs_in()
    with pytest.raises(users.LinkSpent):
        reset = users.PasswordReset(link=link.secret, password="another-fine-one")
        await town.lone.route(users.reset_password, users.ResetPassword(body=reset))
    with pytest.raises(NotFound):
        await anna.leaves()
    with pytest.raises(Unauthenticated):
        await anna.does(users.patch_user, user_id=anna.id, body=users.ProfilePatch(name="Back"))

    left = await town.database.fetchrow("select * from accounts where id = $1", anna.id)
    assert left is not None
    assert (left["state"], left["handle"], left["name"], left["bio"]) == ("deleted", None, "", "")
    assert left["password_hash"] is None
    fence = await town.database.fetchrow("select * from subject_fence where user_id = $1", anna.id)
    assert fence is not None and fence["state"] == "deleted" and left["version"] == fence["version"]
    assert (await town.events(anna))[-1] == "removed"
    for table, column in (("sessions", "user_id"), ("invites", "maker_id"), ("links", "user_id"),
                          ("preferences", "user_id"), ("search_entries", "user_id")):  # fmt: skip
        assert await town.database.fetchval(f"select count(*) from {table} where {column} = $1", anna.id) == 0


async def test_a_handle_is_free_after_thirty_days(town: Town) -> None:
    await (await town.joins("phoenix")).leaves()
    assert await town.database.fetchval("select count(*) from accounts where handle = 'phoenix'") == 0
    with pytest.raises(users.HandleTaken):
        await town.joins("phoenix")
    days = await town.database.fetchval("select extract(day from max(until) - now()) from reserved_handles")
    assert days in (29, 30)
    kept = await town.database.fetchval("select digest from reserved_handles order by until desc limit 1")
    assert len(kept) == 32
    assert kept not in {sha256(b"phoenix").digest(), blake2b(b"phoenix", digest_size=32).digest()}  # it is keyed
    await town.database.execute("update reserved_handles set until = now()")
    await town.joins("phoenix")


async def test_a_handle_given_up_while_another_asks_for_it(town: Town) -> None:
    """The one who waits for the deletion's commit finds the handle free, and reserved."""
    anna = await town.joins("anna7")
    answers = await asyncio.gather(anna.leaves(), *(town.joins("anna7") for _ in range(2)), return_exceptions=True)
    assert answers[0] is None
    assert all(isinstance(answer, users.HandleTaken) for answer in answers[1:])


async def test_only_administrators_delete_others(town: Town) -> None:
    anna, ben, root = await town.joins("anna8"), await town.joins("ben8"), await town.joins("root8")
    with pytest.raises(NotFound):
        await anna.does(users.delete_user, user_id=ben.id)
    await town.makes_administrator(root)
    await root.does(users.delete_user, user_id=ben.id)
    assert await town.cards(ben.id) == {}
    with pytest.raises(NotFound):
        await root.does(users.delete_user, user_id=uuid7(1))
    with pytest.raises(users.LastAdministrator):
        await root.leaves()


async def test_two_administrators_cannot_both_leave(town: Town) -> None:
    one, two = await town.joins("admin1"), await town.joins("admin2")
    await town.makes_administrator(one)
    await town.makes_administrator(two)
    answers = await asyncio.gather(one.leaves(), two.suspends(two), return_exceptions=True)
    assert [type(answer) for answer in answers if answer is not None] == [users.LastAdministrator]


async def test_cards_are_of_the_living(town: Town) -> None:
    anna, ben, root = await town.joins("anna9"), await town.joins("ben9"), await town.joins("root9")
    await town.makes_administrator(root)
    await root.suspends(ben)
    cards = await town.cards(anna.id, ben.id, anna.id, users.UserId(uuid7(3)))
    assert cards == {
        anna.id: users.UserCard(id=anna.id, handle="anna9", name="Anna9", avatar=f"/v1/avatars/{anna.id}")
    }
    assert town.lone.calls == []


async def test_any_id_has_a_picture(town: Town) -> None:
    anyone = users.UserId(uuid7(9))
    assert await town.lone.route(users.get_avatar, users.OneUser(user_id=anyone), Viewer()) == picture(anyone)


async def test_set_up_happens_once(mode: Mode, postgres: EmbeddedPostgres) -> None:
    async with town_on(postgres, "users_set_up", mode, signup="invite") as town:

        async def set_up(link: users.OneTimeLink | None, handle: str) -> users.Profile:
            assert link is not None
            first = users.FirstAdministrator(link=link.secret, handle=handle, name=handle, password=PASSWORD)
            return await town.lone.route(users.set_up, users.SetUp(body=first), Viewer())

        earlier = (await town.lone.call(users.set_up_state, NOTHING)).link
        link = (await town.lone.call(users.set_up_state, NOTHING)).link
        assert link is not None and link.path == "/setup" and link.secret.startswith("tdl_")
        with pytest.raises(users.LinkSpent):
            await set_up(earlier, "early")

        answers = await asyncio.gather(
            *(set_up(link, f"first_{number}") for number in range(3)), return_exceptions=True
        )
        assert sorted(type(answer).__name__ for answer in answers) == ["LinkSpent", "LinkSpent", "Profile"]
        assert (await town.lone.call(users.set_up_state, NOTHING)).link is None
        accounts = await town.lone.call(users.accounts, users.AccountsAsk())
        assert [one.role for one in accounts.accounts] == ["administrator"]

        # A link that was left over from before opens nothing.
        await town.database.execute(
            "insert into links (digest, purpose, expires_at) values (sha256('tdl_left'), 'set_up', now() + '1 day')"
        )
        left = users.OneTimeLink(path="/setup", secret="tdl_left", expires_at=link.expires_at)
        with pytest.raises(users.LinkSpent):
            await set_up(left, "late")


async def test_a_greeting_says_who_one_is_and_what_ones_clients_remember(town: Town) -> None:
    anna = await town.joins("greeted", "Anna")
    found = await town.lone.call(users.greeting, NOTHING, anna.viewer)
    card = (await town.cards(anna.id))[anna.id]
    assert found == users.Greeting(card=card, role="member", preferences=users.Preferences())

    kept = users.Preferences(language="de", feed_marker=uuid7(1), presence=False)
    await anna.does(users.replace_preferences, body=kept)
    await anna.changes(name="Anna the Second")
    await town.makes_administrator(anna)
    town.lone.calls.clear()
    found = await town.lone.call(users.greeting, NOTHING, anna.viewer)
    assert (found.card.name, found.role, found.preferences) == ("Anna the Second", "administrator", kept)
    assert town.lone.calls == []  # oneself needs no neighbour


async def test_nobody_is_greeted_whose_account_is_gone(town: Town) -> None:
    anna = await town.joins("greeted_gone")
    await anna.leaves()
    for viewer in (anna.viewer, Viewer(user_id=uuid7(1), role="member")):
        with pytest.raises(Unauthenticated):
            await town.lone.call(users.greeting, NOTHING, viewer)

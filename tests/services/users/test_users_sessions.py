"""Sessions, passwords and one-time links: what opens the door, and what shuts it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.harness.lone import in_process
from tests.services.users.people import NOTHING, PASSWORD, Person, Town
from tidings.contracts import users
from tidings.platform.clock import now_ms, rfc3339
from tidings.platform.contract import Forbidden, Invalid, NotFound, Unauthenticated
from tidings.platform.ids import uuid7
from tidings.platform.request import Viewer
from tidings.services.users.passwords import Passwords

OTHER = "quiet harbour lanterns"


async def resets(town: Town, link: users.OneTimeLink, password: str = OTHER) -> None:
    reset = users.PasswordReset(link=link.secret, password=password)
    await town.lone.route(users.reset_password, users.ResetPassword(body=reset), Viewer())


async def is_out(town: Town, token: users.NewToken) -> bool:
    try:
        await town.whois(token.token)
    except Unauthenticated:
        return True
    return False


async def fails_to_sign_in(town: Town, mark: str) -> list[users.SignInFailed]:
    """In every way: a wrong password, nobody's handle, a suspended account, one without a password, no handle."""
    anna, ben, root = [await town.joins(f"{mark}_{name}") for name in ("anna", "ben", "root")]
    await town.makes_administrator(root)
    await root.suspends(ben)
    demo = f"{mark}_demo"
    imported = users.ImportedPerson(id=users.UserId(uuid7(now_ms())), handle=demo, name="D", bio="", created_ms=1)
    await town.lone.call(users.import_people, users.ImportPeople(people=[imported]))
    refusals = []
    for handle, password in (
        (anna.handle, "wrong"),
        ("nobody_at_all", "wrong"),
        (ben.handle, PASSWORD),
        (demo, ""),
        ("In Valid!", "x"),
    ):
        with pytest.raises(users.SignInFailed) as refusal:
            await town.signs_in(handle, password)
        refusals.append(refusal.value)
    return refusals


async def test_every_failed_sign_in_looks_the_same(town: Town) -> None:  # row 10
    refusals = await fails_to_sign_in(town, "in")
    assert len({(refused.status, refused.detail, refused.errors) for refused in refusals}) == 1


@in_process  # the service's own passwords are watched
async def test_every_failed_sign_in_pays_for_a_hash(town: Town) -> None:  # row 10
    verified: list[str] = []
    passwords: Any = town.lone.holder.passwords
    fits = passwords._fits

    def watched(kept: str, given: str) -> bool:
        verified.append(kept)
        return bool(fits(kept, given))

    passwords._fits = watched
    try:
        await fails_to_sign_in(town, "pay")
    finally:
        del passwords._fits
    assert len(verified) == 5
    assert len({kept.rpartition("$")[0].rpartition("$")[0] for kept in verified}) == 1  # of the same cost


async def test_a_session_is_new_at_every_sign_in(town: Town) -> None:  # row 13
    anna = await town.joins("se_anna")
    first, second = await anna.signs_in(label="phone"), await town.signs_in("@SE_Anna", label="laptop")
    assert first.token != second.token and first.session_id != second.session_id
    signed_in = await town.whois(second.token)
    assert (signed_in.user_id, signed_in.role, signed_in.session_id) == (anna.id, "member", second.session_id)
    assert rfc3339(signed_in.expires_ms) == second.expires_at
    listed = (await anna.does(users.list_sessions)).sessions
    assert [(one.label, one.current) for one in listed] == [("laptop", False), ("phone", True)]


async def test_signs_out_one_session_of_its_own(town: Town) -> None:  # row 16
    anna, ben = await town.joins("so_anna"), await town.joins("so_ben")
    first, second, other = await anna.signs_in(), await anna.signs_in(), await ben.signs_in()
    with pytest.raises(NotFound):
        await anna.does(users.sign_out, session_id=other.session_id)
    await anna.does(users.sign_out, session_id=first.session_id)
    assert [await is_out(town, one) for one in (first, second, other)] == [True, False, False]
    with pytest.raises(NotFound):
        await anna.does(users.sign_out, session_id=first.session_id)
    assert await town.events(anna) == ["joined", "signed_out"]


async def test_signs_out_everywhere(town: Town) -> None:  # row 15
    anna, ben = await town.joins("sx_anna"), await town.joins("sx_ben")
    mine, other = [await anna.signs_in() for _ in range(3)], await ben.signs_in()
    link = await town.link(users.sign_in_link, anna)
    await anna.does(users.sign_out_everywhere)
    assert all([await is_out(town, one) for one in mine]) and not await is_out(town, other)
    with pytest.raises(users.LinkSpent):
        await town.opens(link)
    await anna.does(users.sign_out_everywhere)
    assert await town.events(anna) == ["joined", "signed_out"]


async def test_a_session_expires(town: Town) -> None:
    anna = await town.joins("ex_anna")
    token = await anna.signs_in()
    days = await town.database.fetchval(
        "select extract(epoch from expires_at - created_at) / 86400 from sessions where id = $1", token.session_id
    )
    assert days == 30
    await town.database.execute("update sessions set expires_at = now() where id = $1", token.session_id)
    assert await is_out(town, token)
    assert (await anna.does(users.list_sessions)).sessions == []
    await anna.signs_in()
    assert await town.database.fetchval("select count(*) from sessions where user_id = $1", anna.id) == 1


async def test_a_password_change_ends_all_other_sessions(town: Town) -> None:  # rows 13, 15
    anna = await town.joins("pw_anna")
    other, mine = await anna.signs_in(), await anna.signs_in(label="mine")
    link = await town.link(users.reset_link, anna)

    async def changes(current: str, new: str) -> users.NewToken:
        made: users.NewToken = await anna.does(
            users.change_password, body=users.PasswordChange(current=current, new=new)
        )
        return made

    with pytest.raises(users.WrongPassword):
        await changes("wrong", OTHER)
    with pytest.raises(users.WeakPassword) as weak:
        await changes(PASSWORD, "pw_anna1")
    assert weak.value.errors[0].pointer == "/new"
    assert not await is_out(town, other)

    token = await changes(PASSWORD, OTHER)
    assert token.session_id not in (other.session_id, mine.session_id)
    assert [await is_out(town, one) for one in (other, mine, token)] == [True, True, False]
    with pytest.raises(users.LinkSpent):
        await resets(town, link)
    with pytest.raises(Unauthenticated):  # the session that asked is the one that ended
        await changes(OTHER, PASSWORD)
    with pytest.raises(users.SignInFailed):
        await anna.signs_in(PASSWORD)
    await anna.signs_in(OTHER)
    assert [one.label for one in (await anna.does(users.list_sessions)).sessions] == ["", "mine"]


async def test_a_reset_link_works_once(town: Town) -> None:
    anna = await town.joins("rs_anna")
    token, link = await anna.signs_in(), await town.link(users.reset_link, anna)
    assert link.path == "/reset" and link.secret.startswith("tdl_")
    with pytest.raises(users.WeakPassword):
        await resets(town, link, "rs_anna12")
    with pytest.raises(users.LinkSpent):  # a link opens what it was made for
        await town.opens(link)
    answers = await asyncio.gather(*(resets(town, link, OTHER + str(n)) for n in range(3)), return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["LinkSpent", "LinkSpent", "NoneType"]
    assert await is_out(town, token)
    await anna.signs_in(OTHER + str(answers.index(None)))


async def test_a_sign_in_link_works_once(town: Town) -> None:
    anna = await town.joins("li_anna")
    link = await town.link(users.sign_in_link, anna)
    assert link.path == "/signin"
    answers = await asyncio.gather(*(town.opens(link) for _ in range(3)), return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["LinkSpent", "LinkSpent", "NewToken"]

    late = await town.link(users.sign_in_link, anna)
    minutes = await town.database.fetchval(
        "select extract(epoch from expires_at - now()) / 60 from links where user_id = $1", anna.id
    )
    assert 14 < minutes <= 15
    await town.database.execute("update links set expires_at = now() where user_id = $1", anna.id)
    with pytest.raises(users.LinkSpent):
        await town.opens(late)


@pytest.mark.parametrize(
    "new",
    [
        users.NewSession(),
        users.NewSession(handle="x"),
        users.NewSession(password="x"),
        users.NewSession(handle="x", password="x", link="x"),
    ],
)
async def test_a_sign_in_says_how(town: Town, new: users.NewSession) -> None:
    with pytest.raises(Invalid):
        await town.lone.route(users.sign_in, users.SignIn(body=new))


class Interrupted:
    """Passwords, between whose verification and what follows something happens."""

    def __init__(self, real: Passwords, what: Any) -> None:
        self.real, self.what = real, what

    async def verify(self, password_hash: str | None, password: str) -> bool:
        fits = await self.real.verify(password_hash, password)
        await self.what()
        return fits

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


@in_process  # the service's own passwords are interrupted
@pytest.mark.parametrize("ends", ["deleted", "suspended", "reset"])
async def test_an_account_that_ends_during_a_sign_in(town: Town, ends: str) -> None:
    anna, root = await town.joins(f"mid_{ends}"), await town.joins(f"mid_root_{ends}")
    await town.makes_administrator(root)
    link = await town.link(users.reset_link, anna)

    async def end() -> None:
        holder.passwords = real
        if ends == "deleted":
            await anna.leaves()
        elif ends == "suspended":
            await root.suspends(anna)
        else:
            await resets(town, link)

    holder = town.lone.holder
    real = holder.passwords
    holder.passwords = Interrupted(real, end)
    try:
        with pytest.raises(users.SignInFailed):
            await anna.signs_in()
    finally:
        holder.passwords = real
    assert await town.database.fetchval("select count(*) from sessions where user_id = $1", anna.id) == 0


async def test_a_fence_that_is_not_live_lets_nobody_in(town: Town) -> None:
    anna = await town.joins("fe_anna")
    link = await town.link(users.sign_in_link, anna)
    await town.database.execute("update subject_fence set state = 'deleting' where user_id = $1", anna.id)
    with pytest.raises(users.SignInFailed):
        await anna.signs_in()
    with pytest.raises(users.LinkSpent):
        await town.opens(link)
    with pytest.raises(Unauthenticated):
        await anna.does(users.patch_user, user_id=anna.id, body=users.ProfilePatch(name="New"))


async def test_hashes_again_when_the_cost_has_changed(town: Town) -> None:
    anna = await town.joins("re_anna")
    dearer = Passwords(memory_kib=16, time=2, threads=1)
    before = await dearer.hash(PASSWORD)
    dearer.close()
    await town.database.execute("update accounts set password_hash = $2 where id = $1", anna.id, before)
    await anna.signs_in()
    kept = await town.database.fetchval("select password_hash from accounts where id = $1", anna.id)
    assert "$m=8,t=1,p=1$" in kept
    await anna.signs_in()
    assert kept == await town.database.fetchval("select password_hash from accounts where id = $1", anna.id)


async def test_suspension_shuts_every_door(town: Town) -> None:
    anna, root = await town.joins("su_anna"), await town.joins("su_root")
    token, link, invite = await anna.signs_in(), await town.link(users.sign_in_link, anna), await anna.invites()
    await town.makes_administrator(root)
    await root.suspends(anna)
    await root.suspends(anna)
    assert await is_out(town, token)
    with pytest.raises(users.LinkSpent):
        await town.opens(link)
    with pytest.raises(Unauthenticated):
        await anna.invites()
    with pytest.raises(Invalid):
        await town.link(users.sign_in_link, anna)
    await root.does(users.reinstate_user, user_id=anna.id)
    await root.does(users.reinstate_user, user_id=anna.id)
    assert await is_out(town, token)
    with pytest.raises(users.LinkSpent):  # what ended does not come back
        await town.opens(link)
    await anna.signs_in()
    assert await town.events(anna) == ["joined", "suspended", "reinstated"]
    assert invite.id in {one.id for one in (await anna.does(users.list_invites)).invites}
    with pytest.raises(users.LastAdministrator):
        await root.suspends(root)
    with pytest.raises(NotFound):
        await root.does(users.suspend_user, user_id=uuid7(1))


@in_process  # where its log is caught
async def test_a_member_on_an_administrators_route(town: Town) -> None:  # row 9
    anna, ben = await town.joins("au_anna"), await town.joins("au_ben")
    with capture_logs() as entries:
        for route in (users.suspend_user, users.reinstate_user, users.delete_user):
            with pytest.raises(NotFound):
                await anna.does(route, user_id=ben.id)
    assert [(one["event"], one["actor"], one["subject"]) for one in entries] == [
        ("refused", str(anna.id), str(ben.id))
    ] * 3
    assert await town.cards(ben.id) != {}


@in_process  # where its log is caught
async def test_what_an_administrator_does_is_written_down(town: Town) -> None:
    anna, root = await town.joins("ad_anna"), await town.joins("ad_root")
    with capture_logs() as entries:
        await town.makes_administrator(root)
        await town.link(users.reset_link, anna)
        await root.suspends(anna)
        await root.does(users.reinstate_user, user_id=anna.id)
        await root.does(users.delete_user, user_id=anna.id)
    assert [one["event"] for one in entries] == [
        "made_administrator", "made_reset_link", "suspended", "reinstated", "deleted",
    ]  # fmt: skip
    assert {one["actor"] for one in entries} == {"operator", str(root.id)}


async def test_a_new_administrator_signs_in_anew(town: Town) -> None:  # row 13
    anna = await town.joins("na_anna")
    before = await anna.signs_in()
    await town.makes_administrator(anna)
    await town.makes_administrator(anna)
    assert await is_out(town, before)
    after = await anna.signs_in()
    assert (await town.whois(after.token)).role == "administrator"
    assert await town.events(anna) == ["joined", "changed", "signed_out"]


async def test_only_the_operator_makes_links(town: Town) -> None:
    anna = await town.joins("op_anna")
    calls: list[tuple[Any, Any]] = [
        (users.reset_link, users.ByHandle(handle="op_anna")),
        (users.sign_in_link, users.ByHandle(handle="op_anna")),
        (users.make_administrator, users.ByHandle(handle="op_anna")),
        (users.invite, NOTHING),
        (users.set_up_state, NOTHING),
        (users.accounts, users.AccountsAsk()),
        (users.find, users.ByHandle(handle="op_anna")),
        (users.suspend, users.Suspend(handle="op_anna", suspended=True)),
        (users.import_people, users.ImportPeople(people=[])),
    ]
    for call, ask in calls:
        with pytest.raises(Forbidden):
            await town.lone.call(call, ask, anna.viewer)
    by_handle: list[Any] = [users.reset_link, users.sign_in_link, users.make_administrator, users.find]
    for call in by_handle:
        with pytest.raises(NotFound):
            await town.lone.call(call, users.ByHandle(handle="op_nobody"))


async def test_unknown_tokens_open_nothing(town: Town) -> None:  # row 17
    anna = await town.joins("un_anna")
    token = await anna.signs_in()
    unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1bl9hbm5hIn0."
    for tried in ("", "tds_", unsigned, token.token + "A", token.token[:-1], str(anna.id)):
        with pytest.raises(Unauthenticated):
            await town.whois(tried)


@in_process  # where its log is caught
async def test_nothing_secret_is_stored_or_logged(town: Town, caplog: pytest.LogCaptureFixture) -> None:  # row 39
    caplog.set_level("DEBUG")
    with capture_logs() as logged:
        anna: Person = await town.joins("plain_anna")
        secrets = [PASSWORD, (await anna.signs_in()).token, OTHER]
        secrets += [(await town.link(call, anna)).secret for call in (users.reset_link, users.sign_in_link)]
        secrets.append((await town.lone.route(users.make_invite, NOTHING, anna.viewer, key="plain")).code)
        secrets.append((await town.lone.call(users.invite, NOTHING)).secret)
        secrets.append(
            (await anna.does(users.change_password, body=users.PasswordChange(current=PASSWORD, new=OTHER))).token
        )
        await (gone := await town.joins("plain_gone")).leaves()
    tables = await town.database.fetch("select tablename from pg_tables where schemaname = 'public'")
    rows = [
        str(row[0]) for (table,) in tables for row in await town.database.fetch(f'select t::text from "{table}" t')
    ]
    text = "\n".join(rows)
    assert "plain_anna" in text
    for secret in secrets:
        assert secret not in text and secret.encode().hex() not in text
        assert secret not in caplog.text and secret not in str(logged)
    assert gone.handle not in text

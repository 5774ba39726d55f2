"""Each call and route of the contract, and the action or view that answers it."""

from __future__ import annotations

from typing import Any

from tidings.contracts import users
from tidings.contracts.users import UserId
from tidings.platform.cache.registration import Registration
from tidings.platform.contract import Forbidden, Nothing, Reply
from tidings.platform.export import ExportAsk, ExportPage
from tidings.platform.occurrence import OccurredAsk, OccurredPage
from tidings.platform.request import Viewer
from tidings.platform.service import serves
from tidings.services.users import archive, avatar, views
from tidings.services.users import export as export_
from tidings.services.users.actions import accounts as accounts_
from tidings.services.users.actions import deletion, invites, operators, sessions
from tidings.services.users.actions.writing import audited, for_administrators
from tidings.services.users.holder import Users

NOTHING = Nothing()


@serves(users.cards)
async def cards(svc: Users, viewer: Viewer, ask: users.ByIds) -> dict[UserId, users.UserCard]:
    return await views.cards(svc.store, ask.ids)


@serves(users.cards_as_of)
async def cards_as_of(svc: Users, viewer: Viewer, ask: users.ByIds) -> dict[UserId, users.CardAsOf]:
    return await views.cards_as_of(svc.store, ask.ids)


@serves(users.by_handles)
async def by_handles(svc: Users, viewer: Viewer, ask: users.ByHandles) -> dict[str, users.UserCard]:
    return await views.by_handles(svc.store, svc.world, viewer, ask.handles)


@serves(users.greeting)
async def greeting(svc: Users, viewer: Viewer, ask: Nothing) -> users.Greeting:
    return await views.greeting(svc.store, UserId(viewer.known))


@serves(users.whois)
async def whois(svc: Users, viewer: Viewer, ask: users.TokenDigests) -> list[users.SignedIn | None]:
    return await views.whois(svc.store, ask.digests)


@serves(users.export)
async def export(svc: Users, viewer: Viewer, ask: ExportAsk) -> ExportPage:
    return await export_.part(svc.store, UserId(viewer.known), ask)


# Deletions, as their participants ask after them.


@serves(users.outcome)
async def outcome(svc: Users, viewer: Viewer, ask: users.OneTransaction) -> users.Outcome:
    return await views.outcome(svc.store, ask.gid)


@serves(users.register_cache)
async def register_cache(svc: Users, viewer: Viewer, ask: Registration) -> Nothing:
    await svc.mailroom.register(ask)
    return NOTHING


@serves(users.occurrences)
async def occurrences(svc: Users, viewer: Viewer, ask: OccurredAsk) -> OccurredPage:
    return await svc.mailroom.occurrences(ask)


# The operator at the command line.


@serves(users.transactions)
async def transactions(svc: Users, viewer: Viewer, ask: users.TransactionsAsk) -> users.Transactions:
    _check_operator(viewer)
    return await views.transactions(svc.store, ask.gid)


@serves(users.set_up_state)
async def set_up_state(svc: Users, viewer: Viewer, ask: Nothing) -> users.SetUpState:
    _check_operator(viewer)
    return await operators.set_up_state(svc.store)


@serves(users.find)
async def find(svc: Users, viewer: Viewer, ask: users.ByHandle) -> users.Account:
    _check_operator(viewer)
    return views.as_account(await operators.found(svc.store, ask.handle))


@serves(users.accounts)
async def accounts(svc: Users, viewer: Viewer, ask: users.AccountsAsk) -> users.Accounts:
    _check_operator(viewer)
    return await views.accounts(svc.store, ask.after, ask.limit)


@serves(users.showing_presence)
async def showing_presence(svc: Users, viewer: Viewer, ask: users.ByIds) -> users.Living:
    return await views.showing_presence(svc.store, ask.ids)


@serves(users.living)
async def living(svc: Users, viewer: Viewer, ask: users.ByIds) -> users.Living:
    _check_operator(viewer)
    return users.Living(ids=list(await svc.store.by_ids(ask.ids)))


@serves(users.invite)
async def invite(svc: Users, viewer: Viewer, ask: Nothing) -> users.OneTimeLink:
    _check_operator(viewer)
    return await invites.invite_by_operator(svc.store, svc.codes, viewer)


@serves(users.suspend)
async def suspend(svc: Users, viewer: Viewer, ask: users.Suspend) -> users.Account:
    _check_operator(viewer)
    return await operators.suspend_by_handle(svc.store, viewer, ask.handle, suspended=ask.suspended)


@serves(users.reset_link)
async def reset_link(svc: Users, viewer: Viewer, ask: users.ByHandle) -> users.OneTimeLink:
    _check_operator(viewer)
    return await operators.reset_link(svc.store, viewer, ask.handle)


@serves(users.sign_in_link)
async def sign_in_link(svc: Users, viewer: Viewer, ask: users.ByHandle) -> users.OneTimeLink:
    _check_operator(viewer)
    return await operators.sign_in_link(svc.store, viewer, ask.handle)


@serves(users.make_administrator)
async def make_administrator(svc: Users, viewer: Viewer, ask: users.ByHandle) -> users.Account:
    _check_operator(viewer)
    return await operators.make_administrator(svc.store, viewer, ask.handle)


@serves(users.import_people)
async def import_people(svc: Users, viewer: Viewer, ask: users.ImportPeople) -> users.Imported:
    _check_operator(viewer)
    return await operators.import_people(svc.store, svc.codes, viewer, ask.people)


# People.


@serves(users.sign_up)
async def sign_up(svc: Users, viewer: Viewer, ask: users.SignUp) -> Reply[users.Profile]:
    return await accounts_.sign_up(
        svc.store, svc.passwords, svc.codes, ask.body, is_open=svc.settings.signup == "open"
    )


@serves(users.set_up)
async def set_up(svc: Users, viewer: Viewer, ask: users.SetUp) -> Reply[users.Profile]:
    return await accounts_.set_up(svc.store, svc.passwords, svc.codes, ask.body)


@serves(users.find_users)
async def find_users(svc: Users, viewer: Viewer, ask: users.FindUsers) -> Reply[users.Users]:
    return await views.find(svc.store, svc.world, svc.cursors, viewer, ask)


@serves(users.get_user)
async def get_user(svc: Users, viewer: Viewer, ask: users.OneUser) -> Reply[users.Profile]:
    return await views.profile(svc.store, svc.world, viewer, ask.user_id)


@serves(users.get_avatar)
async def get_avatar(svc: Users, viewer: Viewer, ask: users.OneUser) -> bytes:
    # Any id has a picture, so that a picture does not tell whether there is a person.
    return avatar.picture(ask.user_id)


@serves(users.replace_user)
async def replace_user(svc: Users, viewer: Viewer, ask: users.ReplaceProfile) -> Reply[users.Profile]:
    return await accounts_.replace_profile(svc.store, svc.world, viewer, ask.user_id, ask.body)


@serves(users.patch_user)
async def patch_user(svc: Users, viewer: Viewer, ask: users.PatchProfile) -> Reply[users.Profile]:
    return await accounts_.patch_profile(svc.store, svc.world, viewer, ask.user_id, ask.body)


@serves(users.get_export)
async def get_export(svc: Users, viewer: Viewer, ask: users.ExportOfMe) -> Reply[bytes]:
    return await archive.of_oneself(svc, viewer, ask)


@serves(users.delete_user)
async def delete_user(svc: Users, viewer: Viewer, ask: users.OneUser) -> Reply[Any]:
    return await deletion.delete(
        svc.store,
        svc.coordinator,
        svc.codes,
        svc.failpoints,
        viewer,
        ask.user_id,
        deadline=svc.settings.twophase_deadline,
        answer_after=svc.settings.twophase_answer_after,
    )


@serves(users.get_deletion)
async def get_deletion(svc: Users, viewer: Viewer, ask: users.OneDeletion) -> users.Deletion:
    return await views.deletion(svc.store, svc.coordinator, ask.gid)


@serves(users.get_preferences)
async def get_preferences(svc: Users, viewer: Viewer, ask: Nothing) -> Reply[users.Preferences]:
    return await views.preferences(svc.store, UserId(viewer.known))


@serves(users.replace_preferences)
async def replace_preferences(
    svc: Users, viewer: Viewer, ask: users.ReplacePreferences
) -> Reply[users.Preferences]:
    return await accounts_.replace_preferences(svc.store, viewer, ask.body)


@serves(users.suspend_user)
async def suspend_user(svc: Users, viewer: Viewer, ask: users.OneUser) -> Nothing:
    for_administrators(viewer, "suspend", ask.user_id)
    await operators.suspend(svc.store, viewer, ask.user_id)
    return NOTHING


@serves(users.reinstate_user)
async def reinstate_user(svc: Users, viewer: Viewer, ask: users.OneUser) -> Nothing:
    for_administrators(viewer, "reinstate", ask.user_id)
    await operators.reinstate(svc.store, viewer, ask.user_id)
    return NOTHING


# Sessions and passwords.


@serves(users.sign_in)
async def sign_in(svc: Users, viewer: Viewer, ask: users.SignIn) -> users.NewToken:
    return await sessions.sign_in(svc.store, svc.passwords, svc.throttle, ask.body, days=svc.settings.session_days)


@serves(users.list_sessions)
async def list_sessions(svc: Users, viewer: Viewer, ask: Nothing) -> users.Sessions:
    return await views.sessions(svc.store, viewer)


@serves(users.sign_out)
async def sign_out(svc: Users, viewer: Viewer, ask: users.OneSession) -> Nothing:
    await sessions.sign_out(svc.store, viewer, ask.session_id)
    return NOTHING


@serves(users.sign_out_everywhere)
async def sign_out_everywhere(svc: Users, viewer: Viewer, ask: Nothing) -> Nothing:
    await sessions.sign_out_everywhere(svc.store, viewer)
    return NOTHING


@serves(users.change_password)
async def change_password(svc: Users, viewer: Viewer, ask: users.ChangePassword) -> users.NewToken:
    return await sessions.change_password(
        svc.store, svc.passwords, svc.throttle, viewer, ask.body, days=svc.settings.session_days
    )


@serves(users.reset_password)
async def reset_password(svc: Users, viewer: Viewer, ask: users.ResetPassword) -> Nothing:
    await sessions.reset_password(svc.store, svc.passwords, ask.body)
    return NOTHING


# Invites.


@serves(users.make_invite)
async def make_invite(svc: Users, viewer: Viewer, ask: Nothing) -> Reply[users.Invite]:
    return await invites.invite(svc.store, svc.codes, viewer)


@serves(users.list_invites)
async def list_invites(svc: Users, viewer: Viewer, ask: Nothing) -> users.Invites:
    return await views.invites(svc.store, svc.codes, viewer)


@serves(users.withdraw_invite)
async def withdraw_invite(svc: Users, viewer: Viewer, ask: users.OneInvite) -> Nothing:
    await invites.withdraw(svc.store, viewer, ask.invite_id)
    return NOTHING


def _check_operator(viewer: Viewer) -> None:
    if viewer.role != "operator":
        audited(viewer, "refused")
        raise Forbidden("Only the operator at the command line may do this.", service="users")

"""Accounts: sign up, set up, change a profile."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from tidings.contracts.users import (
    FirstAdministrator,
    InviteNeeded,
    LastAdministrator,
    LinkSpent,
    NewProfile,
    NewUser,
    Preferences,
    Profile,
    ProfilePatch,
    UserId,
    changed,
)
from tidings.contracts.users import (
    sign_up as sign_up_route,
)
from tidings.platform.clock import now_ms
from tidings.platform.contract import Reply
from tidings.platform.request import Viewer, current
from tidings.services.users import codes as codes_
from tidings.services.users.actions.writing import (
    audit,
    check_password,
    checked_name,
    enrol,
    fenced_own,
    happened,
    new_account,
    no_such_person,
)
from tidings.services.users.codes import Codes
from tidings.services.users.passwords import Passwords
from tidings.services.users.rules import at, search_entries
from tidings.services.users.store.port import AccountRow, PreferencesRow, UsersStore, UsersWrite
from tidings.services.users.views import as_profile


async def sign_up(
    store: UsersStore, passwords: Passwords, codes: Codes, new: NewUser, *, is_open: bool
) -> Reply[Profile]:
    """Make an account, by an invite unless the server `is_open`."""
    name = checked_name(new.name)
    check_password(new.password, new.handle, name)
    account = new_account(
        handle=new.handle,
        name=name,
        role="member",
        created_at=at(now_ms()),
        password_hash=await passwords.hash(new.password),
    )
    async with store.write() as write:
        if not is_open and not (new.invite and await write.take_invite(codes_.digest(new.invite))):
            raise InviteNeeded("That invite is unknown, used or expired. Ask for another.")
        profile = await enrol(write, codes, account)
        reply = Reply(profile, version=1, location=f"/v1/users/{profile.id}")
        write.answers(sign_up_route, reply)
    return reply


async def set_up(
    store: UsersStore, passwords: Passwords, codes: Codes, first: FirstAdministrator
) -> Reply[Profile]:
    """Make the first administrator. `LinkSpent` if there is one."""
    spent = LinkSpent(
        "This set-up link was used, has been replaced, or has expired. If the administrator's account is made, "
        "sign in; if not, start the server again for another link."
    )
    digest = codes_.digest(first.link)
    if await store.link(digest, "set_up") is None:
        raise spent
    name = checked_name(first.name)
    check_password(first.password, first.handle, name)
    account = new_account(
        handle=first.handle,
        name=name,
        role="administrator",
        created_at=at(now_ms()),
        password_hash=await passwords.hash(first.password),
    )
    async with store.write() as write:
        await write.hold_set_up()
        if await write.take_link(digest, "set_up") is None or await write.hold_administrators():
            raise spent
        profile = await enrol(write, codes, account)
        await write.drop_set_up_links()
    audit.info("set_up", actor=str(profile.id), subject=str(profile.id))
    return Reply(profile, version=1, location=f"/v1/users/{profile.id}")


async def replace_profile(store: UsersStore, viewer: Viewer, user_id: UserId, new: NewProfile) -> Reply[Profile]:
    return await patch_profile(store, viewer, user_id, ProfilePatch(name=new.name, bio=new.bio))


async def patch_profile(store: UsersStore, viewer: Viewer, user_id: UserId, patch: ProfilePatch) -> Reply[Profile]:
    """Change one's own profile. `Stale` if If-Match names another version."""
    _check_own(viewer, user_id)
    async with store.write() as write:
        account = await fenced_own(write, viewer)
        current().check_version(account.version)
        name = account.name if patch.name is UNSET else checked_name(patch.name)
        bio = account.bio if patch.bio is UNSET else patch.bio or ""
        version = await happened(write, changed, user_id)
        await write.change_profile(user_id, name, bio, version)
        await write.change_entries(user_id, search_entries(account.handle, name))
    after = msgspec.structs.replace(account, name=name, bio=bio, version=version)
    return Reply(as_profile(after, privately=True), version=version)


async def replace_preferences(store: UsersStore, viewer: Viewer, new: Preferences) -> Reply[Preferences]:
    """Replace one's own. `Stale` if If-Match names another version."""
    user_id = UserId(viewer.known)
    async with store.write() as write:
        await fenced_own(write, viewer)
        before = await write.preferences(user_id)
        current().check_version(before.version if before else 0)
        version = (await write.bump([user_id]))[user_id]
        await write.replace_preferences(user_id, PreferencesRow(version, msgspec.json.encode(new).decode()))
    return Reply(new, version=version)


async def check_another_administrator(write: UsersWrite, account: AccountRow) -> None:
    """`LastAdministrator` if the account is the only one that is left."""
    if account.role == "administrator" and await write.hold_administrators() == {account.id}:
        raise LastAdministrator("This is the last administrator. Make another one first.")


def _check_own(viewer: Viewer, user_id: UserId) -> None:
    if viewer.user_id != user_id:
        raise no_such_person()

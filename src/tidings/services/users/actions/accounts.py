"""Accounts: sign up, set up, change a profile."""

from __future__ import annotations

from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from tidings.contracts import media
from tidings.contracts.messages import MediaId
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
from tidings.platform.contract import Busy, FieldError, Invalid, Reply
from tidings.platform.request import Viewer, current
from tidings.platform.world import World
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


async def replace_profile(
    store: UsersStore, world: World, viewer: Viewer, user_id: UserId, new: NewProfile
) -> Reply[Profile]:
    patch = ProfilePatch(name=new.name, bio=new.bio, avatar=new.avatar)
    return await patch_profile(store, world, viewer, user_id, patch)


async def patch_profile(
    store: UsersStore, world: World, viewer: Viewer, user_id: UserId, patch: ProfilePatch
) -> Reply[Profile]:
    """Change one's own profile. `Stale` if If-Match names another version."""
    _check_own(viewer, user_id)
    held = await _held(store, world, user_id, patch.avatar)
    async with store.write() as write:
        account = await fenced_own(write, viewer)
        current().check_version(account.version)
        name = account.name if patch.name is UNSET else checked_name(patch.name)
        bio = account.bio if patch.bio is UNSET else patch.bio or ""
        avatar = account.avatar if patch.avatar is UNSET else patch.avatar
        if avatar not in (None, account.avatar, held):
            raise Busy("The profile was changed in this moment. Try again.", retry_after=1, service="users")
        version = await happened(write, changed, user_id, avatar=avatar)
        await write.change_profile(user_id, name=name, bio=bio, avatar=avatar, version=version)
        await write.change_entries(user_id, search_entries(account.handle, name))
    after = msgspec.structs.replace(account, name=name, bio=bio, avatar=avatar, version=version)
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


async def _held(store: UsersStore, world: World, user_id: UserId, wanted: UUID | UnsetType | None) -> UUID | None:
    """The wanted avatar if it is another than before: media keeps it from now on until it hears of this change.

    `Invalid` if it is not there, not the asker's own or not ready.
    """
    if wanted is UNSET or wanted is None:
        return None
    account = (await store.by_ids([user_id])).get(user_id)
    if account is not None and account.avatar == wanted:
        return None
    if wanted not in await world.call(media.hold, media.OwnMedia(ids=[MediaId(wanted)])):
        raise Invalid(
            "An avatar is a picture of your own, once it is ready. Upload it first.",
            errors=(FieldError("/avatar", "not there, not yours, or not ready"),),
        )
    return wanted


def _check_own(viewer: Viewer, user_id: UserId) -> None:
    if viewer.user_id != user_id:
        raise no_such_person()

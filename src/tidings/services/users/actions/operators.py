"""What administrators and the operator do: suspend, make links and administrators, import."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from tidings.contracts.users import (
    Account,
    HandleTaken,
    Imported,
    ImportedPerson,
    OneTimeLink,
    SetUpState,
    UserChanged,
    UserId,
    changed,
    joined,
    reinstated,
)
from tidings.contracts.users import (
    suspended as suspended_event,
)
from tidings.platform.clock import now_ms
from tidings.platform.contract import FieldError, Invalid, NotFound
from tidings.platform.request import Viewer
from tidings.services.users.actions.accounts import check_another_administrator
from tidings.services.users.actions.writing import (
    audited,
    checked_name,
    end_every_session,
    fenced,
    happened,
    no_such_person,
    one_time_link,
)
from tidings.services.users.codes import Codes, digest, new_link
from tidings.services.users.rules import (
    RESET_LASTS,
    SET_UP_LASTS,
    SIGN_IN_LINK_LASTS,
    at,
    plain_handle,
    search_entries,
)
from tidings.services.users.store.port import AccountRow, LinkRow, NewAccount, Purpose, UsersStore
from tidings.services.users.views import as_account

IMPORT_MS = 25_000


async def suspend(store: UsersStore, viewer: Viewer, user_id: UserId) -> None:
    """Keep a person out: every session and link ends, and nobody sees them."""
    async with store.write() as write:
        account = await fenced(write, user_id)
        if account is None:
            raise no_such_person()
        if account.suspended:
            return
        await check_another_administrator(write, account)
        await write.drop_links(user_id)
        await write.end_sessions(user_id)
        version = await happened(write, suspended_event, user_id, avatar=account.avatar)
        await write.change_suspension(user_id, True, version)
    audited(viewer, "suspended", user_id)


async def reinstate(store: UsersStore, viewer: Viewer, user_id: UserId) -> None:
    """Let a person back in; they sign in anew."""
    async with store.write() as write:
        account = await fenced(write, user_id)
        if account is None:
            raise no_such_person()
        if not account.suspended:
            return
        version = await happened(write, reinstated, user_id, avatar=account.avatar)
        await write.change_suspension(user_id, False, version)
    audited(viewer, "reinstated", user_id)


async def suspend_by_handle(store: UsersStore, viewer: Viewer, handle: str, *, suspended: bool) -> Account:
    account = await found(store, handle)
    await (suspend if suspended else reinstate)(store, viewer, account.id)
    return as_account(await found(store, handle))


async def set_up_state(store: UsersStore) -> SetUpState:
    """While there is no administrator, a new set-up link; the one before ends."""
    secret, link = new_link(), _lasting("set_up", None, SET_UP_LASTS)
    async with store.write() as write:
        await write.hold_set_up()
        if await write.hold_administrators():
            return SetUpState(link=None)
        await write.drop_set_up_links()
        await write.add_link(digest(secret), link)
    return SetUpState(link=one_time_link("/setup", secret, link))


async def reset_link(store: UsersStore, viewer: Viewer, handle: str) -> OneTimeLink:
    return await _link_for(store, viewer, handle, purpose="reset", path="/reset", lasts=RESET_LASTS)


async def sign_in_link(store: UsersStore, viewer: Viewer, handle: str) -> OneTimeLink:
    return await _link_for(store, viewer, handle, purpose="sign_in", path="/signin", lasts=SIGN_IN_LINK_LASTS)


async def make_administrator(store: UsersStore, viewer: Viewer, handle: str) -> Account:
    """They sign in anew, under new session ids: their rights have changed."""
    user_id = (await found(store, handle)).id
    async with store.write() as write:
        account = await fenced(write, user_id)
        if account is None:
            raise no_such_person()
        if account.role != "administrator":
            version = await happened(write, changed, user_id, avatar=account.avatar)
            await write.change_role(user_id, "administrator", version)
            await end_every_session(write, account)
    audited(viewer, "made_administrator", user_id)
    return as_account(await found(store, handle))


async def import_people(
    store: UsersStore, codes: Codes, viewer: Viewer, people: Sequence[ImportedPerson]
) -> Imported:
    """One batch in one transaction. Who is there already stays as they are.

    Raises `HandleTaken`, naming the handles that others have; then nobody of the batch was imported.
    """
    _check_distinct(people)
    reserved_as = {codes.handle(person.handle): person.handle for person in people}
    async with store.write(timeout_ms=IMPORT_MS) as write:
        ids = [person.id for person in people]
        await write.fence(ids)
        known = await write.known(ids)
        new = [_imported(person) for person in people if person.id not in known]
        made = await write.add(new)
        reserved = {reserved_as[key] for key in await write.reserved(list(reserved_as))}
        taken = [one.handle for one in new if one.id not in made or one.handle in reserved]
        if taken:
            shown = ", ".join(taken[:5]) + (f" and {len(taken) - 5} more" if len(taken) > 5 else "")
            raise HandleTaken(
                f"Nobody of this batch was imported: others have the handles {shown}. Change them, and try again.",
                errors=tuple(FieldError("/people", f"the handle {handle} is taken") for handle in taken[:100]),
            )
        versions = await write.bump(made)
        for user_id in made:
            body = UserChanged(user_id=user_id, version=versions[user_id])
            write.announce(joined, subject=user_id, version=body.version, body=body)
    audited(viewer, "imported")
    return Imported(added=len(made), present=len(known))


async def found(store: UsersStore, handle: str) -> AccountRow:
    account = await store.by_handle(plain_handle(handle))
    if account is None:
        raise NotFound(f"There is no @{plain_handle(handle)} here. `tidings users list` shows who is.")
    return account


async def _link_for(
    store: UsersStore, viewer: Viewer, handle: str, *, purpose: Purpose, path: str, lasts: timedelta
) -> OneTimeLink:
    user_id = (await found(store, handle)).id
    secret, link = new_link(), _lasting(purpose, user_id, lasts)
    async with store.write() as write:
        account = await fenced(write, user_id)
        if account is None:
            raise no_such_person()
        if account.suspended:
            raise Invalid("This person is suspended. Let them back in first, then make the link.")
        await write.add_link(digest(secret), link)
    audited(viewer, f"made_{purpose}_link", user_id)
    return one_time_link(path, secret, link)


def _lasting(purpose: Purpose, user_id: UserId | None, lasts: timedelta) -> LinkRow:
    return LinkRow(purpose=purpose, user_id=user_id, expires_at=at(now_ms()) + lasts)


def _imported(person: ImportedPerson) -> NewAccount:
    name = checked_name(person.name)
    return NewAccount(
        id=person.id,
        handle=person.handle,
        name=name,
        bio=person.bio,
        role="member",
        created_at=at(person.created_ms),
        password_hash=None,
        entries=search_entries(person.handle, name),
    )


def _check_distinct(people: Sequence[ImportedPerson]) -> None:
    for what, values in (("id", [p.id for p in people]), ("handle", [p.handle for p in people])):
        value, count = Counter(map(str, values)).most_common(1)[0] if values else ("", 0)
        if count > 1:
            raise Invalid(
                f"The {what} {value} comes {count} times in this batch.",
                errors=(FieldError("/people", f"the {what} {value} comes {count} times"),),
            )

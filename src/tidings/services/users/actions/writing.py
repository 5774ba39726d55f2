"""What the writes of users share: the fence of one person, what happened to them, and the audit log."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from tidings.contracts.users import (
    HandleTaken,
    OneTimeLink,
    Profile,
    Role,
    UserChanged,
    UserId,
    WeakPassword,
    joined,
    signed_out,
)
from tidings.platform import logs
from tidings.platform.clock import now_ms
from tidings.platform.contract import Busy, Event, FieldError, Invalid, NotFound, Unauthenticated
from tidings.platform.ids import uuid7
from tidings.platform.request import Viewer
from tidings.services.users.codes import Codes
from tidings.services.users.passwords import is_weak
from tidings.services.users.rules import instant, search_entries, tidy_name
from tidings.services.users.store.port import AccountRow, LinkRow, NewAccount, UsersWrite
from tidings.services.users.views import as_profile

audit = logs.get_logger("audit")


async def fenced(write: UsersWrite, user_id: UserId) -> AccountRow | None:
    """Take the person's fence, and read their account under it. None if it is gone.

    `Busy` while it is undecided whether the account is deleted: an answer now could be wrong a moment later.
    """
    fences = await write.fence([user_id])
    if fences[user_id].state != "live":
        return None
    deletion = await write.unfinished_deletion(user_id)
    if deletion is not None and deletion.outcome is None:
        raise Busy("This account is being deleted. Try again in a moment.", retry_after=1, service="users")
    return (await write.by_ids([user_id])).get(user_id)


async def fenced_own(write: UsersWrite, viewer: Viewer) -> AccountRow:
    """Take the asker's own fence. `Unauthenticated` if their account ended while they asked."""
    account = await fenced(write, UserId(viewer.known))
    if account is None or account.suspended:
        raise gone()
    return account


def gone() -> Unauthenticated:
    return Unauthenticated("This account is no longer here.")


def no_such_person() -> NotFound:
    return NotFound("There is no such person here.")


async def happened(write: UsersWrite, event: Event, user_id: UserId, *, avatar: UUID | None) -> int:
    """Raise the person's version and announce the event with it. Every event has a version of its own.

    `avatar` is the one that they have from now on: media believes the newest event.
    """
    version = (await write.bump([user_id]))[user_id]
    body = UserChanged(user_id=user_id, version=version, avatar=avatar)
    write.announce(event, subject=user_id, version=version, body=body)
    return version


async def end_every_session(write: UsersWrite, account: AccountRow) -> None:
    """And every link that would open a new one."""
    await write.drop_links(account.id)
    if await write.end_sessions(account.id):
        await happened(write, signed_out, account.id, avatar=account.avatar)


def new_account(
    *, handle: str, name: str, role: Role, created_at: datetime, password_hash: str | None
) -> NewAccount:
    """With an id of its own; the name was checked."""
    return NewAccount(
        id=UserId(uuid7(now_ms())),
        handle=handle,
        name=name,
        bio="",
        role=role,
        created_at=created_at,
        password_hash=password_hash,
        entries=search_entries(handle, name),
    )


async def enrol(write: UsersWrite, codes: Codes, account: NewAccount) -> Profile:
    """Make one account. `HandleTaken` if somebody has the handle, or had it lately."""
    await write.fence([account.id])
    made = await write.add([account])
    # After the insert: a deletion that we waited for has reserved the handle by now.
    if not made or await write.reserved([codes.handle(account.handle)]):
        raise handle_taken(account.handle)
    await happened(write, joined, account.id, avatar=None)
    return as_profile((await write.by_ids([account.id]))[account.id], privately=True)


def handle_taken(handle: str) -> HandleTaken:
    return HandleTaken(f"The handle {handle} is taken. Choose another.", errors=(FieldError("/handle", "taken"),))


def checked_name(name: str) -> str:
    """The name as it is kept. `Invalid` if nothing of it can be seen."""
    tidy = tidy_name(name)
    if not tidy:
        raise Invalid(
            "A name needs a letter, a digit or a sign.", errors=(FieldError("/name", "nothing to see in it"),)
        )
    return tidy


def check_password(password: str, *own: str, pointer: str = "/password") -> None:
    """`WeakPassword` if attackers try it early; `own` are the person's handle and name."""
    if is_weak(password, *own):
        raise WeakPassword(
            "That password stands in lists of leaked ones, or is easily guessed. Choose another.",
            errors=(FieldError(pointer, "known to attackers"),),
        )


def for_administrators(viewer: Viewer, what: str, subject: UUID) -> None:
    """`NotFound` for everybody else, and an entry in the audit log."""
    if viewer.role != "administrator":
        audit.warning("refused", action=what, actor=str(viewer.user_id), subject=str(subject))
        raise NotFound("There is no such thing here.")


def audited(viewer: Viewer, what: str, subject: UUID | None = None) -> None:
    """Write down what an administrator or the operator has done."""
    audit.info(what, actor=str(viewer.user_id or viewer.role), subject=str(subject) if subject else None)


def one_time_link(path: str, secret: str, link: LinkRow) -> OneTimeLink:
    return OneTimeLink(path=path, secret=secret, expires_at=instant(link.expires_at))

"""Sessions: sign in, sign out, and passwords, whose change ends them."""

from __future__ import annotations

from tidings.contracts.users import (
    LinkSpent,
    NewSession,
    NewToken,
    PasswordChange,
    PasswordReset,
    SessionId,
    SignInFailed,
    UserId,
    WrongPassword,
    signed_out,
)
from tidings.platform.clock import now_ms
from tidings.platform.contract import FieldError, Invalid, NotFound
from tidings.platform.ids import uuid7
from tidings.platform.request import Viewer
from tidings.services.users.actions.writing import (
    audit,
    check_password,
    end_every_session,
    fenced,
    fenced_own,
    gone,
    happened,
)
from tidings.services.users.codes import digest, new_token
from tidings.services.users.passwords import Passwords
from tidings.services.users.rules import at, instant, plain_handle
from tidings.services.users.store.port import SessionRow, UsersStore, UsersWrite
from tidings.services.users.throttle import Throttle

DAY_MS = 86_400_000


async def sign_in(
    store: UsersStore, passwords: Passwords, throttle: Throttle, new: NewSession, *, days: int
) -> NewToken:
    """By handle and password, or by a one-time link."""
    if new.link is not None and new.handle is None and new.password is None:
        return await _by_link(store, new.link, new.label, days=days)
    if new.link is None and new.handle is not None and new.password is not None:
        account = plain_handle(new.handle)
        spent = await throttle.spend(account)
        token = await _by_password(store, passwords, account, new.password, new.label, days=days)
        await throttle.refund(spent)
        return token
    raise Invalid(
        "Sign in by handle and password, or by a link alone.",
        errors=(FieldError("", "needs handle and password, or link"),),
    )


async def sign_out(store: UsersStore, viewer: Viewer, session_id: SessionId) -> None:
    """End one session of one's own."""
    user_id = UserId(viewer.known)
    async with store.write() as write:
        await write.fence([user_id])
        account = (await write.by_ids([user_id])).get(user_id)
        if account is None or not await write.end_session(user_id, session_id):
            raise NotFound("There is no such session of yours.")
        await happened(write, signed_out, user_id, avatar=account.avatar)


async def sign_out_everywhere(store: UsersStore, viewer: Viewer) -> None:
    user_id = UserId(viewer.known)
    async with store.write() as write:
        await write.fence([user_id])
        account = (await write.by_ids([user_id])).get(user_id)
        if account is not None:
            await end_every_session(write, account)


async def change_password(
    store: UsersStore,
    passwords: Passwords,
    throttle: Throttle,
    viewer: Viewer,
    change: PasswordChange,
    *,
    days: int,
) -> NewToken:
    """Every session ends; this one goes on under a new token and a new id."""
    user_id = UserId(viewer.known)
    account = (await store.by_ids([user_id])).get(user_id)
    if account is None or account.suspended:
        raise gone()
    spent = await throttle.spend(account.handle)
    if not await passwords.verify(account.password_hash, change.current):
        raise _wrong_password()
    await throttle.refund(spent)
    check_password(change.new, account.handle, account.name, pointer="/new")
    password_hash = await passwords.hash(change.new)
    async with store.write() as write:
        now = await fenced_own(write, viewer)
        if now.password_hash != account.password_hash:
            raise _wrong_password()
        before = await write.session(user_id, SessionId(viewer.session_id)) if viewer.session_id else None
        if viewer.session_id and before is None:
            raise gone()
        await write.change_password(user_id, password_hash)
        await end_every_session(write, now)
        return await _open(write, user_id, before.label if before else "", days=days)


async def reset_password(store: UsersStore, passwords: Passwords, reset: PasswordReset) -> None:
    """Set a password by a one-time link. Every session ends."""
    key = digest(reset.link)
    link = await store.link(key, "reset")
    account = (await store.by_ids([link.user_id])).get(link.user_id) if link and link.user_id else None
    if account is None:
        raise _spent()
    check_password(reset.password, account.handle, account.name)
    password_hash = await passwords.hash(reset.password)
    async with store.write() as write:
        now = await fenced(write, account.id)
        if await write.take_link(key, "reset") is None or now is None or now.suspended:
            raise _spent()
        await write.change_password(account.id, password_hash)
        await end_every_session(write, now)
    audit.info("password_reset", actor=str(account.id), subject=str(account.id))


async def _by_password(
    store: UsersStore, passwords: Passwords, handle: str, password: str, label: str, *, days: int
) -> NewToken:
    """One refusal, and one time, for every reason why not."""
    account = await store.by_handle(handle)
    fits = await passwords.verify(account.password_hash if account else None, password)
    if account is None or account.password_hash is None or not fits or account.suspended:
        raise _failed()
    renewed = await passwords.hash(password) if passwords.is_outdated(account.password_hash) else None
    async with store.write() as write:
        now = await fenced(write, account.id)
        # Deleted, suspended, or under another password since we looked.
        if now is None or now.suspended or now.password_hash != account.password_hash:
            raise _failed()
        if renewed is not None:
            await write.change_password(account.id, renewed)
        return await _open(write, account.id, label, days=days)


async def _by_link(store: UsersStore, secret: str, label: str, *, days: int) -> NewToken:
    key = digest(secret)
    link = await store.link(key, "sign_in")
    if link is None or link.user_id is None:
        raise _spent()
    async with store.write() as write:
        account = await fenced(write, link.user_id)
        if await write.take_link(key, "sign_in") is None or account is None or account.suspended:
            raise _spent()
        return await _open(write, account.id, label, days=days)


async def _open(write: UsersWrite, user_id: UserId, label: str, *, days: int) -> NewToken:
    """A session with a new id and a new token, under the person's fence."""
    now, token = now_ms(), new_token()
    session = SessionRow(
        id=SessionId(uuid7(now)),
        user_id=user_id,
        label=label,
        created_at=at(now),
        expires_at=at(now + days * DAY_MS),
    )
    await write.add_session(session, digest(token))
    return NewToken(token=token, session_id=session.id, user_id=user_id, expires_at=instant(session.expires_at))


def _failed() -> SignInFailed:
    return SignInFailed("Handle and password do not fit.")


def _wrong_password() -> WrongPassword:
    return WrongPassword("The current password is not right.", errors=(FieldError("/current", "not right"),))


def _spent() -> LinkSpent:
    return LinkSpent("This link was used or has expired. Ask for another.")

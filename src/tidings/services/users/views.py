"""Reads: cards and profiles, search, sessions, invites, and who holds a token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import urlencode
from uuid import UUID

import msgspec

from tidings.contracts import friends
from tidings.contracts.users import (
    Account,
    Accounts,
    ByIds,
    CardAsOf,
    Deletion,
    FindUsers,
    Gid,
    Greeting,
    Invite,
    Invites,
    Living,
    Outcome,
    Preferences,
    Profile,
    Session,
    Sessions,
    SignedIn,
    Transaction,
    TransactionOutcome,
    Transactions,
    UserCard,
    UserId,
    Users,
)
from tidings.platform.contract import FieldError, Invalid, NotFound, Reply, Unauthenticated
from tidings.platform.cursors import Cursors
from tidings.platform.request import Viewer
from tidings.platform.together import together
from tidings.platform.twophase.coordinator import Coordinator
from tidings.platform.world import World
from tidings.services.users import avatar
from tidings.services.users.codes import Codes
from tidings.services.users.rules import folded, instant
from tidings.services.users.store.port import AccountRow, Found, Holder, InviteRow, UsersStore

FIRST = UserId(UUID(int=0))
MOST_AT_ONCE = 1000


class Place(msgspec.Struct, frozen=True, array_like=True):
    """The last person shown, by the entry that found them."""

    entry: str
    user_id: UserId


async def cards(store: UsersStore, ids: Sequence[UserId]) -> dict[UserId, UserCard]:
    """Live people only: the deleted, the suspended and the unknown are absent alike."""
    accounts = await store.by_ids(ids)
    return {user_id: as_card(account) for user_id, account in accounts.items() if not account.suspended}


async def cards_as_of(store: UsersStore, ids: Sequence[UserId]) -> dict[UserId, CardAsOf]:
    """The same, with the version that the person had in the same snapshot; who is suspended has no card."""
    return {
        row.id: CardAsOf(
            card=None if row.suspended else UserCard(row.id, row.handle, row.name, _shown_by(row.id, row.avatar)),
            as_of=row.version,
        )
        for row in await store.cards_as_of(ids)
    }


async def profile(store: UsersStore, world: World, viewer: Viewer, user_id: UserId) -> Reply[Profile]:
    """A person's page. `NotFound` if they are gone, or there is a block between the two."""
    accounts = await _shown(world, viewer, await store.by_ids([user_id]))
    if user_id not in accounts:
        raise NotFound("There is no such person here.")
    privately = viewer.user_id == user_id or viewer.role == "administrator"
    return Reply(as_profile(accounts[user_id], privately=privately), version=accounts[user_id].version)


async def find(store: UsersStore, world: World, cursors: Cursors, viewer: Viewer, ask: FindUsers) -> Reply[Users]:
    """People by exactly one of ids, handle and the beginning of a name."""
    given = [name for name in ("ids", "handle", "q") if getattr(ask, name) is not None]
    if len(given) != 1:
        errors = tuple(FieldError(f"?{name}", "one of ids, handle and q") for name in given or ["ids"])
        raise Invalid("Say whom to find by exactly one of ids, handle and q.", errors=errors)
    if ask.q is not None:
        return await _search(store, world, cursors, viewer, ask)
    if ask.ids is not None:
        accounts = await store.by_ids(ask.ids)
    else:
        account = await store.by_handle(ask.handle or "")
        accounts = {account.id: account} if account else {}
    shown = await _shown(world, viewer, accounts)
    wanted = dict.fromkeys(ask.ids or shown)
    return Reply(Users(users=[as_card(shown[user_id]) for user_id in wanted if user_id in shown]))


async def by_handles(
    store: UsersStore, world: World, viewer: Viewer, handles: Sequence[str]
) -> dict[str, UserCard]:
    """Those whom the viewer may see."""
    found = {account.id: account for account in await store.by_handles(handles)}
    shown = await _shown(world, viewer, found)
    return {account.handle: as_card(account) for account in shown.values()}


async def greeting(store: UsersStore, user_id: UserId) -> Greeting:
    """Oneself. `Unauthenticated` if the account has just gone."""
    accounts, row = await together(store.by_ids([user_id]), store.preferences(user_id))
    if user_id not in accounts:
        raise Unauthenticated("This account is no longer there.")
    account = accounts[user_id]
    kept = Preferences() if row is None else msgspec.json.decode(row.preferences, type=Preferences)
    return Greeting(card=as_card(account), role=account.role, preferences=kept)


async def whois(store: UsersStore, digests: Sequence[bytes]) -> list[SignedIn | None]:
    """Who holds each token; None for one that is unknown, expired or revoked."""
    holders = await store.holders(digests)
    return [_signed_in(holders[digest]) if digest in holders else None for digest in digests]


def _signed_in(holder: Holder) -> SignedIn:
    return SignedIn(
        user_id=holder.user_id,
        role=holder.role,
        session_id=holder.session_id,
        as_of=holder.version,
        expires_ms=int(holder.expires_at.timestamp() * 1000),
    )


async def preferences(store: UsersStore, user_id: UserId) -> Reply[Preferences]:
    row = await store.preferences(user_id)
    if row is None:
        return Reply(Preferences(), version=0)
    return Reply(msgspec.json.decode(row.preferences, type=Preferences), version=row.version)


async def showing_presence(store: UsersStore, ids: Sequence[UserId]) -> Living:
    """Of these, who is there, and lets friends see whether they are online."""
    there = await store.by_ids(ids)
    hiding = await store.hiding_presence(list(there))
    return Living(ids=[one for one in there if one not in hiding and not there[one].suspended])


async def sessions(store: UsersStore, viewer: Viewer) -> Sessions:
    """One's own, newest first."""
    rows = await store.sessions(UserId(viewer.known))
    return Sessions(
        sessions=[
            Session(
                id=row.id,
                label=row.label,
                created_at=instant(row.created_at),
                expires_at=instant(row.expires_at),
                current=row.id == viewer.session_id,
            )
            for row in rows
        ]
    )


async def invites(store: UsersStore, codes: Codes, viewer: Viewer) -> Invites:
    """One's own, newest first, with their codes."""
    return Invites(invites=[as_invite(row, codes) for row in await store.invites(UserId(viewer.known))])


async def accounts(store: UsersStore, after: str, limit: int) -> Accounts:
    """For the operator."""
    rows = await store.after_handle(after, max(1, min(limit, 1000)))
    return Accounts(accounts=[as_account(row) for row in rows], total=await store.count())


async def outcome(store: UsersStore, gid: Gid) -> Outcome:
    """What was decided; a transaction that is not known never was."""
    row = await store.log.read(gid)
    return Outcome(known=row is not None, outcome=None if row is None else row.outcome)


async def deletion(store: UsersStore, coordinator: Coordinator, gid: Gid) -> Deletion:
    """`NotFound` for what was not begun, or is long over."""
    row = await store.log.read(gid)
    if row is None:
        raise NotFound("There is no such deletion, or it is long over.")
    return Deletion(state=deletion_state(coordinator.told(row)))


async def transactions(store: UsersStore, gid: Gid | None) -> Transactions:
    """For the operator: the unfinished, or the one that is asked for."""
    found = await store.log.unfinished() if gid is None else [await store.log.read(gid)]
    now = datetime.now(UTC)
    return Transactions(
        transactions=[
            Transaction(
                gid=row.gid,
                user_id=UserId(row.subject),
                participants=list(row.participants),
                outcome=row.outcome,
                begun_at=instant(row.begun_at),
                deadline=instant(row.deadline),
                finished_at=instant(row.finished_at) if row.finished_at else None,
                age=round((now - row.begun_at).total_seconds(), 3),
            )
            for row in found
            if row is not None
        ]
    )


def deletion_state(outcome: TransactionOutcome | None) -> Literal["deciding", "deleted", "aborted"]:
    """In the words of the status address. From the decision on, nobody is shown who was deleted."""
    if outcome is None:
        return "deciding"
    return "deleted" if outcome == "COMMIT" else "aborted"


def as_card(account: AccountRow) -> UserCard:
    return UserCard(account.id, account.handle, account.name, _shown_by(account.id, account.avatar))


def _shown_by(user_id: UserId, own: UUID | None) -> str:
    return avatar.path(user_id, own, "avatar-96")


def as_profile(account: AccountRow, *, privately: bool) -> Profile:
    """`privately`: for oneself and for administrators."""
    shown = Profile(
        id=account.id,
        handle=account.handle,
        name=account.name,
        bio=account.bio,
        avatar=avatar.path(account.id, account.avatar, "avatar-400"),
        created_at=instant(account.created_at),
    )
    if not privately:
        return shown
    return msgspec.structs.replace(shown, role=account.role, suspended=account.suspended)


def as_account(account: AccountRow) -> Account:
    return Account(
        id=account.id,
        handle=account.handle,
        name=account.name,
        role=account.role,
        suspended=account.suspended,
        created_at=instant(account.created_at),
    )


def as_invite(row: InviteRow, codes: Codes) -> Invite:
    return Invite(id=row.id, code=codes.invite(row.id), expires_at=instant(row.expires_at), used=row.used)


async def _search(
    store: UsersStore, world: World, cursors: Cursors, viewer: Viewer, ask: FindUsers
) -> Reply[Users]:
    prefix = folded(ask.q or "")
    if not prefix:  # nothing but signs
        return Reply(Users(users=[]))
    of, after = f"find {prefix}", ("", FIRST)
    if ask.cursor is not None:
        place = cursors.open(ask.cursor, Place, asker=viewer.user_id, of=of)
        after = (place.entry, place.user_id)
    visible: list[Found] = []
    # A page is filled up: one that is short would tell that somebody on it has blocked the asker.
    step = ask.limit + 1
    while len(visible) <= ask.limit:
        met = await store.found_after(prefix, after, step, suspended=viewer.role == "administrator")
        shown = await _shown(world, viewer, {one.account.id: one.account for one in met})
        visible += [one for one in met if one.account.id in shown]
        if len(met) < step:
            break
        step = MOST_AT_ONCE  # many are hidden: fewer, larger reads
        after = (met[-1].entry, met[-1].account.id)
    page = visible[: ask.limit]
    users = [as_card(one.account) for one in page]
    if len(visible) <= ask.limit:
        return Reply(Users(users=users))
    last = Place(page[-1].entry, page[-1].account.id)
    following = cursors.seal(last, asker=viewer.user_id, of=of)
    query = "?" + urlencode({"q": ask.q, "limit": ask.limit, "cursor": following})
    return Reply(Users(users=users, next_cursor=following), links=(("next", query),))


async def _shown(world: World, viewer: Viewer, accounts: Mapping[UserId, AccountRow]) -> dict[UserId, AccountRow]:
    """Those whom the viewer may see. One call to friends, none if there is only oneself."""
    administers = viewer.role == "administrator"
    kept = {user_id: one for user_id, one in accounts.items() if administers or not one.suspended}
    others = [user_id for user_id in kept if user_id != viewer.user_id]
    if not others:
        return kept
    relations = await world.call(friends.relations, ByIds(ids=others))
    blocked = {user_id for user_id, relation in relations.items() if relation.blocked}
    return {user_id: one for user_id, one in kept.items() if user_id not in blocked}

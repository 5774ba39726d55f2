"""users' part of an export: account, preferences, sessions, invites and links, and no secret of any."""

from __future__ import annotations

from uuid import UUID

import msgspec

from tidings.contracts.users import Preferences, UserId
from tidings.platform.export import ExportAsk, ExportPage, page_of, place_in
from tidings.services.users.rules import instant
from tidings.services.users.store.port import AccountRow, InviteRow, LinkRow, PreferencesRow, SessionRow, UsersStore

FIRST = UUID(int=0)


async def part(store: UsersStore, me: UserId, ask: ExportAsk) -> ExportPage:
    """A page of one of the contract's files."""
    match ask.file:
        case "sessions.json":
            sessions = await store.sessions_after(me, place_in(ask, UUID, FIRST), ask.limit)
            return page_of(sessions, ask, shown=_session, place=lambda row: row.id)
        case "invites.json":
            invites = await store.invites_after(me, place_in(ask, UUID, FIRST), ask.limit)
            return page_of(invites, ask, shown=_invite, place=lambda row: row.id)
        case "links.json":
            skip = place_in(ask, int, 0)
            links = await store.links_of(me, skip, ask.limit)
            return page_of(links, ask, shown=_link, place=lambda _: skip + len(links))
        case "preferences.json":
            kept = await store.preferences(me)
            return _single(None if kept is None else _preferences(kept))
        case "profile.json":
            account = (await store.by_ids([me])).get(me)
            return _single(None if account is None else _account(account))
    raise LookupError(f"users has no file {ask.file!r}")


def _single(shown: object | None) -> ExportPage:
    return ExportPage(entries=[] if shown is None else [msgspec.Raw(msgspec.json.encode(shown))])


def _account(account: AccountRow) -> dict[str, object]:
    return {
        "id": account.id,
        "handle": account.handle,
        "name": account.name,
        "bio": account.bio,
        "avatar": account.avatar,
        "role": account.role,
        "suspended": account.suspended,
        "created_at": instant(account.created_at),
    }


def _preferences(row: PreferencesRow) -> Preferences:
    return msgspec.json.decode(row.preferences, type=Preferences)


def _session(row: SessionRow) -> dict[str, object]:
    return {
        "id": row.id,
        "label": row.label,
        "created_at": instant(row.created_at),
        "expires_at": instant(row.expires_at),
    }


def _invite(row: InviteRow) -> dict[str, object]:
    return {"id": row.id, "expires_at": instant(row.expires_at), "used": row.used}


def _link(row: LinkRow) -> dict[str, object]:
    return {"purpose": row.purpose, "expires_at": instant(row.expires_at)}

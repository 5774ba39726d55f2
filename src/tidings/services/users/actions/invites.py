"""Invites: made, used up by a sign-up, withdrawn."""

from __future__ import annotations

from uuid import UUID

import msgspec

from tidings.contracts.users import Invite, OneTimeLink, UserId, make_invite
from tidings.platform.clock import now_ms
from tidings.platform.contract import NotFound, Reply, Served
from tidings.platform.ids import uuid7
from tidings.platform.request import Viewer
from tidings.platform.service import Replayed, served
from tidings.services.users.actions.writing import audited, fenced_own
from tidings.services.users.codes import Codes, digest
from tidings.services.users.rules import INVITE_LASTS, at, instant
from tidings.services.users.store.port import InviteRow, UsersStore
from tidings.services.users.views import as_invite


async def invite(store: UsersStore, codes: Codes, viewer: Viewer) -> Reply[Invite]:
    """Invite somebody, in one's own name."""
    maker, made = UserId(viewer.known), _new()
    shown = as_invite(made, codes)
    try:
        async with store.write() as write:
            await fenced_own(write, viewer)
            await write.add_invite(made, digest(shown.code), maker)
            # The kept answer is without the code, which is made again for a replay: nothing secret is stored.
            write.answers(make_invite, msgspec.structs.replace(shown, code=""))
    except Replayed as replayed:
        raise Replayed(_with_code(replayed.served, codes)) from None
    return Reply(shown)


async def invite_by_operator(store: UsersStore, codes: Codes, viewer: Viewer) -> OneTimeLink:
    made = _new()
    code = codes.invite(made.id)
    async with store.write() as write:
        await write.add_invite(made, digest(code), None)
    audited(viewer, "invited", made.id)
    return OneTimeLink(path="/join", secret=code, expires_at=instant(made.expires_at))


async def withdraw(store: UsersStore, viewer: Viewer, invite_id: UUID) -> None:
    """Withdraw an invite of one's own that nobody has used."""
    maker = UserId(viewer.known)
    async with store.write() as write:
        await write.fence([maker])
        if not await write.drop_invite(invite_id, maker):
            raise NotFound("There is no such invite of yours.")


def _new() -> InviteRow:
    now = now_ms()
    return InviteRow(id=uuid7(now), expires_at=at(now) + INVITE_LASTS, used=False)


def _with_code(kept: Served, codes: Codes) -> Served:
    bare = msgspec.json.decode(kept.body, type=Invite)
    again = served(make_invite, msgspec.structs.replace(bare, code=codes.invite(bare.id)))
    return msgspec.structs.replace(kept, body=again.body)

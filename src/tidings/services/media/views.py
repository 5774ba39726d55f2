"""Reads: one's own pictures, the picture itself for those who may see it, and what the operator asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode
from uuid import UUID

import msgspec

from tidings.contracts import friends, messages, users
from tidings.contracts.media import ListMedia, OneBlob, Picture, Usage, UsageAsk
from tidings.contracts.media import Pictures as Listed
from tidings.contracts.messages import ByMessageIds, MediaId, Message, MessageId
from tidings.contracts.users import ByIds, UserId
from tidings.platform.compose import Composite, Need, Parts
from tidings.platform.contract import NotFound, Reply
from tidings.platform.request import Viewer
from tidings.services.media import rules
from tidings.services.media.holder import Media
from tidings.services.media.shapes import Look

MOST_MESSAGES: Final = 100  # that show one picture, the newest, are asked for
OF: Final = "media"
NOBODY: Final = UserId(UUID(int=0))


class Place(msgspec.Struct, frozen=True, array_like=True):
    """The last picture shown."""

    media_id: MediaId


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A picture that is asked for, and what is known of it. Nobody's, where there is none: see `_wanted`."""

    ask: OneBlob
    look: Look
    own: bool


async def one(svc: Media, viewer: Viewer, media_id: MediaId) -> Picture:
    """One of one's own, whatever became of it. `NotFound` for anybody else's."""
    rows = await svc.store.own(UserId(viewer.known), [media_id])
    if media_id not in rows:
        raise no_such_picture()
    return rules.as_picture(rows[media_id])


async def listed(svc: Media, viewer: Viewer, ask: ListMedia) -> Reply[Listed]:
    """One's own, newest first."""
    me, before = UserId(viewer.known), None
    if ask.cursor is not None:
        before = svc.cursors.open(ask.cursor, Place, asker=me, of=OF).media_id
    rows = await svc.store.newest(me, before=before, limit=ask.limit + 1)
    page = [rules.as_picture(row) for row in rows[: ask.limit]]
    if len(rows) <= ask.limit:
        return Reply(Listed(media=page))
    cursor = svc.cursors.seal(Place(page[-1].id), asker=me, of=OF)
    query = urlencode({"limit": str(ask.limit), "cursor": cursor})
    return Reply(Listed(media=page, next_cursor=cursor), links=(("next", f"/v1/media?{query}"),))


async def blob(svc: Media, viewer: Viewer, ask: OneBlob) -> Reply[bytes]:
    """The picture, or where its bucket serves it. `NotFound` alike if there is none, and if it may not be seen."""
    if not await _seeing.read(svc, svc.world, viewer, ask):
        raise no_such_picture()
    if svc.settings.presigned_seconds:
        address = await svc.pictures.address(ask.media_id, ask.variant, svc.settings.presigned_seconds)
        if address is not None:
            return Reply(b"", status=307, location=address)
    content = await svc.pictures.get(ask.media_id, ask.variant)
    if content is None:  # deleted since we looked
        raise no_such_picture()
    return Reply(content)


async def usage(svc: Media, ask: UsageAsk) -> Usage:
    """For the operator."""
    totals = await svc.store.totals()
    return Usage(
        people=await svc.store.usage(after=ask.after, limit=ask.limit),
        pictures=totals.pictures,
        bytes=totals.bytes,
        leaving=totals.leaving,
        blobs=svc.pictures.where,
    )


def no_such_picture() -> NotFound:
    return NotFound("There is no such picture here.")


async def _wanted(svc: Media, viewer: Viewer, ask: OneBlob) -> _Wanted:
    look = await svc.store.look(ask.media_id, most=MOST_MESSAGES)
    if look is None:
        return _Wanted(ask, Look(NOBODY, []), own=False)
    return _Wanted(ask, look, own=look.owner_id == viewer.user_id)


# All is asked of whatever is not one's own, also where there is nothing to ask about: a picture that is not there
# takes as long as one that may not be seen.
def _owner(wanted: _Wanted) -> ByIds | None:
    return None if wanted.own else ByIds(ids=[wanted.look.owner_id])


def _messages(wanted: _Wanted) -> ByMessageIds | None:
    asked = [] if wanted.ask.message is None else [wanted.ask.message]
    return None if wanted.own else ByMessageIds(ids=list(dict.fromkeys([*asked, *wanted.look.shown_by])))


def _keep(wanted: _Wanted, parts: Parts) -> bool:
    said: Mapping[MessageId, Message] = parts["messages"] or {}
    return wanted.own or rules.sees(
        wanted.ask.media_id,
        wanted.ask.variant,
        wanted.look,
        cards=parts["cards"] or {},
        relations=parts["relations"] or {},
        messages=said,
    )


def _present(seen: bool) -> bool:
    return seen


_seeing = Composite(
    skeleton=_wanted,
    needs={
        "cards": Need(users.cards, keys=_owner),
        "relations": Need(friends.relations, keys=_owner),
        "messages": Need(messages.by_ids, keys=_messages),
    },
    keep=_keep,
    present=_present,
    name="a picture",
)

"""notifications' part of an export: what the person was told. Of others, only what they may see is named."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import msgspec

from tidings.contracts import friends, messages, users
from tidings.contracts.messages import MessageId
from tidings.contracts.users import ByIds, UserId
from tidings.platform.clock import rfc3339
from tidings.platform.compose import Composite, Need, Parts
from tidings.platform.export import ExportAsk, ExportPage, page_of, place_in
from tidings.platform.request import Viewer
from tidings.services.notifications.holder import Notifications
from tidings.services.notifications.store.port import Told, ToldPlace

WITHOUT_MESSAGE = ("friend_request", "friend_acceptance")
FIRST = ToldPlace("", UserId(UUID(int=0)), UUID(int=0))


@dataclass(frozen=True, slots=True)
class _Page:
    """What was read for this ask."""

    ask: ExportAsk
    told: list[Told]


async def part(svc: Notifications, viewer: Viewer, ask: ExportAsk) -> ExportPage:
    """A page of one of the contract's files."""
    match ask.file:
        case "notifications.json":
            return await _notifications.read(svc, svc.world, viewer, ask)
        case "read_mark.json":
            read_ms = await svc.store.read_ms(UserId(viewer.known))
            marks = [] if read_ms is None else [{"read_until": rfc3339(read_ms)}]
            return ExportPage(entries=[msgspec.Raw(msgspec.json.encode(mark)) for mark in marks])
    raise LookupError(f"notifications has no file {ask.file!r}")


async def _page(svc: Notifications, viewer: Viewer, ask: ExportAsk) -> _Page:
    after = place_in(ask, ToldPlace, FIRST)
    return _Page(ask, await svc.store.told(UserId(viewer.known), after=after, limit=ask.limit))


def _actors(page: _Page) -> ByIds | None:
    return ByIds(ids=sorted({one.actor_id for one in page.told})) if page.told else None


def _messages(page: _Page) -> messages.ByMessageIds | None:
    wanted = {MessageId(one.target) for one in page.told if one.kind not in WITHOUT_MESSAGE}
    return messages.ByMessageIds(ids=sorted(wanted)) if wanted else None


def _keep(page: _Page, parts: Parts) -> ExportPage:
    """Every one of them, without the names of those who are gone or blocked, and of what is hidden."""
    cards, relations, said = (parts[name] or {} for name in ("cards", "relations", "messages"))

    def shown(one: Told) -> dict[str, object]:
        blocked = one.actor_id in relations and relations[one.actor_id].blocked
        card = None if blocked else cards.get(one.actor_id)
        return {
            "kind": one.kind,
            "at": rfc3339(one.at_ms),
            "by": None if card is None else {"user_id": card.id, "handle": card.handle},
            "message_id": one.target if MessageId(one.target) in said else None,
        }

    return page_of(
        page.told, page.ask, shown=shown, place=lambda one: ToldPlace(one.kind, one.actor_id, one.target)
    )


def _present(page: ExportPage) -> ExportPage:
    return page


_notifications = Composite(
    skeleton=_page,
    needs={
        "cards": Need(users.cards, keys=_actors),
        "relations": Need(friends.relations, keys=_actors),
        "messages": Need(messages.by_ids, keys=_messages),
    },
    keep=_keep,
    present=_present,
    name="export of notifications",
)

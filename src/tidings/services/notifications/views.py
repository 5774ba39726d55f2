"""The list of notifications: groups from here; cards, relations and messages from those who own them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

from tidings.contracts import friends, messages, users
from tidings.contracts.friends import Relation
from tidings.contracts.messages import Message, MessageId
from tidings.contracts.notifications import Group, Notifications, NotificationsAsk
from tidings.contracts.users import ByIds, UserCard, UserId
from tidings.platform.clock import now_ms, rfc3339
from tidings.platform.compose import Composite, Need, Parts
from tidings.platform.contract import Reply
from tidings.platform.request import Viewer
from tidings.services.notifications.holder import Notifications as Holder
from tidings.services.notifications.store.port import Place, Row

PEOPLE_SHOWN = 5
ASKED_OF_GROUP = 100  # of a group's actors, the newest
WITHOUT_MESSAGE = ("friend_request", "friend_acceptance")
OF = "notifications"


@dataclass(frozen=True, slots=True)
class Page:
    """What was read, and where the next page begins."""

    rows: list[Row]
    read_ms: int | None
    limit: int
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Shown:
    """What may be shown of it."""

    page: Page
    groups: list[Group]
    unreachable: tuple[str, ...]


async def _page(svc: Holder, viewer: Viewer, ask: NotificationsAsk) -> Page:
    me, below = UserId(viewer.known), None
    now = now_ms()
    if ask.cursor is not None:
        below = svc.cursors.open(ask.cursor, Place, asker=me, of=OF)
    rows = await svc.store.page(me, below=below, now_ms=now, limit=ask.limit + 1)
    read_ms = await svc.store.read_ms(me)
    page, cursor = rows[: ask.limit], None
    if len(rows) > ask.limit:
        last = page[-1]
        place = Place(below.as_of_ms if below else now, last.at_ms, last.kind, last.group_id)
        cursor = svc.cursors.seal(place, asker=me, of=OF)
    return Page(page, read_ms, ask.limit, cursor)


def _actors(page: Page) -> ByIds:
    actors = {actor for row in page.rows for actor in row.actors[:ASKED_OF_GROUP]}
    return ByIds(ids=sorted(actors)[:5000])


def _messages(page: Page) -> messages.ByMessageIds | None:
    wanted = [
        MessageId(target)
        for row in page.rows
        if row.kind not in WITHOUT_MESSAGE
        for target in row.targets[:PEOPLE_SHOWN]
    ]
    return messages.ByMessageIds(ids=list(dict.fromkeys(wanted))) if wanted else None


def _keep(page: Page, parts: Parts) -> Shown:
    cards: Mapping[UserId, UserCard] = parts["cards"]
    relations: Mapping[UserId, Relation] = parts["relations"]
    said: Mapping[MessageId, Message] = parts["messages"] or {}
    stranger = Relation()

    def shows(actor: UserId) -> bool:
        relation = relations.get(actor, stranger)
        return actor in cards and not relation.blocked and not relation.muted

    groups = []
    for row in page.rows:
        done = [
            (actor, target)
            for actor, target in zip(row.actors, row.targets, strict=True)
            if shows(actor) and (row.kind in WITHOUT_MESSAGE or row.kind == "reaction" or _seen(target, said))
        ]
        message = next((said[MessageId(target)] for _, target in done if _seen(target, said)), None)
        if not done or (message is None and row.kind not in WITHOUT_MESSAGE):
            continue
        people = list(dict.fromkeys(actor for actor, _ in done))
        groups.append(
            Group(
                kind=row.kind,
                people=[cards[person] for person in people[:PEOPLE_SHOWN]],
                count=len(people),
                at=rfc3339(row.at_ms),
                unread=page.read_ms is None or row.at_ms > page.read_ms,
                message=message,
                reply_to=MessageId(row.group_id) if row.kind == "reply" else None,
            )
        )
    return Shown(page, groups, parts.unreachable)


def _seen(target: UUID, said: Mapping[MessageId, Message]) -> bool:
    return MessageId(target) in said


def _present(shown: Shown) -> Reply[Notifications]:
    page = shown.page
    body = Notifications(
        notifications=shown.groups,
        unread=any(group.unread for group in shown.groups),
        read_until=None if page.read_ms is None else rfc3339(page.read_ms),
        unreachable=sorted(shown.unreachable),
        next_cursor=page.next_cursor,
    )
    if page.next_cursor is None:
        return Reply(body)
    query = urlencode({"limit": str(page.limit), "cursor": page.next_cursor})
    return Reply(body, links=(("next", f"/v1/notifications?{query}"),))


notifications = Composite(
    skeleton=_page,
    needs={
        "cards": Need(users.cards, keys=_actors),
        "relations": Need(friends.relations, keys=_actors),
        "messages": Need(messages.by_ids, keys=_messages, optional=True),
    },
    keep=_keep,
    present=_present,
    name="notifications",
)

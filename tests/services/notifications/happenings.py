"""What happens around notifications, as its tests play it: users, friends and messages, and their events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec

from tests.harness.lone import Lone, Played
from tests.harness.waiting import until
from tidings.contracts import friends, messages, notifications
from tidings.contracts.friends import GraphChanged, Relation
from tidings.contracts.messages import ByMessageIds, Message, MessageChanged, MessageId, ReactionChanged
from tidings.contracts.users import ByIds, UserCard, UserChanged, UserId
from tidings.platform.clock import now_ms, rfc3339
from tidings.platform.contract import Event, Unavailable, Value
from tidings.platform.ids import uuid7
from tidings.platform.occurrence import Occurred, OccurredAsk, OccurredPage
from tidings.platform.request import Viewer


class Happenings:
    """The running service, and everything around it."""

    lone: Lone

    def __init__(self) -> None:
        self.log: dict[str, list[Occurred]] = {"users": [], "friends": [], "messages": []}
        self.asked_after: dict[str, str] = {}  # by producer, where the last page that was asked for begins
        self.version = 0
        self.clear()

    def clear(self) -> None:
        self.gone: set[UserId] = set()
        self.blocked: set[UserId] = set()
        self.hidden: set[MessageId] = set()
        self.messages_down = False

    @property
    def played(self) -> Mapping[str, Played]:
        return {
            "users/cards": self._cards,
            "friends/relations": self._relations,
            "messages/by_ids": self._by_ids,
            **{f"{producer}/occurrences": self._occurrences(producer) for producer in self.log},
        }

    # What happens.

    def person(self) -> UserId:
        return UserId(uuid7(now_ms()))

    def message(self) -> MessageId:
        return MessageId(uuid7(now_ms()))

    def happened(self, event: Event, body: Value, *, subject: UUID, version: int | None = None) -> Occurred:
        self.version += 1
        one = Occurred(
            id=uuid7(now_ms()),
            event=event.name,
            subject=subject,
            version=self.version if version is None else version,
            body=msgspec.Raw(msgspec.json.encode(body)),
        )
        self.log[event.service].append(one)
        return one

    def graph(self, event: Event, of: UserId, other: UserId, *, by: UserId | None) -> None:
        body = GraphChanged(user_id=of, other_id=other, by_id=by, version=self.version + 1)
        self.happened(event, body, subject=of)

    def asks(self, asker: UserId, asked: UserId) -> None:
        self.graph(friends.requested, asker, asked, by=asker)
        self.graph(friends.requested, asked, asker, by=asker)

    def posts(self, author: UserId, event: Event = messages.posted, **more: Any) -> MessageId:
        message_id = more.pop("message_id", None) or self.message()
        version = more.pop("version", self.version + 1)
        body = MessageChanged(message_id=message_id, author_id=author, version=version, **more)
        self.happened(event, body, subject=author)
        return message_id

    def reacts(self, who: UserId, message_id: MessageId, author: UserId, *, left: int = 1) -> None:
        body = ReactionChanged(
            message_id=message_id, author_id=author, user_id=who, version=self.version + 1, left=left
        )
        self.happened(messages.reacted if left else messages.unreacted, body, subject=who)

    def removed(self, person: UserId) -> None:
        from tidings.contracts import users

        self.happened(users.removed, UserChanged(user_id=person, version=self.version + 1), subject=person)

    # What they see.

    async def settled(self) -> None:
        """Return when everything that happened has been asked for, and handled.

        The next page begins after what has been handled: what is asked for tells, and no time has to pass.
        """
        ends = {producer: len(log) for producer, log in self.log.items()}

        async def passed() -> bool:
            return all(int(self.asked_after.get(producer) or 0) >= end for producer, end in ends.items())

        await until(passed, what="the next page of each producer to begin after what happened")

    async def list(self, person: UserId, *, raw: bool = False, **ask: Any) -> notifications.Notifications:
        if not raw:
            await self.settled()
            self.lone.calls.clear()
        asked = notifications.NotificationsAsk(**ask)
        return await self.lone.route(notifications.list_notifications, asked, person)

    async def kinds(self, person: UserId) -> list[tuple[str, int]]:
        return sorted((one.kind, one.count) for one in (await self.list(person)).notifications)

    # The neighbours.

    async def _cards(self, viewer: Viewer, ask: ByIds) -> dict[UserId, UserCard]:
        return {
            one: UserCard(id=one, handle=f"p{one.hex[-8:]}", name="P", avatar="/a")
            for one in ask.ids
            if one not in self.gone
        }

    async def _relations(self, viewer: Viewer, ask: ByIds) -> dict[UserId, Relation]:
        return {one: Relation(blocked=True) for one in ask.ids if one in self.blocked}

    async def _by_ids(self, viewer: Viewer, ask: ByMessageIds) -> dict[MessageId, Message]:
        if self.messages_down:
            raise Unavailable("down", service="messages")
        at = rfc3339(0)
        return {
            one: Message(
                id=one, author_id=UserId(one), text="said", media=[], place=None, mentions=[], tags=[],
                audience="friends", created_at=at, edited_at=None, reply_to=None, version=1,
            )
            for one in ask.ids
            if one not in self.hidden
        }  # fmt: skip

    def _occurrences(self, producer: str) -> Played:
        async def occurrences(viewer: Viewer, ask: OccurredAsk) -> OccurredPage:
            self.asked_after[producer] = ask.after
            start = int(ask.after or 0)
            page = self.log[producer][start : start + ask.limit]
            wanted = [one for one in page if one.event in ask.events]
            return OccurredPage(occurred=wanted, after=str(start + len(page)))

        return occurrences

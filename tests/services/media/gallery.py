"""What happens around media, as its tests play it: users, friends and messages, and their events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import UUID

import msgspec

from tests.harness.lone import Lone, Played
from tests.harness.pictures import picture
from tidings.contracts import media, messages, users
from tidings.contracts.friends import Relation
from tidings.contracts.media import NewPicture, OneBlob, OneMedia, Picture, UploadAsk, Variant
from tidings.contracts.messages import ByMessageIds, MediaId, Message, MessageChanged, MessageId
from tidings.contracts.messages import Media as Shown
from tidings.contracts.users import ByIds, UserCard, UserChanged, UserId
from tidings.platform.clock import now_ms, rfc3339
from tidings.platform.contract import PART, Event, NotFound, Nothing, Unavailable, Uploaded, UploadPart, Value
from tidings.platform.ids import uuid7
from tidings.platform.occurrence import Occurred, OccurredAsk, OccurredPage
from tidings.platform.request import Viewer


class Gallery:
    """The running service, and everything around it."""

    lone: Lone

    def __init__(self, blobs: Path) -> None:
        self.blobs = blobs
        self.log: dict[str, list[Occurred]] = {"users": [], "messages": []}
        self.version = 0
        self.clear()

    def clear(self) -> None:
        self.gone: set[UserId] = set()
        self.blocked: set[UserId] = set()
        self.said: dict[MessageId, Message] = {}  # and whoever asks may see it
        self.messages_down = False
        self.worn: dict[UserId, MediaId | None] = {}  # as their cards say

    @property
    def played(self) -> Mapping[str, Played]:
        return {
            "users/cards": self._cards,
            "friends/relations": self._relations,
            "messages/by_ids": self._by_ids,
            **{f"{producer}/occurrences": self._occurrences(producer) for producer in self.log},
        }

    # What people do.

    def person(self) -> UserId:
        return UserId(uuid7(now_ms()))

    async def begins(self, owner: UserId) -> Uploaded:
        return await self.lone.call(media.begin_upload, Nothing(), owner)

    async def sends(self, owner: UserId, content: bytes) -> Uploaded:
        """All parts of a file; not the end of it."""
        begun = await self.begins(owner)
        parts = [content[at : at + PART] for at in range(0, len(content), PART)]
        for number, part in enumerate(parts):
            await self.lone.call(media.add_part, UploadPart(id=begun.id, number=number, data=part), owner)
        return Uploaded(id=begun.id, parts=len(parts), size=len(content))

    async def uploads(
        self, owner: UserId, content: bytes | None = None, *, alt: str = "", key: str | None = None
    ) -> Picture:
        sent = await self.sends(owner, picture() if content is None else content)
        return await self.lone.route(media.upload, UploadAsk(body=NewPicture(alt=alt), upload=sent), owner, key=key)

    async def one(self, owner: UserId, media_id: MediaId) -> Picture:
        return await self.lone.route(media.get_media, OneMedia(media_id=media_id), owner)

    async def sees(
        self, viewer: UserId, media_id: MediaId, *, variant: Variant = "preview", message: MessageId | None = None
    ) -> bool:
        try:
            ask = OneBlob(media_id=media_id, variant=variant, message=message)
            return (await self.lone.served(media.get_blob, ask, viewer)).status == 200
        except NotFound:
            return False

    # What happens elsewhere.

    def happened(self, event: Event, body: Value, *, subject: UUID) -> None:
        self.version += 1
        self.log[event.service].append(
            Occurred(
                id=uuid7(now_ms()),
                event=event.name,
                subject=subject,
                version=self.version,
                body=msgspec.Raw(msgspec.json.encode(body)),
            )
        )

    def posts(self, author: UserId, *ids: MediaId, heard: bool = True) -> MessageId:
        """A message that shows these; unless it is `heard` of, its event is on its way."""
        message_id = MessageId(uuid7(now_ms()))
        self.said[message_id] = Message(
            id=message_id,
            author_id=author,
            text="look",
            media=[Shown(media_id=one, kind="image") for one in ids],
            place=None,
            mentions=[],
            tags=[],
            audience="friends",
            created_at=rfc3339(now_ms()),
            edited_at=None,
            reply_to=None,
            version=1,
        )
        if heard:
            self.changed(messages.posted, author, message_id, ids)
        return message_id

    def changed(self, event: Event, author: UserId, message_id: MessageId, ids: Sequence[MediaId] = ()) -> None:
        body = MessageChanged(message_id=message_id, author_id=author, version=self.version + 1, media=list(ids))
        self.happened(event, body, subject=author)

    def withdraws(self, author: UserId, message_id: MessageId) -> None:
        self.said.pop(message_id, None)
        self.changed(messages.withdrawn, author, message_id)

    def wears(self, person: UserId, media_id: MediaId | None) -> None:
        self.worn[person] = media_id
        body = UserChanged(user_id=person, version=self.version + 1, avatar=media_id)
        self.happened(users.changed, body, subject=person)

    def removed(self, person: UserId) -> None:
        self.gone.add(person)
        self.happened(users.removed, UserChanged(user_id=person, version=self.version + 1), subject=person)

    # How the neighbours answer.

    async def _cards(self, viewer: Viewer, ask: ByIds) -> dict[UserId, UserCard]:
        return {
            one: UserCard(id=one, handle="somebody", name="Somebody", avatar=self._avatar(one))
            for one in ask.ids
            if one not in self.gone
        }

    def _avatar(self, one: UserId) -> str:
        worn = self.worn.get(one)
        return f"/v1/avatars/{one}" if worn is None else f"/v1/media/{worn}/avatar-96"

    async def _relations(self, viewer: Viewer, ask: ByIds) -> dict[UserId, Relation]:
        return {one: Relation(blocked=True) for one in ask.ids if one in self.blocked}

    async def _by_ids(self, viewer: Viewer, ask: ByMessageIds) -> dict[MessageId, Message]:
        if self.messages_down:
            raise Unavailable("messages is down in this test", service="messages")
        return {one: self.said[one] for one in ask.ids if one in self.said}

    def _occurrences(self, producer: str) -> Played:
        async def answer(viewer: Viewer, ask: OccurredAsk) -> OccurredPage:
            begin = int(ask.after or "0")
            page = self.log[producer][begin : begin + ask.limit]
            wanted = [one for one in page if one.event in ask.events]
            return OccurredPage(occurred=wanted, after=str(begin + len(page)))

        return answer

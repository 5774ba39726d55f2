"""People who use messages by itself, and the friends, users and media that are played beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from tests.harness.lone import Lone
from tidings.contracts import messages as contract
from tidings.contracts.friends import Circle, Relation
from tidings.contracts.media import Attachable, OwnMedia
from tidings.contracts.messages import (
    Media,
    MediaId,
    Message,
    MessageId,
    MessagePatch,
    NewMedia,
    NewMessage,
    NewPlace,
    Shown,
)
from tidings.contracts.users import ByIds, CardAsOf, UserCard, UserId
from tidings.platform.clock import now_ms
from tidings.platform.contract import NotFound, Refusal, Served, Unavailable
from tidings.platform.ids import uuid7
from tidings.platform.request import Versions, Viewer

Answer = TypeVar("Answer")


class Neighbourhood:
    """Plays friends, users and media: friendships, blocks, who is gone, whose pictures are ready, who is down."""

    def __init__(self) -> None:
        self.friendships: set[frozenset[UUID]] = set()
        self.blocks: set[frozenset[UUID]] = set()
        self.gone: set[UUID] = set()
        self.pictures: dict[tuple[UUID, MediaId], Attachable] = {}  # that are ready, by their owner
        self.down: set[str] = set()
        self.before: Callable[[], Any] | None = None  # awaited before users answers
        self.lone: Lone
        self.store: Any  # a test's own, on the service's database: what is written past the service's actions

    def somebody(self) -> Person:
        return Person(UserId(uuid7(now_ms())), self)

    def people(self, count: int) -> list[Person]:
        return [self.somebody() for _ in range(count)]

    def befriend(self, one: Person, *others: Person) -> None:
        self.friendships |= {frozenset((one.id, other.id)) for other in others}

    def unfriend(self, one: Person, other: Person) -> None:
        self.friendships.discard(frozenset((one.id, other.id)))

    def block(self, one: Person, other: Person) -> None:
        self.blocks.add(frozenset((one.id, other.id)))

    async def relations(self, viewer: Viewer, ask: ByIds) -> dict[UserId, Relation]:
        self._check("friends")
        found: dict[UserId, Relation] = {}
        for other in ask.ids:
            pair = frozenset((viewer.known, other))
            if pair in self.blocks:
                found[other] = Relation(blocked=True)
            elif pair in self.friendships:
                found[other] = Relation(friend=True)
        return found

    async def circles(self, viewer: Viewer, ask: ByIds) -> dict[UserId, Circle]:
        self._check("friends")
        return {
            one: Circle(
                friends=[other for pair in self.friendships if one in pair for other in pair - {one}],
                muted=[],
                blocked=[other for pair in self.blocks if one in pair for other in pair - {one}],
                as_of=1,
            )
            for one in ask.ids
        }

    async def cards_as_of(self, viewer: Viewer, ask: ByIds) -> dict[UserId, CardAsOf]:
        return {one: CardAsOf(card, as_of=1) for one, card in (await self.cards(viewer, ask)).items()}

    async def cards(self, viewer: Viewer, ask: ByIds) -> dict[UserId, UserCard]:
        self._check("users")
        if self.before is not None:
            before, self.before = self.before, None
            await before()
        return {
            one: UserCard(id=one, handle=f"p{one.hex[-6:]}", name="Somebody", avatar=f"/v1/avatars/{one}")
            for one in ask.ids
            if one not in self.gone
        }

    async def hold(self, viewer: Viewer, ask: OwnMedia) -> dict[MediaId, Attachable]:
        self._check("media")
        own = ((one, (viewer.known, one)) for one in ask.ids)
        return {one: self.pictures[mine] for one, mine in own if mine in self.pictures}

    def _check(self, service: str) -> None:
        if service in self.down:
            raise Unavailable(f"{service} is down.", service=service)


@dataclass(eq=False)
class Person:
    """One member; the verbs are what they do."""

    id: UserId
    town: Neighbourhood = field(repr=False)

    def uploads(self, alt: str = "", *, blurhash: str = "LEHV6nWB2yk8") -> Media:
        """A picture that is ready, as a message that shows it says."""
        media_id = MediaId(uuid7(now_ms()))
        picture = Attachable(width=4, height=3, alt=alt, blurhash=blurhash)
        self.town.pictures[self.id, media_id] = picture
        return Media(media_id=media_id, kind="image", width=4, height=3, alt=alt, blurhash=blurhash)

    async def posts(self, text: str = "hello", *, key: str | None = None, **said: Any) -> Message:
        await asyncio.sleep(0.001)  # ids of one millisecond are in no order, unless they are of one author
        ask = contract.Post(body=NewMessage(text=text, **_written(said)))
        return await self.town.lone.route(contract.post, ask, self.id, key=key)

    async def replies(self, to: Message, text: str = "indeed", *, key: str | None = None, **said: Any) -> Message:
        ask = contract.ReplyTo(message_id=to.id, body=NewMessage(text=text, **_written(said)))
        return await self.town.lone.route(contract.reply, ask, self.id, key=key)

    async def edits(self, message: Message, *, if_match: Versions | None = None, **changes: Any) -> Message:
        ask = contract.Edit(message_id=message.id, body=MessagePatch(**_written(changes)))
        return await self.town.lone.route(contract.edit, ask, self.id, if_match=if_match)

    async def withdraws(self, message: Message, *, if_match: Versions | None = None) -> None:
        ask = contract.OneMessage(message_id=message.id)
        await self.town.lone.route(contract.withdraw, ask, self.id, if_match=if_match)

    async def reacts(self, message: Message, emoji: str = "👍") -> None:
        ask = contract.OneReaction(message_id=message.id, emoji=emoji)
        await self.town.lone.route(contract.react, ask, self.id)

    async def unreacts(self, message: Message, emoji: str = "👍") -> None:
        ask = contract.OneReaction(message_id=message.id, emoji=emoji)
        await self.town.lone.route(contract.unreact, ask, self.id)

    async def reads(self, message: Message | MessageId) -> Shown:
        ask = contract.OneMessage(message_id=_id(message))
        return await self.town.lone.route(contract.get_message, ask, self.id)

    async def finds(self, *wanted: Message | MessageId) -> list[MessageId]:
        ask = contract.FindMessages(ids=[_id(one) for one in wanted])
        return [
            one.message.id for one in (await self.town.lone.route(contract.find_messages, ask, self.id)).messages
        ]

    async def lists(self, author: Person, **asked: Any) -> contract.Messages:
        ask = contract.FindMessages(author=author.id, **asked)
        return await self.town.lone.route(contract.find_messages, ask, self.id)

    async def reads_replies(self, message: Message, **asked: Any) -> contract.Messages:
        ask = contract.RepliesAsk(message_id=message.id, **asked)
        return await self.town.lone.route(contract.list_replies, ask, self.id)

    async def reads_reactions(self, message: Message) -> list[contract.Reaction]:
        ask = contract.OneMessage(message_id=message.id)
        return (await self.town.lone.route(contract.list_reactions, ask, self.id)).reactions

    async def reads_history(self, message: Message) -> list[contract.Version]:
        ask = contract.OneMessage(message_id=message.id)
        return (await self.town.lone.route(contract.history, ask, self.id)).versions

    async def latest(
        self, friends: Iterable[Person], others: Iterable[Person] = (), **asked: Any
    ) -> contract.Latest:
        ask = contract.LatestAsk(friends=[one.id for one in friends], others=[one.id for one in others], **asked)
        return await self.town.lone.call(contract.latest_by_authors, ask, self.id)

    async def page(
        self, friends: Iterable[Person], others: Iterable[Person] = (), **asked: Any
    ) -> contract.PageByAuthors:
        ask = contract.PageByAuthorsAsk(
            friends=[one.id for one in friends], others=[one.id for one in others], **asked
        )
        return await self.town.lone.call(contract.page_by_authors, ask, self.id)

    async def served_post(self, text: str, *, key: str | None = None) -> Served:
        ask = contract.Post(body=NewMessage(text=text))
        return await self.town.lone.served(contract.post, ask, self.id, key=key)


def _id(message: Message | MessageId) -> MessageId:
    return message.id if isinstance(message, Message) else message


def _written(said: dict[str, Any]) -> dict[str, Any]:
    """People by their ids, and pictures as one names them."""
    written = dict(said)
    if "only" in said:
        written["only"] = [one.id for one in said["only"]]
    if "media" in said:
        written["media"] = [
            one if isinstance(one, NewMedia) else NewMedia(media_id=one.media_id) for one in said["media"]
        ]
    return written


def at(latitude: float, longitude: float, *, decimals: int = 5) -> NewPlace:
    return NewPlace(latitude=latitude, longitude=longitude, decimals=decimals)


async def refusal(asked: Any) -> Refusal:
    """The refusal that an awaitable ends in."""
    try:
        answer = await asked
    except Refusal as refused:
        return refused
    raise AssertionError(f"not refused, but answered {answer!r}")


async def hides(asked: Any) -> bool:
    """True for the one and only `NotFound`; a refusal in other words is a leak, so it is an error."""
    try:
        await asked
    except NotFound as refused:
        assert (refused.detail, refused.errors, refused.service) == ("There is no such message.", (), None)
        return True
    return False

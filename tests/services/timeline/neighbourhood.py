"""The three services that timeline composes, played: friends, users, and messages whose commits may come late."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import msgspec

from tests.harness.lone import Played
from tidings.contracts import friends, messages, users
from tidings.contracts.messages import MessageId
from tidings.contracts.users import UserId
from tidings.platform.contract import Unavailable
from tidings.platform.ids import ms_of, uuid7
from tidings.platform.request import Viewer


@dataclass(frozen=True)
class Said:
    """A message, and from when on a read sees it."""

    id: MessageId
    author_id: UserId
    visible_ms: int

    @property
    def raw(self) -> msgspec.Raw:
        return msgspec.Raw(msgspec.json.encode({"id": self.id}))


@dataclass
class Neighbourhood:
    """One viewer's neighbours. `now_ms` is the clock of messages; `down` names services that do not answer."""

    me: UserId = field(default_factory=lambda: UserId(uuid4()))
    friends: list[UserId] = field(default_factory=list)
    muted: list[UserId] = field(default_factory=list)
    gone: set[UserId] = field(default_factory=set)
    suspended: set[UserId] = field(default_factory=set)
    by_author: dict[UserId, list[Said]] = field(default_factory=lambda: defaultdict(list))
    asked: list[messages.LatestAsk] = field(default_factory=list)
    down: set[str] = field(default_factory=set)
    now_ms: int = 0

    def befriend(self, count: int) -> list[UserId]:
        made = [UserId(uuid4()) for _ in range(count)]
        self.friends += made
        return made

    def says(self, author: UserId, at_ms: int, *, late_ms: int = 0) -> MessageId:
        """A message whose id is minted at `at_ms` and whose commit ends `late_ms` later."""
        minted = MessageId(uuid7(at_ms))
        self.by_author[author].append(Said(minted, author, at_ms + late_ms))
        return minted

    @property
    def said(self) -> set[MessageId]:
        return {one.id for theirs in self.by_author.values() for one in theirs}

    @property
    def played(self) -> Mapping[str, Played]:
        return {
            "friends/circles": self.circles,
            "users/cards_as_of": self.cards,
            "messages/latest_by_authors": self.latest,
            "messages/page_by_authors": self.page,
        }

    async def circles(self, viewer: Viewer, ask: users.ByIds) -> dict[UserId, friends.Circle]:
        self._up("friends")
        return {one: friends.Circle(friends=self.friends, muted=self.muted) for one in ask.ids}

    async def cards(self, viewer: Viewer, ask: users.ByIds) -> dict[UserId, users.CardAsOf]:
        self._up("users")
        return {
            one: users.CardAsOf(card=None if one in self.suspended else card_of(one), as_of=1)
            for one in ask.ids
            if one not in self.gone
        }

    async def latest(self, viewer: Viewer, ask: messages.LatestAsk) -> messages.Latest:
        self._up("messages")
        self.asked.append(ask)
        authors, newer = [], 0
        for friend in ask.friends:
            theirs = [one for one in self._visible([friend]) if ms_of(one.id) >= (ask.rules.since_ms or 0)]
            settled = [one for one in theirs if ask.as_of_ms is None or ms_of(one.id) <= ask.as_of_ms]
            newer += len(settled) < len(theirs)
            if settled:
                authors.append(
                    messages.AuthorLatest(
                        author_id=friend,
                        newest_id=settled[0].id,
                        messages=[one.raw for one in settled[: ask.per_author]],
                    )
                )
        authors.sort(key=lambda one: one.newest_id, reverse=True)
        below = [one for one in authors if ask.before is None or one.newest_id < ask.before]
        return messages.Latest(
            authors=below[: ask.limit],
            more=len(below) > ask.limit,
            newer=newer,
            as_of=[messages.AuthorAsOf(author_id=one, version=1, same_for_friends=True) for one in ask.friends]
            if ask.to_keep
            else [],
        )

    async def page(self, viewer: Viewer, ask: messages.PageByAuthorsAsk) -> messages.PageByAuthors:
        self._up("messages")
        there = self._visible(ask.friends)
        if ask.after is not None:
            above = [one for one in there if one.id > ask.after and one.id not in ask.seen]
            shown = above[-ask.limit :]
        else:
            above = [one for one in there if ask.before is None or one.id < ask.before]
            shown = above[: ask.limit]
        return messages.PageByAuthors(
            items=[messages.PageItem(id=one.id, author_id=one.author_id, message=one.raw) for one in shown],
            more=len(above) > len(shown),
            read_at_ms=self.now_ms,
        )

    def _visible(self, authors: list[UserId]) -> list[Said]:
        """Newest first."""
        there = [one for author in authors for one in self.by_author[author] if one.visible_ms <= self.now_ms]
        return sorted(there, key=lambda one: one.id, reverse=True)

    def _up(self, service: str) -> None:
        if service in self.down:
            raise Unavailable("It is down.", service=service, retry_after=1)


def ids_of(raws: list[msgspec.Raw]) -> list[UUID]:
    return [UUID(msgspec.json.decode(raw)["id"]) for raw in raws]


def card_of(one: UserId) -> users.UserCard:
    return users.UserCard(id=one, handle=f"h{one.hex[:8]}", name=f"n{one.hex[:8]}", avatar=f"/v1/avatars/{one}")

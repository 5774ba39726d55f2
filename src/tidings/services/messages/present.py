"""Messages as they are shown: pure, from documents and the people beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

import msgspec
from msgspec import structs

from tidings.contracts import messages as contract
from tidings.contracts.messages import Message, MessageId
from tidings.contracts.users import UserCard, UserId
from tidings.platform.clock import rfc3339
from tidings.services.messages import rules
from tidings.services.messages.rules import Standing
from tidings.services.messages.store.port import Counts, Document, Earlier, Head, LatestRow, Page, Reacted

KEPT: Final = contract.RECENT  # how many of an author's newest stand in the `latest` row

_encode = msgspec.json.Encoder().encode
_message = msgspec.json.Decoder(Message).decode


@dataclass(frozen=True, slots=True)
class People:
    """Authors beside the viewer: their cards, and how the viewer stands to each. Who is gone has no card."""

    viewer: UserId
    cards: Mapping[UserId, UserCard]
    standings: Mapping[UserId, Standing]

    def stands(self, author: UserId) -> Standing:
        """`hidden` for people who were not asked after."""
        return self.standings.get(author, "hidden")


@dataclass(frozen=True, slots=True)
class Thread:
    """Documents with what stands above them."""

    documents: Mapping[MessageId, Document]
    people: People

    def chain(self, message_id: MessageId) -> list[Document]:
        """From the thread's first message to this one; empty when any of them is not there."""
        last = self.documents.get(message_id)
        if last is None:
            return []
        above = [self.documents[found] for found in last.ancestors if found in self.documents]
        return [*above, last] if len(above) == len(last.ancestors) else []

    def sees(self, message_id: MessageId) -> bool:
        """Whether the viewer sees it."""
        return rules.sees(self.chain(message_id), self.people.viewer, self.people.standings)


@dataclass(frozen=True, slots=True)
class Seen:
    """A message that the viewer sees, last of its thread."""

    chain: Sequence[Document]
    people: People
    counts: Mapping[MessageId, Counts] = field(default_factory=dict)

    @property
    def document(self) -> Document:
        return self.chain[-1]

    def still(self, now: Document) -> bool:
        """Whether the viewer sees it as it is now."""
        return rules.sees([*self.chain[:-1], now], self.people.viewer, self.people.standings)


def message(document: Document, *, with_place: bool) -> Message:
    """The public value."""
    return Message(
        id=document.id,
        author_id=document.author_id,
        text=document.text,
        media=document.media,
        place=document.place if with_place else None,
        mentions=document.mentions,
        tags=document.tags,
        audience=document.audience,
        created_at=rfc3339(document.created_ms),
        edited_at=None if document.edited_ms is None else rfc3339(document.edited_ms),
        reply_to=document.parent,
        version=document.version,
    )


def encoded(document: Document, *, with_place: bool) -> bytes:
    """The public JSON."""
    return _encode(message(document, with_place=with_place))


def without_place(body: bytes) -> bytes:
    """The public JSON for those who may not see the place."""
    return _encode(structs.replace(_message(body), place=None))


def latest_row(author: UserId, newest: Sequence[Document]) -> LatestRow:
    """The row of an author whose newest documents these are, at least one more than are kept if there are."""
    kept = newest[:KEPT]
    return LatestRow(
        author_id=author,
        complete=len(newest) <= KEPT,
        heads=[
            Head(
                id=document.id,
                version=document.version,
                audience=document.audience,
                only=tuple(document.only),
                has_media=bool(document.media),
                place=None if document.place is None else (document.place.latitude, document.place.longitude),
            )
            for document in kept
        ],
        bodies=[encoded(document, with_place=True) for document in kept],
    )


def seen(document: Document, people: People) -> Message:
    """The public value as the viewer sees it."""
    return message(document, with_place=rules.shows_place(people.stands(document.author_id)))


def shown(document: Document, people: People, counts: Counts | None) -> contract.Shown:
    """A message beside its author's card, the commonest reactions first."""
    counted = counts or Counts()
    return contract.Shown(
        author=people.cards[document.author_id],
        message=seen(document, people),
        reactions=_commonest(counted.reactions, counted.mine),
        replies=counted.replies,
    )


class _Spliced(msgspec.Struct, frozen=True):
    """`contract.Shown` of parts that are JSON already."""

    author: msgspec.Raw
    message: msgspec.Raw
    reactions: list[contract.ReactionCount]
    replies: int


def counted(page: Page) -> list[contract.CountedMessage]:
    """As all friends are shown them."""
    nobody = Counts()
    return [
        contract.CountedMessage(
            id=document.id,
            message=msgspec.Raw(encoded(document, with_place=True)),
            replies=(counts := page.counts.get(document.id, nobody)).replies,
            reactions=counts.reactions,
        )
        for document in page.documents
    ]


def spliced(
    newest: Sequence[contract.CountedMessage], card: UserCard, mine: Mapping[MessageId, frozenset[str]]
) -> list[contract.Shown]:
    """What `shown` makes of each, for who may see them with their places."""
    author, nothing = msgspec.Raw(_encode(card)), frozenset[str]()
    listed = [
        _Spliced(author, one.message, _commonest(one.reactions, mine.get(one.id, nothing)), one.replies)
        for one in newest
    ]
    return cast("list[contract.Shown]", listed)  # in JSON they are


def _commonest(reactions: Mapping[str, int], mine: frozenset[str]) -> list[contract.ReactionCount]:
    """The commonest first."""
    if not reactions:
        return []
    ordered = sorted(reactions.items(), key=lambda pair: (-pair[1], pair[0]))
    return [contract.ReactionCount(emoji=emoji, count=count, mine=emoji in mine) for emoji, count in ordered]


def reactions(reacted: Sequence[Reacted], people: People) -> contract.Reactions:
    """Without those who are gone or blocked."""
    return contract.Reactions(
        reactions=[
            contract.Reaction(emoji=one.emoji, user=people.cards[one.user_id], created_at=rfc3339(one.created_ms))
            for one in reacted
            if people.stands(one.user_id) != "hidden"
        ]
    )


def history(earlier: Sequence[Earlier], seen: Seen) -> contract.History:
    """Earlier versions that the viewer might see when they stood: widening an audience does not reach back."""
    return contract.History(
        versions=[
            contract.Version(version=one.version, text=one.text, media=one.media, until=rfc3339(one.until_ms))
            for one in earlier
            if seen.still(structs.replace(seen.document, audience=one.audience, only=one.only))
        ]
    )

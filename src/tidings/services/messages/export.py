"""messages' part of an export: what the person said and left, wherever it lies."""

from __future__ import annotations

from uuid import UUID

import msgspec

from tidings.contracts.messages import LOWEST, MessageId
from tidings.contracts.users import UserId
from tidings.platform.clock import rfc3339
from tidings.platform.export import ExportAsk, ExportPage, page_of, place_in
from tidings.platform.ids import first_of
from tidings.services.messages.store.port import Document, Earlier, MessageStore, Reacted


class VersionPlace(msgspec.Struct, frozen=True, array_like=True):
    """The last earlier version given."""

    message_id: MessageId
    version: int


class ReactionPlace(msgspec.Struct, frozen=True, array_like=True):
    """The last reaction given."""

    message_id: MessageId
    emoji: str


async def part(store: MessageStore, me: UserId, ask: ExportAsk) -> ExportPage:
    """A page of one of the contract's files, oldest first; reactions in the order of the messages."""
    start = MessageId(UUID(int=first_of(ask.since_ms).int - 1))  # pages begin after it
    until = MessageId(first_of(ask.until_ms))
    match ask.file:
        case "messages.json":
            said = await store.messages_of(me, after=place_in(ask, MessageId, start), until=until, limit=ask.limit)
            return page_of(said, ask, shown=_document, place=lambda one: one.id)
        case "replies.json":
            said = await store.replies_of(me, after=place_in(ask, MessageId, start), until=until, limit=ask.limit)
            return page_of(said, ask, shown=_document, place=lambda one: one.id)
        case "earlier.json":
            version = place_in(ask, VersionPlace, VersionPlace(start, 0))
            earlier = await store.earlier_of(
                me, after=(version.message_id, version.version), until=until, limit=ask.limit
            )
            return page_of(earlier, ask, shown=_earlier, place=lambda one: VersionPlace(one[0], one[1].version))
        case "reactions.json":
            reaction = place_in(ask, ReactionPlace, ReactionPlace(LOWEST, ""))
            left = await store.reactions_left(
                me,
                after=(reaction.message_id, reaction.emoji),
                between_ms=(ask.since_ms, ask.until_ms),
                limit=ask.limit,
            )
            return page_of(left, ask, shown=_reaction, place=lambda one: ReactionPlace(one[0], one[1].emoji))
        case "withdrawn.json":
            gone = await store.withdrawn_by(me, after=place_in(ask, MessageId, start), until=until, limit=ask.limit)
            return page_of(gone, ask, shown=lambda one: {"id": one}, place=lambda one: one)
    raise LookupError(f"messages has no file {ask.file!r}")


def _document(one: Document) -> dict[str, object]:
    return {
        "id": one.id,
        "text": one.text,
        "media": one.media,
        "place": one.place,
        "mentions": one.mentions,
        "tags": one.tags,
        "audience": one.audience,
        "only": one.only,
        "reply_to": one.parent,
        "created_at": rfc3339(one.created_ms),
        "edited_at": None if one.edited_ms is None else rfc3339(one.edited_ms),
        "version": one.version,
    }


def _earlier(one: tuple[MessageId, Earlier]) -> dict[str, object]:
    message_id, earlier = one
    return {
        "message_id": message_id,
        "version": earlier.version,
        "text": earlier.text,
        "media": earlier.media,
        "audience": earlier.audience,
        "only": earlier.only,
        "until": rfc3339(earlier.until_ms),
    }


def _reaction(one: tuple[MessageId, Reacted]) -> dict[str, object]:
    message_id, reacted = one
    return {"message_id": message_id, "emoji": reacted.emoji, "created_at": rfc3339(reacted.created_ms)}

"""All that people said and how it was answered, as messages has it at rest, on whichever engine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol
from uuid import UUID

import msgspec

from tests.soak.desk import Desk

REPLIES = ""  # in the place of an emoji
Tallies = dict[tuple[UUID, str], int]  # by message and emoji


class Picture(msgspec.Struct, frozen=True):
    """One that a message shows."""

    media_id: UUID


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A message or, with a `parent`, a reply."""

    id: UUID
    author_id: UUID
    parent: UUID | None
    text: str
    audience: str
    only: list[UUID]
    mentions: list[UUID]
    ancestors: list[UUID] = []
    media: list[Picture]


class Reaction(msgspec.Struct, frozen=True):
    message_id: UUID
    user_id: UUID
    emoji: str


class Talk(Protocol):
    """Each raises one of AWAY."""

    async def said(self) -> list[Said]: ...

    async def withdrawn(self) -> set[UUID]: ...

    async def reactions(self) -> list[Reaction]: ...

    async def latest(self) -> dict[UUID, list[UUID]]:
        """By author, the messages in the row of their newest."""
        ...

    async def tallies(self) -> Tallies:
        """As they are kept."""
        ...


def talk_at(desk: Desk) -> Talk:
    return MongoTalk(desk) if desk.is_on_mongodb("messages") else PostgresTalk(desk)


class PostgresTalk:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def said(self) -> list[Said]:
        return [
            _said(json.loads(document), id=identifier, author_id=author, parent=parent)
            for table, above in (("message", "null::uuid"), ("reply", "parent_id"))
            for identifier, author, parent, document in await self._fetch(
                f"select id, author_id, {above}, document::text from {table}"
            )
        ]

    async def withdrawn(self) -> set[UUID]:
        return {row["id"] for row in await self._fetch("select id from withdrawn")}

    async def reactions(self) -> list[Reaction]:
        return [Reaction(*row) for row in await self._fetch("select message_id, user_id, emoji from reaction")]

    async def latest(self) -> dict[UUID, list[UUID]]:
        rows = await self._fetch("select author_id, heads::text from latest")
        return {author: _ids(heads) for author, heads in rows}

    async def tallies(self) -> Tallies:
        rows = await self._fetch("select message_id, emoji, count from tally")
        return {(message_id, emoji): count for message_id, emoji, count in rows}

    async def _fetch(self, sql: str) -> Iterable[Any]:
        return await self._desk.fetch("messages", sql, within=30)


class MongoTalk:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def said(self) -> list[Said]:
        return [
            _said(row, id=row["_id"], author_id=row["author_id"], parent=row["parent_id"] if row["reply"] else None)
            for row in await self._find("document")
        ]

    async def withdrawn(self) -> set[UUID]:
        return {row["_id"] for row in await self._find("withdrawn")}

    async def reactions(self) -> list[Reaction]:
        return [Reaction(row["message_id"], row["user_id"], row["emoji"]) for row in await self._find("reaction")]

    async def latest(self) -> dict[UUID, list[UUID]]:
        return {row["_id"]: _ids(row["heads"]) for row in await self._find("latest")}

    async def tallies(self) -> Tallies:
        """One document a message; the names of its counters are emoji in hexadecimal digits."""
        found: Tallies = {}
        for row in await self._find("tally"):
            counters = {bytes.fromhex(name).decode(): count for name, count in row.get("emoji", {}).items()}
            counters[REPLIES] = row.get("replies", 0)
            found |= {(row["_id"], emoji): count for emoji, count in counters.items()}
        return found

    async def _find(self, collection: str) -> Iterable[Mapping[str, Any]]:
        return await self._desk.find("messages", collection, within=30)


def _said(document: Mapping[str, Any], **found: Any) -> Said:
    """`found` is what lies beside the document, by which the store finds it."""
    return msgspec.convert({**document, **found}, Said)


def _ids(heads: str) -> list[UUID]:
    return [UUID(head[0]) for head in json.loads(heads)]

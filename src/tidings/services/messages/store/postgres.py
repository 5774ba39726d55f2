"""Messages in PostgreSQL: JSON documents under the keys that a sharded store has, the bucket always first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from tidings.contracts.messages import MessageId, posted
from tidings.contracts.users import UserId
from tidings.platform.contract import Route, Value
from tidings.platform.ids import bucket_in, bucket_of
from tidings.platform.settings import Settings
from tidings.platform.storage.handle import Saying
from tidings.platform.storage.postgres import Database, Write, rows_of
from tidings.platform.telling import Telling
from tidings.platform.twophase.failpoints import Failpoints
from tidings.platform.twophase.participant import Participant
from tidings.platform.twophase.postgres_participant import PostgresParticipant
from tidings.platform.twophase.sessions import Sessions
from tidings.services.messages.store import statements as sql
from tidings.services.messages.store.port import (
    MOST_APART,
    Counts,
    Document,
    Earlier,
    Head,
    LatestRow,
    Newest,
    Page,
    Probe,
    Reacted,
    Remove,
    Sieve,
    Standing,
)

AT_ONCE: Final = 1000  # people whose contents are to be erased
REPLIES: Final = ""  # the tally that counts replies has no emoji

_document = msgspec.json.Decoder(Document).decode
_earlier = msgspec.json.Decoder(Earlier).decode
_heads = msgspec.json.Decoder(list[Head]).decode
_tally = msgspec.json.Decoder(dict[str, int]).decode


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _by_bucket(ids: Iterable[MessageId]) -> tuple[list[int], list[MessageId]]:
    distinct = list(dict.fromkeys(ids))
    return [bucket_in(identifier) for identifier in distinct], distinct


def _author_keys(authors: Iterable[UserId]) -> tuple[list[int], list[UserId]]:
    listed = list(authors)
    return [bucket_of(author) for author in listed], listed


def _by_author(rows: Iterable[asyncpg.Record]) -> dict[UserId, list[Document]]:
    found: dict[UserId, list[Document]] = defaultdict(list)
    for row in rows:
        document = _document(row[0])
        found[document.author_id].append(document)
    for documents in found.values():
        documents.sort(key=lambda document: document.id, reverse=True)
    return found


def _posting(document: Document, row: LatestRow, kept: int) -> tuple[Any, ...]:
    """What both ways to post say first."""
    bucket = bucket_in(document.id)
    return bucket, document.id, _json(document), row.complete, _json(row.heads), row.bodies, kept


def _counts(tally: dict[str, int], mine: frozenset[str] = frozenset()) -> Counts:
    """Replies are counted beside the reactions."""
    return Counts(replies=tally.pop(REPLIES, 0), reactions=tally, mine=mine)


class PostgresWrite(Write):
    """`MessageWrite`, on one connection's transaction."""

    async def raise_versions(
        self, changes: Mapping[UserId, int], last_ms: Mapping[UserId, int] | None = None
    ) -> dict[UserId, int]:
        minted = last_ms or {}
        rows = await self.connection.fetch(
            sql.RAISE_VERSIONS, list(changes), list(changes.values()), [minted.get(author, 0) for author in changes]
        )
        return {UserId(UUID(int=row[0].int)): row[1] for row in rows}

    async def locked(self, message_id: MessageId, *, shared: bool = False) -> Document | None:
        for query in (sql.SHARE_MESSAGE, sql.SHARE_REPLY) if shared else (sql.LOCK_MESSAGE, sql.LOCK_REPLY):
            found = await self.connection.fetchval(query, bucket_in(message_id), message_id)
            if found is not None:
                return _document(found)
        return None

    async def post(self, document: Document, row: LatestRow, *, kept: int) -> int:
        version: int = await self.connection.fetchval(
            sql.POST, *_posting(document, row, kept), document.author_id, document.created_ms
        )
        return version

    async def add(self, document: Document) -> None:
        bucket = bucket_in(document.id)
        if document.parent is None:
            await self.connection.execute(sql.ADD_MESSAGE, bucket, document.author_id, document.id, _json(document))
            return
        await self.connection.execute(
            sql.ADD_REPLY, bucket, document.parent, document.id, document.author_id, _json(document)
        )
        await self._count(sql.COUNT_UP, document.parent, REPLIES)

    async def add_missing(self, documents: Sequence[Document]) -> set[MessageId]:
        rows = [(bucket_in(one.id), one.author_id, one.id, _json(one)) for one in documents]
        added = await self.connection.fetch(sql.ADD_MISSING, *rows_of(rows)) if rows else []
        return {MessageId(UUID(int=row[0].int)) for row in added}

    async def replace(self, document: Document, earlier: Earlier | None) -> None:
        bucket = bucket_in(document.id)
        if document.parent is None:
            query, under = sql.REPLACE_MESSAGE, UUID(int=document.author_id.int)
        else:
            query, under = sql.REPLACE_REPLY, UUID(int=document.parent.int)
        await self.connection.execute(query, bucket, under, document.id, _json(document))
        if earlier is not None:
            await self.connection.execute(sql.ADD_HISTORY, bucket, document.id, earlier.version, _json(earlier))

    async def remove(self, document: Document) -> None:
        bucket = bucket_in(document.id)
        if document.parent is None:
            await self.connection.execute(sql.REMOVE_MESSAGE, bucket, document.author_id, document.id)
        else:
            await self.connection.execute(sql.REMOVE_REPLY, bucket, document.parent, document.id)
            await self._count(sql.COUNT_DOWN, document.parent, REPLIES)
        for query in (sql.REMOVE_HISTORY, sql.REMOVE_REACTIONS, sql.REMOVE_TALLIES):
            await self.connection.execute(query, bucket, document.id)
        await self.connection.execute(sql.ADD_WITHDRAWN, bucket, document.id, document.author_id, document.version)

    async def lock_latest(self, authors: Sequence[UserId]) -> None:
        keys = _author_keys(authors)
        await self.connection.execute(sql.MAKE_LATEST, *keys)
        await self.connection.execute(sql.LOCK_LATEST, *keys)

    async def newest_of(self, authors: Sequence[UserId], *, per_author: int) -> dict[UserId, list[Document]]:
        return _by_author(await self.connection.fetch(sql.NEWEST_OF, *_author_keys(authors), per_author))

    async def put_latest(self, rows: Sequence[LatestRow]) -> None:
        bodies: list[bytes] = []
        spans: list[tuple[int, int]] = []
        for row in rows:
            spans.append((len(bodies) + 1, len(bodies) + len(row.bodies)))
            bodies.extend(row.bodies)
        await self.connection.execute(
            sql.PUT_LATEST,
            *_author_keys(row.author_id for row in rows),
            [row.complete for row in rows],
            [_json(row.heads) for row in rows],
            bodies,
            [first for first, _ in spans],
            [last for _, last in spans],
        )

    async def reactions_by(self, user_id: UserId, message_id: MessageId) -> set[str]:
        rows = await self.connection.fetch(sql.REACTIONS_BY, bucket_in(message_id), message_id, user_id)
        return {row[0] for row in rows}

    async def add_reaction(self, message_id: MessageId, reaction: Reacted) -> None:
        await self.connection.execute(
            sql.ADD_REACTION,
            bucket_in(message_id),
            message_id,
            reaction.user_id,
            reaction.emoji,
            reaction.created_ms,
        )
        await self._count(sql.COUNT_UP, message_id, reaction.emoji)

    async def remove_reaction(self, message_id: MessageId, user_id: UserId, emoji: str) -> None:
        await self.connection.execute(sql.REMOVE_REACTION, bucket_in(message_id), message_id, user_id, emoji)
        await self._count(sql.COUNT_DOWN, message_id, emoji)
        await self.connection.execute(sql.REMOVE_EMPTY, *_by_bucket([message_id]))

    async def erase(self, author: UserId, answers: Sequence[str], limit: int) -> bool:
        """As `MessageStore.erase_some`. A tally falls only by rows that this very statement removed."""
        bucket = bucket_of(author)
        messages = await self.connection.fetch(sql.ERASE_MESSAGES, bucket, author, limit)
        replies = await self.connection.fetch(sql.ERASE_REPLIES, author, limit)
        reactions = await self.connection.fetch(sql.ERASE_REACTIONS, author, limit)
        fewer = [(row[0], row[2], REPLIES) for row in replies] + [tuple(row) for row in reactions]
        if fewer:
            await self.connection.execute(sql.COUNT_DOWN_MANY, *rows_of(fewer))
            await self.connection.execute(sql.REMOVE_EMPTY, *rows_of([(row[0], row[1]) for row in fewer]))
        gone = [(row[0], row[1]) for row in (*messages, *replies)]
        if gone:
            for statement in (sql.ERASE_HISTORY, sql.ERASE_REACTIONS_TO, sql.ERASE_TALLIES):
                await self.connection.execute(statement, *rows_of(gone))
        if limit in (len(messages), len(replies), len(reactions)):
            return True
        await self.connection.execute(sql.ERASE_LATEST, bucket, author)
        await self.connection.execute(sql.ERASE_ANSWERS, list(answers))
        await self.connection.execute(sql.MARK_ERASED, author)
        return False

    async def _count(self, query: str, message_id: MessageId, emoji: str) -> None:
        await self.connection.execute(query, bucket_in(message_id), message_id, emoji)


class PostgresStore:
    """`MessageStore`, on a database of its own."""

    def __init__(self, database: Database, sessions: Sessions) -> None:
        self._database = database
        self._sessions = sessions

    @asynccontextmanager
    async def write(self, *, timeout_ms: int | None = None) -> AsyncIterator[PostgresWrite]:
        async with self._database.write(PostgresWrite, timeout_ms=timeout_ms) as write:
            yield write

    async def post_at_once(
        self,
        document: Document,
        row: LatestRow,
        *,
        kept: int,
        body: Value,
        tells: tuple[Telling, ...],
        route: Route[Any, Any],
        answer: Any,
    ) -> bool:
        said = Saying()
        said.announce(posted, subject=document.author_id, version=0, body=body, tells=tells)
        said.answers(route, answer)
        version = await self._database.at_once(
            sql.POST_AT_ONCE,
            *_posting(document, row, kept),
            subject=document.author_id,
            minted_ms=document.created_ms,
            said=said,
        )
        return version is not None

    async def ready(self) -> None:
        await self._database.ready()

    async def recall(self) -> None:
        await self._database.recall()

    def participant(self, remove: Remove, failpoints: Failpoints) -> Participant:
        return PostgresParticipant(self._sessions, PostgresWrite, remove, failpoints)

    async def unerased(self) -> list[UserId]:
        return [row[0] for row in await self._database.fetch(sql.UNERASED, AT_ONCE)]

    async def erase_some(self, author: UserId, *, answers: Sequence[str], limit: int) -> bool:
        async with self._sessions.write(PostgresWrite) as write:
            return await write.erase(author, answers, limit)

    async def by_ids(self, ids: Iterable[MessageId]) -> dict[MessageId, Document]:
        buckets, distinct = _by_bucket(ids)
        if not distinct:
            return {}
        rows = await self._database.fetch(sql.BY_IDS, buckets, distinct)
        return {document.id: document for document in (_document(row[0]) for row in rows)}

    async def latest(self, authors: Sequence[UserId], *, bodies: int) -> dict[UserId, LatestRow]:
        rows = await self._database.fetch(sql.LATEST, *_author_keys(authors), bodies)
        return {row[0]: LatestRow(row[0], row[1], _heads(row[2]), row[3]) for row in rows}

    async def latest_as_of(self, authors: Sequence[UserId], *, bodies: int) -> dict[UserId, LatestRow]:
        rows = await self._database.fetch(sql.LATEST_AS_OF, *_author_keys(authors), bodies)
        return {
            author: LatestRow(author, True, [], [], version)
            if complete is None
            else LatestRow(author, complete, _heads(heads), found, version)
            for author, complete, heads, found, version in rows
        }

    async def newest_as_of(self, authors: Sequence[UserId]) -> list[Newest]:
        rows = await self._database.fetch(sql.NEWEST_AS_OF, *_author_keys(authors))
        return [Newest(*row) for row in rows]

    async def latest_bodies(self, heads: Mapping[UserId, Sequence[Head]]) -> dict[tuple[MessageId, int], bytes]:
        rows = await self._database.fetch(sql.LATEST_BODIES, *_author_keys(heads))
        found: dict[tuple[MessageId, int], bytes] = {}
        for author, now, bodies in rows:
            wanted = {(head.id, head.version) for head in heads[author]}
            for head, body in zip(_heads(now), bodies, strict=True):
                if (head.id, head.version) in wanted:
                    found[head.id, head.version] = body
        return found

    async def newest(
        self, viewer: UserId | None, probes: Sequence[Probe], sieve: Sieve, *, per_author: int
    ) -> dict[UserId, list[Document]]:
        return _by_author(await self._newest(sql.NEWEST, viewer, probes, sieve, per_author))

    async def newest_counted(
        self, viewer: UserId, probe: Probe, sieve: Sieve, *, limit: int
    ) -> tuple[list[Document], dict[MessageId, Counts]]:
        rows = await self._newest(sql.NEWEST_COUNTED, viewer, [probe], sieve, limit)
        found = [(_document(document), tally) for document, tally in rows]
        found.sort(key=lambda pair: pair[0].id, reverse=True)
        tallies = {document.id: _tally(tally) for document, tally in found if tally is not None}
        return [document for document, _ in found], await self._counted(tallies, viewer)

    async def pages(self, authors: Sequence[UserId], *, limit: int) -> dict[UserId, Page]:
        found: dict[UserId, Page] = {}
        rows = await self._database.fetch(sql.PAGES, *_author_keys(authors), limit, MOST_APART)
        for author, version, named, apart, document, tally in rows:
            page = found.setdefault(author, Page(version, [], None if apart > MOST_APART else named or [], {}))
            if document is not None:
                page.documents.append(one := _document(document))
                if tally is not None:
                    page.counts[one.id] = _counts(_tally(tally))
        for page in found.values():
            page.documents.sort(key=lambda document: document.id, reverse=True)
        return found

    async def mine(self, ids: Iterable[MessageId], viewer: UserId) -> dict[MessageId, frozenset[str]]:
        mine: dict[MessageId, set[str]] = defaultdict(set)
        for message_id, emoji in await self._database.fetch(sql.MINE, *_by_bucket(ids), viewer):
            mine[message_id].add(emoji)
        return {message_id: frozenset(emoji) for message_id, emoji in mine.items()}

    async def _newest(
        self, query: str, viewer: UserId | None, probes: Sequence[Probe], sieve: Sieve, limit: int
    ) -> list[asyncpg.Record]:
        spans = None
        if sieve.latitudes is not None and sieve.longitudes is not None:
            spans = [*sieve.latitudes, *sieve.longitudes[0], *sieve.longitudes[1]]
        return await self._database.fetch(
            query,
            *_author_keys(probe.author_id for probe in probes),
            [probe.standing for probe in probes],
            [probe.below for probe in probes],
            str(viewer),
            sieve.above,
            sieve.has_media,
            spans,
            sieve.tag,
            limit,
        )

    async def page_before(
        self, viewer: UserId | None, asked: Mapping[UserId, Standing], *, before: MessageId, limit: int
    ) -> list[Document]:
        rows = await self._database.fetch(
            sql.PAGE_BEFORE, *_author_keys(asked), list(asked.values()), str(viewer), before, limit
        )
        return [_document(row[0]) for row in rows]

    async def page_after(
        self,
        viewer: UserId | None,
        asked: Mapping[UserId, Standing],
        *,
        after: MessageId,
        seen: Sequence[MessageId],
        limit: int,
    ) -> list[Document]:
        rows = await self._database.fetch(
            sql.PAGE_AFTER, *_author_keys(asked), list(asked.values()), str(viewer), after, limit, list(seen)
        )
        return [_document(row[0]) for row in rows]

    async def replies(
        self, parent: MessageId, *, after: MessageId, seen: Sequence[MessageId], limit: int
    ) -> list[Document]:
        rows = await self._database.fetch(sql.REPLIES_AFTER, bucket_in(parent), parent, after, list(seen), limit)
        return [_document(row[0]) for row in rows]

    async def history(self, message_id: MessageId, *, limit: int) -> list[Earlier]:
        rows = await self._database.fetch(sql.HISTORY_OF, bucket_in(message_id), message_id, limit)
        return [_earlier(row[0]) for row in rows]

    async def counts(self, ids: Iterable[MessageId], viewer: UserId | None) -> dict[MessageId, Counts]:
        keys = _by_bucket(ids)
        if not keys[1]:
            return {}
        tallies: dict[MessageId, dict[str, int]] = defaultdict(dict)
        for message_id, emoji, count in await self._database.fetch(sql.TALLIES, *keys):
            tallies[message_id][emoji] = count
        return await self._counted(tallies, viewer)

    async def _counted(
        self, tallies: Mapping[MessageId, dict[str, int]], viewer: UserId | None
    ) -> dict[MessageId, Counts]:
        mine: Mapping[MessageId, frozenset[str]] = {}
        reacted_to = [one for one, tally in tallies.items() if tally.keys() - {REPLIES}]
        if reacted_to and viewer is not None:
            mine = await self.mine(reacted_to, viewer)
        return {
            message_id: _counts(tally, mine.get(message_id, frozenset())) for message_id, tally in tallies.items()
        }

    async def reactions(self, message_id: MessageId, *, limit: int) -> list[Reacted]:
        rows = await self._database.fetch(sql.REACTIONS_OF, bucket_in(message_id), message_id, limit)
        return [Reacted(UserId(UUID(int=row[0].int)), row[1], row[2]) for row in rows]

    async def messages_of(
        self, author: UserId, *, after: MessageId, until: MessageId, limit: int
    ) -> list[Document]:
        rows = await self._database.fetch(sql.MESSAGES_OF, bucket_of(author), author, after, until, limit)
        return [_document(row[0]) for row in rows]

    async def replies_of(self, author: UserId, *, after: MessageId, until: MessageId, limit: int) -> list[Document]:
        rows = await self._database.fetch(sql.REPLIES_OF, author, after, until, limit)
        return [_document(row[0]) for row in rows]

    async def earlier_of(
        self, author: UserId, *, after: tuple[MessageId, int], until: MessageId, limit: int
    ) -> list[tuple[MessageId, Earlier]]:
        rows = await self._database.fetch(sql.EARLIER_OF, bucket_of(author), author, *after, until, limit)
        return [(MessageId(UUID(int=row[0].int)), _earlier(row[1])) for row in rows]

    async def reactions_left(
        self, user_id: UserId, *, after: tuple[MessageId, str], between_ms: tuple[int, int], limit: int
    ) -> list[tuple[MessageId, Reacted]]:
        rows = await self._database.fetch(sql.REACTIONS_LEFT, user_id, *after, *between_ms, limit)
        return [(MessageId(UUID(int=row[0].int)), Reacted(user_id, row[1], row[2])) for row in rows]

    async def withdrawn_by(
        self, author: UserId, *, after: MessageId, until: MessageId, limit: int
    ) -> list[MessageId]:
        rows = await self._database.fetch(sql.WITHDRAWN_BY, author, after, until, limit)
        return [MessageId(UUID(int=row[0].int)) for row in rows]


@asynccontextmanager
async def open_postgres(dsn: str, settings: Settings) -> AsyncIterator[PostgresStore]:
    """The store on the service's own database."""
    async with (
        Database.serving("messages", dsn, settings) as database,
        Sessions.open("messages", dsn, settings) as sessions,
    ):
        yield PostgresStore(database, sessions)

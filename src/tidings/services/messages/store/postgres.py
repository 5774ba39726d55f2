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
from tidings.platform.storage import at_once
from tidings.platform.storage.handle import Saying
from tidings.platform.storage.postgres import Database, Write, rows_of
from tidings.platform.twophase.failpoints import Failpoints
from tidings.platform.twophase.participant import Participant
from tidings.platform.twophase.postgres_participant import PostgresParticipant
from tidings.platform.twophase.sessions import Sessions
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

BY_IDS = """
WITH asked AS (SELECT * FROM unnest($1::smallint[], $2::uuid[]) AS asked(bucket, id))
SELECT m.document FROM asked JOIN message m ON m.bucket = asked.bucket AND m.id = asked.id
UNION ALL
SELECT r.document FROM asked JOIN reply r ON r.bucket = asked.bucket AND r.id = asked.id
"""

LATEST = """
SELECT l.author_id, l.complete, l.heads, l.bodies[1:$3::int]
FROM unnest($1::smallint[], $2::uuid[]) AS asked(bucket, author_id)
JOIN latest l ON l.bucket = asked.bucket AND l.author_id = asked.author_id
"""

LATEST_AS_OF = """
SELECT asked.author_id, l.complete, l.heads, l.bodies[1:$3::int], coalesce(f.version, 0)
FROM unnest($1::smallint[], $2::uuid[]) AS asked(bucket, author_id)
LEFT JOIN latest l ON l.bucket = asked.bucket AND l.author_id = asked.author_id
LEFT JOIN subject_fence f ON f.user_id = asked.author_id
"""

NEWEST_AS_OF = """
SELECT asked.author_id, coalesce(f.version, 0), coalesce(l.newest_audience <> 'only', l.complete, true),
       l.newest_id, l.newest_body
FROM unnest($1::smallint[], $2::uuid[]) AS asked(bucket, author_id)
LEFT JOIN latest l ON l.bucket = asked.bucket AND l.author_id = asked.author_id
LEFT JOIN subject_fence f ON f.user_id = asked.author_id
"""

LATEST_BODIES = """
SELECT l.author_id, l.heads, l.bodies
FROM unnest($1::smallint[], $2::uuid[]) AS asked(bucket, author_id)
JOIN latest l ON l.bucket = asked.bucket AND l.author_id = asked.author_id
"""

_NEWEST = """
FROM unnest($1::smallint[], $2::uuid[], $3::text[], $4::uuid[]) AS asked(bucket, author_id, standing, below)
CROSS JOIN LATERAL (
    SELECT m.id, m.document FROM message m
    WHERE m.bucket = asked.bucket AND m.author_id = asked.author_id AND m.id < asked.below AND m.id > $6::uuid
      AND (asked.standing = 'own' OR m.audience = 'public'
           OR m.audience = 'friends' AND asked.standing = 'friend'
           OR m.audience = 'only' AND m.document->'only' ? $5::text)
      AND (NOT $7::boolean OR m.has_media)
      AND ($8::float8[] IS NULL OR m.latitude BETWEEN ($8::float8[])[1] AND ($8::float8[])[2]
           AND (m.longitude BETWEEN ($8::float8[])[3] AND ($8::float8[])[4]
                OR m.longitude BETWEEN ($8::float8[])[5] AND ($8::float8[])[6]))
      AND ($9::text IS NULL OR m.document->'tags' ? $9::text)
    ORDER BY m.id DESC LIMIT $10::int
) found
"""
NEWEST = f"SELECT found.document {_NEWEST}"
NEWEST_COUNTED = f"""
SELECT found.document, (
    SELECT json_object_agg(t.emoji, t.count) FROM tally t
    WHERE t.bucket = asked.bucket AND t.message_id = found.id AND t.count > 0
) {_NEWEST}
"""  # noqa: S608 - of constants

PAGES = """
SELECT asked.author_id, coalesce(f.version, 0), few.named, few.count, found.document, (
    SELECT json_object_agg(t.emoji, t.count) FROM tally t
    WHERE t.bucket = asked.bucket AND t.message_id = found.id AND t.count > 0
)
FROM unnest($1::smallint[], $2::uuid[]) AS asked(bucket, author_id)
LEFT JOIN subject_fence f ON f.user_id = asked.author_id
LEFT JOIN LATERAL (
    SELECT array_agg(DISTINCT named::uuid) AS named, count(DISTINCT apart.id) AS count
    FROM (
        SELECT m.id, m.document FROM message m
        WHERE m.bucket = asked.bucket AND m.author_id = asked.author_id AND m.audience = 'only'
          AND m.id > coalesce((
            SELECT last.id FROM message last
            WHERE last.bucket = asked.bucket AND last.author_id = asked.author_id AND last.audience <> 'only'
            ORDER BY last.id DESC OFFSET $3::int - 1 LIMIT 1
        ), '00000000-0000-0000-0000-000000000000')
        ORDER BY m.id DESC LIMIT $4::int + 1
    ) apart, jsonb_array_elements_text(apart.document->'only') AS named
) few ON true
LEFT JOIN LATERAL (
    SELECT m.id, m.document FROM message m
    WHERE m.bucket = asked.bucket AND m.author_id = asked.author_id AND m.audience <> 'only'
    ORDER BY m.id DESC LIMIT $3::int
) found ON true
"""

# Only authors whose own nearest message is among the nearest can have one on the page: probe each once, then
# read on with those few.
PAGE_BEFORE = """
WITH nearest AS (
    SELECT asked.bucket, asked.author_id, asked.standing, found.id
    FROM unnest($1::smallint[], $2::uuid[], $3::text[]) AS asked(bucket, author_id, standing)
    CROSS JOIN LATERAL (
        SELECT m.id FROM message m
        WHERE m.bucket = asked.bucket AND m.author_id = asked.author_id AND m.id < $5::uuid
          AND (asked.standing = 'own' OR m.audience = 'public'
               OR m.audience = 'friends' AND asked.standing = 'friend'
               OR m.audience = 'only' AND m.document->'only' ? $4::text)
        ORDER BY m.id DESC LIMIT 1
    ) found
    ORDER BY found.id DESC LIMIT $6::int
)
SELECT found.document FROM nearest
CROSS JOIN LATERAL (
    SELECT m.id, m.document FROM message m
    WHERE m.bucket = nearest.bucket AND m.author_id = nearest.author_id AND m.id < $5::uuid
      AND (nearest.standing = 'own' OR m.audience = 'public'
           OR m.audience = 'friends' AND nearest.standing = 'friend'
           OR m.audience = 'only' AND m.document->'only' ? $4::text)
    ORDER BY m.id DESC LIMIT $6::int
) found
ORDER BY found.id DESC LIMIT $6::int
"""

PAGE_AFTER = """
WITH nearest AS (
    SELECT asked.bucket, asked.author_id, asked.standing, found.id
    FROM unnest($1::smallint[], $2::uuid[], $3::text[]) AS asked(bucket, author_id, standing)
    CROSS JOIN LATERAL (
        SELECT m.id FROM message m
        WHERE m.bucket = asked.bucket AND m.author_id = asked.author_id AND m.id > $5::uuid
          AND m.id <> ALL($7::uuid[])
          AND (asked.standing = 'own' OR m.audience = 'public'
               OR m.audience = 'friends' AND asked.standing = 'friend'
               OR m.audience = 'only' AND m.document->'only' ? $4::text)
        ORDER BY m.id LIMIT 1
    ) found
    ORDER BY found.id LIMIT $6::int
)
SELECT found.document FROM nearest
CROSS JOIN LATERAL (
    SELECT m.id, m.document FROM message m
    WHERE m.bucket = nearest.bucket AND m.author_id = nearest.author_id AND m.id > $5::uuid
      AND m.id <> ALL($7::uuid[])
      AND (nearest.standing = 'own' OR m.audience = 'public'
           OR m.audience = 'friends' AND nearest.standing = 'friend'
           OR m.audience = 'only' AND m.document->'only' ? $4::text)
    ORDER BY m.id LIMIT $6::int
) found
ORDER BY found.id LIMIT $6::int
"""

REPLIES_AFTER = """
SELECT document FROM reply
WHERE bucket = $1 AND parent_id = $2 AND id > $3 AND id <> ALL($4::uuid[])
ORDER BY id LIMIT $5
"""

HISTORY_OF = """
SELECT document FROM history WHERE bucket = $1 AND message_id = $2 ORDER BY version DESC LIMIT $3
"""

TALLIES = """
SELECT t.message_id, t.emoji, t.count
FROM unnest($1::smallint[], $2::uuid[]) AS asked(bucket, id)
JOIN tally t ON t.bucket = asked.bucket AND t.message_id = asked.id
WHERE t.count > 0
"""

MINE = """
SELECT r.message_id, r.emoji
FROM unnest($1::smallint[], $2::uuid[]) AS asked(bucket, id)
JOIN reaction r ON r.bucket = asked.bucket AND r.message_id = asked.id AND r.user_id = $3
"""

REACTIONS_OF = """
SELECT user_id, emoji, created_ms FROM reaction
WHERE bucket = $1 AND message_id = $2 ORDER BY created_ms DESC, user_id, emoji LIMIT $3
"""

MESSAGES_OF = """
SELECT document FROM message
WHERE bucket = $1 AND author_id = $2 AND id > $3 AND id < $4 ORDER BY id LIMIT $5
"""

REPLIES_OF = "SELECT document FROM reply WHERE author_id = $1 AND id > $2 AND id < $3 ORDER BY id LIMIT $4"

EARLIER_OF = """
SELECT own.id, h.document
FROM (
    SELECT bucket, id FROM message WHERE bucket = $1 AND author_id = $2 AND id >= $3 AND id < $5
    UNION ALL
    SELECT bucket, id FROM reply WHERE author_id = $2 AND id >= $3 AND id < $5
) own
JOIN history h ON h.bucket = own.bucket AND h.message_id = own.id
WHERE (own.id, h.version) > ($3, $4) ORDER BY own.id, h.version LIMIT $6
"""

REACTIONS_LEFT = """
SELECT message_id, emoji, created_ms FROM reaction
WHERE user_id = $1 AND (message_id, emoji) > ($2, $3) AND created_ms >= $4 AND created_ms < $5
ORDER BY message_id, emoji LIMIT $6
"""

WITHDRAWN_BY = "SELECT id FROM withdrawn WHERE author_id = $1 AND id > $2 AND id < $3 ORDER BY id LIMIT $4"

RAISE_VERSIONS = """
UPDATE subject_fence f SET version = f.version + raised.changes, last_ms = greatest(f.last_ms, raised.last_ms)
FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS raised(user_id, changes, last_ms)
WHERE f.user_id = raised.user_id
RETURNING f.user_id, f.version
"""

LOCK_MESSAGE = "SELECT document FROM message WHERE bucket = $1 AND id = $2 FOR NO KEY UPDATE"
LOCK_REPLY = "SELECT document FROM reply WHERE bucket = $1 AND id = $2 FOR NO KEY UPDATE"
SHARE_MESSAGE = "SELECT document FROM message WHERE bucket = $1 AND id = $2 FOR SHARE"
SHARE_REPLY = "SELECT document FROM reply WHERE bucket = $1 AND id = $2 FOR SHARE"

ADD_MESSAGE = "INSERT INTO message (bucket, author_id, id, document) VALUES ($1, $2, $3, $4)"
_IN_FRONT = """
    ON CONFLICT (bucket, author_id) DO UPDATE SET
        complete = l.complete AND cardinality(l.bodies) < (SELECT kept FROM bound),
        heads = jsonb_path_query_array(
            excluded.heads::jsonb || l.heads::jsonb, '$[0 to $last]',
            jsonb_build_object('last', (SELECT kept - 1 FROM bound))
        )::json,
        bodies = (excluded.bodies || l.bodies)[1:(SELECT kept FROM bound)]
"""
# One round trip. The author's fence is held, so nobody else writes their latest row.
POST = f"""
WITH bound AS (
    SELECT $8::int AS kept
), added AS (
    INSERT INTO message (bucket, author_id, id, document) VALUES ($1, $2, $3, $4)
), in_front AS (
    INSERT INTO latest AS l (bucket, author_id, complete, heads, bodies)
    VALUES ($1, $2, $5, $6::json, $7::bytea[])
    {_IN_FRONT}
)
UPDATE subject_fence SET version = version + 1, last_ms = greatest(last_ms, $9) WHERE user_id = $2
RETURNING version
"""  # noqa: S608 - of constants
# The whole write, fence and outbox and all.
POST_AT_ONCE = f"""
{at_once.BEGUN}, bound AS (
    SELECT $18::int AS kept
), added AS (
    INSERT INTO message (bucket, author_id, id, document) SELECT $12, $1, $13, $14 FROM cleared
), in_front AS (
    INSERT INTO latest AS l (bucket, author_id, complete, heads, bodies)
    SELECT $12, $1, $15, $16::json, $17::bytea[] FROM cleared
    {_IN_FRONT}
)
{at_once.RAISED}
"""  # noqa: S608 - of constants
ADD_REPLY = "INSERT INTO reply (bucket, parent_id, id, author_id, document) VALUES ($1, $2, $3, $4, $5)"

ADD_MISSING = """
INSERT INTO message (bucket, author_id, id, document)
SELECT asked.bucket, asked.author_id, asked.id, asked.document
FROM unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::jsonb[]) AS asked(bucket, author_id, id, document)
WHERE NOT EXISTS (SELECT FROM withdrawn w WHERE w.bucket = asked.bucket AND w.id = asked.id)
ON CONFLICT DO NOTHING
RETURNING id
"""

REPLACE_MESSAGE = "UPDATE message SET document = $4 WHERE bucket = $1 AND author_id = $2 AND id = $3"
REPLACE_REPLY = "UPDATE reply SET document = $4 WHERE bucket = $1 AND parent_id = $2 AND id = $3"
ADD_HISTORY = "INSERT INTO history (bucket, message_id, version, document) VALUES ($1, $2, $3, $4)"

REMOVE_MESSAGE = "DELETE FROM message WHERE bucket = $1 AND author_id = $2 AND id = $3"
REMOVE_REPLY = "DELETE FROM reply WHERE bucket = $1 AND parent_id = $2 AND id = $3"
REMOVE_HISTORY = "DELETE FROM history WHERE bucket = $1 AND message_id = $2"
REMOVE_REACTIONS = "DELETE FROM reaction WHERE bucket = $1 AND message_id = $2"
REMOVE_TALLIES = "DELETE FROM tally WHERE bucket = $1 AND message_id = $2"
ADD_WITHDRAWN = "INSERT INTO withdrawn (bucket, id, author_id, version) VALUES ($1, $2, $3, $4)"

MAKE_LATEST = """
INSERT INTO latest (bucket, author_id)
SELECT * FROM unnest($1::smallint[], $2::uuid[]) ON CONFLICT (bucket, author_id) DO NOTHING
"""

LOCK_LATEST = """
SELECT FROM latest l
JOIN unnest($1::smallint[], $2::uuid[]) AS asked(bucket, author_id)
  ON l.bucket = asked.bucket AND l.author_id = asked.author_id
ORDER BY l.bucket, l.author_id FOR NO KEY UPDATE OF l
"""

NEWEST_OF = """
SELECT found.document
FROM unnest($1::smallint[], $2::uuid[]) AS asked(bucket, author_id)
CROSS JOIN LATERAL (
    SELECT m.document FROM message m
    WHERE m.bucket = asked.bucket AND m.author_id = asked.author_id ORDER BY m.id DESC LIMIT $3::int
) found
"""

# A list of lists has no column type: each author's bodies come as one array of their own, by number.
PUT_LATEST = """
UPDATE latest l SET complete = new.complete, heads = new.heads, bodies = new.bodies
FROM (
    SELECT asked.bucket, asked.author_id, asked.complete, asked.heads,
           ($5::bytea[])[asked.first:asked.last] AS bodies
    FROM unnest($1::smallint[], $2::uuid[], $3::boolean[], $4::json[], $6::int[], $7::int[])
      AS asked(bucket, author_id, complete, heads, first, last)
) new
WHERE l.bucket = new.bucket AND l.author_id = new.author_id
"""

REACTIONS_BY = "SELECT emoji FROM reaction WHERE bucket = $1 AND message_id = $2 AND user_id = $3"

ADD_REACTION = """
INSERT INTO reaction (bucket, message_id, user_id, emoji, created_ms) VALUES ($1, $2, $3, $4, $5)
"""

REMOVE_REACTION = """
DELETE FROM reaction WHERE bucket = $1 AND message_id = $2 AND user_id = $3 AND emoji = $4
"""

COUNT_UP = """
INSERT INTO tally (bucket, message_id, emoji, count) VALUES ($1, $2, $3, 1)
ON CONFLICT (bucket, message_id, emoji) DO UPDATE SET count = tally.count + 1
"""

# Never makes a row: the message may be withdrawn by now, and its tallies with it.
COUNT_DOWN = "UPDATE tally SET count = count - 1 WHERE bucket = $1 AND message_id = $2 AND emoji = $3"

# An emoji is text that somebody chose: it goes with the last who left it.
REMOVE_EMPTY = """
DELETE FROM tally t USING unnest($1::smallint[], $2::uuid[]) AS fallen(bucket, id)
WHERE t.bucket = fallen.bucket AND t.message_id = fallen.id AND t.count <= 0
"""

UNERASED = "SELECT user_id FROM subject_fence WHERE state = 'deleted' AND erased_at IS NULL LIMIT $1"

ERASE_MESSAGES = """
DELETE FROM message WHERE bucket = $1 AND author_id = $2 AND id = ANY(ARRAY(
    SELECT id FROM message WHERE bucket = $1 AND author_id = $2 ORDER BY id LIMIT $3))
RETURNING bucket, id
"""

# Of one author in all buckets: erasure alone reads so.
ERASE_REPLIES = """
DELETE FROM reply WHERE ctid = ANY(ARRAY(SELECT ctid FROM reply WHERE author_id = $1 LIMIT $2))
RETURNING bucket, id, parent_id
"""

ERASE_REACTIONS = """
DELETE FROM reaction WHERE ctid = ANY(ARRAY(SELECT ctid FROM reaction WHERE user_id = $1 LIMIT $2))
RETURNING bucket, message_id, emoji
"""

ERASE_HISTORY = """
DELETE FROM history t USING unnest($1::smallint[], $2::uuid[]) AS gone(bucket, id)
WHERE t.bucket = gone.bucket AND t.message_id = gone.id
"""

ERASE_REACTIONS_TO = """
DELETE FROM reaction t USING unnest($1::smallint[], $2::uuid[]) AS gone(bucket, id)
WHERE t.bucket = gone.bucket AND t.message_id = gone.id
"""

ERASE_TALLIES = """
DELETE FROM tally t USING unnest($1::smallint[], $2::uuid[]) AS gone(bucket, id)
WHERE t.bucket = gone.bucket AND t.message_id = gone.id
"""

COUNT_DOWN_MANY = """
UPDATE tally t SET count = t.count - gone.times
FROM (SELECT bucket, id, emoji, count(*) AS times FROM unnest($1::smallint[], $2::uuid[], $3::text[])
      AS gone(bucket, id, emoji) GROUP BY bucket, id, emoji) gone
WHERE t.bucket = gone.bucket AND t.message_id = gone.id AND t.emoji = gone.emoji
"""

ERASE_LATEST = "DELETE FROM latest WHERE bucket = $1 AND author_id = $2"
ERASE_ANSWERS = "DELETE FROM idempotency WHERE scope = ANY($1::text[])"
MARK_ERASED = "UPDATE subject_fence SET erased_at = clock_timestamp() WHERE user_id = $1 AND state = 'deleted'"

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
            RAISE_VERSIONS, list(changes), list(changes.values()), [minted.get(author, 0) for author in changes]
        )
        return {UserId(UUID(int=row[0].int)): row[1] for row in rows}

    async def locked(self, message_id: MessageId, *, shared: bool = False) -> Document | None:
        for query in (SHARE_MESSAGE, SHARE_REPLY) if shared else (LOCK_MESSAGE, LOCK_REPLY):
            found = await self.connection.fetchval(query, bucket_in(message_id), message_id)
            if found is not None:
                return _document(found)
        return None

    async def post(self, document: Document, row: LatestRow, *, kept: int) -> int:
        version: int = await self.connection.fetchval(
            POST,
            bucket_in(document.id),
            document.author_id,
            document.id,
            _json(document),
            row.complete,
            _json(row.heads),
            row.bodies,
            kept,
            document.created_ms,
        )
        return version

    async def add(self, document: Document) -> None:
        bucket = bucket_in(document.id)
        if document.parent is None:
            await self.connection.execute(ADD_MESSAGE, bucket, document.author_id, document.id, _json(document))
            return
        await self.connection.execute(
            ADD_REPLY, bucket, document.parent, document.id, document.author_id, _json(document)
        )
        await self._count(COUNT_UP, document.parent, REPLIES)

    async def add_missing(self, documents: Sequence[Document]) -> set[MessageId]:
        rows = [(bucket_in(one.id), one.author_id, one.id, _json(one)) for one in documents]
        added = await self.connection.fetch(ADD_MISSING, *rows_of(rows)) if rows else []
        return {MessageId(UUID(int=row[0].int)) for row in added}

    async def replace(self, document: Document, earlier: Earlier | None) -> None:
        bucket = bucket_in(document.id)
        if document.parent is None:
            query, under = REPLACE_MESSAGE, UUID(int=document.author_id.int)
        else:
            query, under = REPLACE_REPLY, UUID(int=document.parent.int)
        await self.connection.execute(query, bucket, under, document.id, _json(document))
        if earlier is not None:
            await self.connection.execute(ADD_HISTORY, bucket, document.id, earlier.version, _json(earlier))

    async def remove(self, document: Document) -> None:
        bucket = bucket_in(document.id)
        if document.parent is None:
            await self.connection.execute(REMOVE_MESSAGE, bucket, document.author_id, document.id)
        else:
            await self.connection.execute(REMOVE_REPLY, bucket, document.parent, document.id)
            await self._count(COUNT_DOWN, document.parent, REPLIES)
        for query in (REMOVE_HISTORY, REMOVE_REACTIONS, REMOVE_TALLIES):
            await self.connection.execute(query, bucket, document.id)
        await self.connection.execute(ADD_WITHDRAWN, bucket, document.id, document.author_id, document.version)

    async def lock_latest(self, authors: Sequence[UserId]) -> None:
        keys = _author_keys(authors)
        await self.connection.execute(MAKE_LATEST, *keys)
        await self.connection.execute(LOCK_LATEST, *keys)

    async def newest_of(self, authors: Sequence[UserId], *, per_author: int) -> dict[UserId, list[Document]]:
        return _by_author(await self.connection.fetch(NEWEST_OF, *_author_keys(authors), per_author))

    async def put_latest(self, rows: Sequence[LatestRow]) -> None:
        bodies: list[bytes] = []
        spans: list[tuple[int, int]] = []
        for row in rows:
            spans.append((len(bodies) + 1, len(bodies) + len(row.bodies)))
            bodies.extend(row.bodies)
        await self.connection.execute(
            PUT_LATEST,
            *_author_keys(row.author_id for row in rows),
            [row.complete for row in rows],
            [_json(row.heads) for row in rows],
            bodies,
            [first for first, _ in spans],
            [last for _, last in spans],
        )

    async def reactions_by(self, user_id: UserId, message_id: MessageId) -> set[str]:
        rows = await self.connection.fetch(REACTIONS_BY, bucket_in(message_id), message_id, user_id)
        return {row[0] for row in rows}

    async def add_reaction(self, message_id: MessageId, reaction: Reacted) -> None:
        await self.connection.execute(
            ADD_REACTION, bucket_in(message_id), message_id, reaction.user_id, reaction.emoji, reaction.created_ms
        )
        await self._count(COUNT_UP, message_id, reaction.emoji)

    async def remove_reaction(self, message_id: MessageId, user_id: UserId, emoji: str) -> None:
        await self.connection.execute(REMOVE_REACTION, bucket_in(message_id), message_id, user_id, emoji)
        await self._count(COUNT_DOWN, message_id, emoji)
        await self.connection.execute(REMOVE_EMPTY, *_by_bucket([message_id]))

    async def erase(self, author: UserId, answers: Sequence[str], limit: int) -> bool:
        """As `MessageStore.erase_some`. A tally falls only by rows that this very statement removed."""
        bucket = bucket_of(author)
        messages = await self.connection.fetch(ERASE_MESSAGES, bucket, author, limit)
        replies = await self.connection.fetch(ERASE_REPLIES, author, limit)
        reactions = await self.connection.fetch(ERASE_REACTIONS, author, limit)
        fewer = [(row[0], row[2], REPLIES) for row in replies] + [tuple(row) for row in reactions]
        if fewer:
            await self.connection.execute(COUNT_DOWN_MANY, *rows_of(fewer))
            await self.connection.execute(REMOVE_EMPTY, *rows_of([(row[0], row[1]) for row in fewer]))
        gone = [(row[0], row[1]) for row in (*messages, *replies)]
        if gone:
            for statement in (ERASE_HISTORY, ERASE_REACTIONS_TO, ERASE_TALLIES):
                await self.connection.execute(statement, *rows_of(gone))
        if limit in (len(messages), len(replies), len(reactions)):
            return True
        await self.connection.execute(ERASE_LATEST, bucket, author)
        await self.connection.execute(ERASE_ANSWERS, list(answers))
        await self.connection.execute(MARK_ERASED, author)
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
        self, document: Document, row: LatestRow, *, kept: int, body: Value, route: Route[Any, Any], answer: Any
    ) -> bool:
        said = Saying()
        said.announce(posted, subject=document.author_id, version=0, body=body)
        said.answers(route, answer)
        version = await self._database.at_once(
            POST_AT_ONCE,
            bucket_in(document.id),
            document.id,
            _json(document),
            row.complete,
            _json(row.heads),
            row.bodies,
            kept,
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
        return [row[0] for row in await self._database.fetch(UNERASED, AT_ONCE)]

    async def erase_some(self, author: UserId, *, answers: Sequence[str], limit: int) -> bool:
        async with self._sessions.write(PostgresWrite) as write:
            return await write.erase(author, answers, limit)

    async def by_ids(self, ids: Iterable[MessageId]) -> dict[MessageId, Document]:
        buckets, distinct = _by_bucket(ids)
        if not distinct:
            return {}
        rows = await self._database.fetch(BY_IDS, buckets, distinct)
        return {document.id: document for document in (_document(row[0]) for row in rows)}

    async def latest(self, authors: Sequence[UserId], *, bodies: int) -> dict[UserId, LatestRow]:
        rows = await self._database.fetch(LATEST, *_author_keys(authors), bodies)
        return {row[0]: LatestRow(row[0], row[1], _heads(row[2]), row[3]) for row in rows}

    async def latest_as_of(self, authors: Sequence[UserId], *, bodies: int) -> dict[UserId, LatestRow]:
        rows = await self._database.fetch(LATEST_AS_OF, *_author_keys(authors), bodies)
        return {
            author: LatestRow(author, True, [], [], version)
            if complete is None
            else LatestRow(author, complete, _heads(heads), found, version)
            for author, complete, heads, found, version in rows
        }

    async def newest_as_of(self, authors: Sequence[UserId]) -> list[Newest]:
        rows = await self._database.fetch(NEWEST_AS_OF, *_author_keys(authors))
        return [Newest(*row) for row in rows]

    async def latest_bodies(self, heads: Mapping[UserId, Sequence[Head]]) -> dict[tuple[MessageId, int], bytes]:
        rows = await self._database.fetch(LATEST_BODIES, *_author_keys(heads))
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
        return _by_author(await self._newest(NEWEST, viewer, probes, sieve, per_author))

    async def newest_counted(
        self, viewer: UserId, probe: Probe, sieve: Sieve, *, limit: int
    ) -> tuple[list[Document], dict[MessageId, Counts]]:
        rows = await self._newest(NEWEST_COUNTED, viewer, [probe], sieve, limit)
        found = [(_document(document), tally) for document, tally in rows]
        found.sort(key=lambda pair: pair[0].id, reverse=True)
        tallies = {document.id: _tally(tally) for document, tally in found if tally is not None}
        return [document for document, _ in found], await self._counted(tallies, viewer)

    async def pages(self, authors: Sequence[UserId], *, limit: int) -> dict[UserId, Page]:
        found: dict[UserId, Page] = {}
        rows = await self._database.fetch(PAGES, *_author_keys(authors), limit, MOST_APART)
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
        for message_id, emoji in await self._database.fetch(MINE, *_by_bucket(ids), viewer):
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
            PAGE_BEFORE, *_author_keys(asked), list(asked.values()), str(viewer), before, limit
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
            PAGE_AFTER, *_author_keys(asked), list(asked.values()), str(viewer), after, limit, list(seen)
        )
        return [_document(row[0]) for row in rows]

    async def replies(
        self, parent: MessageId, *, after: MessageId, seen: Sequence[MessageId], limit: int
    ) -> list[Document]:
        rows = await self._database.fetch(REPLIES_AFTER, bucket_in(parent), parent, after, list(seen), limit)
        return [_document(row[0]) for row in rows]

    async def history(self, message_id: MessageId, *, limit: int) -> list[Earlier]:
        rows = await self._database.fetch(HISTORY_OF, bucket_in(message_id), message_id, limit)
        return [_earlier(row[0]) for row in rows]

    async def counts(self, ids: Iterable[MessageId], viewer: UserId | None) -> dict[MessageId, Counts]:
        keys = _by_bucket(ids)
        if not keys[1]:
            return {}
        tallies: dict[MessageId, dict[str, int]] = defaultdict(dict)
        for message_id, emoji, count in await self._database.fetch(TALLIES, *keys):
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
        rows = await self._database.fetch(REACTIONS_OF, bucket_in(message_id), message_id, limit)
        return [Reacted(UserId(UUID(int=row[0].int)), row[1], row[2]) for row in rows]

    async def messages_of(
        self, author: UserId, *, after: MessageId, until: MessageId, limit: int
    ) -> list[Document]:
        rows = await self._database.fetch(MESSAGES_OF, bucket_of(author), author, after, until, limit)
        return [_document(row[0]) for row in rows]

    async def replies_of(self, author: UserId, *, after: MessageId, until: MessageId, limit: int) -> list[Document]:
        rows = await self._database.fetch(REPLIES_OF, author, after, until, limit)
        return [_document(row[0]) for row in rows]

    async def earlier_of(
        self, author: UserId, *, after: tuple[MessageId, int], until: MessageId, limit: int
    ) -> list[tuple[MessageId, Earlier]]:
        rows = await self._database.fetch(EARLIER_OF, bucket_of(author), author, *after, until, limit)
        return [(MessageId(UUID(int=row[0].int)), _earlier(row[1])) for row in rows]

    async def reactions_left(
        self, user_id: UserId, *, after: tuple[MessageId, str], between_ms: tuple[int, int], limit: int
    ) -> list[tuple[MessageId, Reacted]]:
        rows = await self._database.fetch(REACTIONS_LEFT, user_id, *after, *between_ms, limit)
        return [(MessageId(UUID(int=row[0].int)), Reacted(user_id, row[1], row[2])) for row in rows]

    async def withdrawn_by(
        self, author: UserId, *, after: MessageId, until: MessageId, limit: int
    ) -> list[MessageId]:
        rows = await self._database.fetch(WITHDRAWN_BY, author, after, until, limit)
        return [MessageId(UUID(int=row[0].int)) for row in rows]


@asynccontextmanager
async def open_postgres(dsn: str, settings: Settings) -> AsyncIterator[PostgresStore]:
    """The store on the service's own database."""
    async with (
        Database.serving("messages", dsn, settings) as database,
        Sessions.open("messages", dsn, settings) as sessions,
    ):
        yield PostgresStore(database, sessions)

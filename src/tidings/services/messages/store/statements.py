"""The statements of messages in PostgreSQL. The bucket always comes first, as in a sharded store."""

from __future__ import annotations

from tidings.platform.storage import at_once

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
    SELECT $7::int AS kept
), added AS (
    INSERT INTO message (bucket, author_id, id, document) VALUES ($1, $8, $2, $3)
), in_front AS (
    INSERT INTO latest AS l (bucket, author_id, complete, heads, bodies)
    VALUES ($1, $8, $4, $5::json, $6::bytea[])
    {_IN_FRONT}
)
UPDATE subject_fence SET version = version + 1, last_ms = greatest(last_ms, $9) WHERE user_id = $8
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

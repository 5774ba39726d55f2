"""What one would build instead: one process, one database, one statement that joins; and its fairer peers.

It exists to be compared with. `python -m tidings.bench.monolith` reads a `Launch` as a line of JSON.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

import asyncpg
import msgspec
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tidings.contracts.messages import Message, MessageId
from tidings.contracts.timeline import Entry, Omitted, Timeline
from tidings.contracts.users import UserCard, UserId
from tidings.platform.clock import now_ms, rfc3339
from tidings.platform.http.listener import Listener, bind_tcp
from tidings.platform.ids import uuid7
from tidings.platform.storage.pool import open_pool

Kind: TypeAlias = Literal["join", "pooled", "latest", "cached", "raw"]
Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]

TABLES: Final = """
CREATE TABLE people (id uuid PRIMARY KEY, handle text NOT NULL UNIQUE, name text NOT NULL, avatar text NOT NULL);
CREATE TABLE friendships (person uuid NOT NULL, friend uuid NOT NULL, PRIMARY KEY (person, friend));
CREATE TABLE messages (id uuid PRIMARY KEY, author uuid NOT NULL, text text NOT NULL, at_ms bigint NOT NULL);
CREATE TABLE sessions (digest bytea PRIMARY KEY, person uuid NOT NULL, expires_at timestamptz NOT NULL);
CREATE TABLE latest (author uuid PRIMARY KEY, id uuid NOT NULL, text text NOT NULL, at_ms bigint NOT NULL);
"""
INDEXES: Final = "CREATE INDEX messages_of ON messages (author, id DESC); ANALYZE;"

JOIN: Final = """
SELECT p.id, p.handle, p.name, p.avatar, m.id, m.text, m.at_ms
FROM sessions s
JOIN friendships f ON f.person = s.person
JOIN people p ON p.id = f.friend
JOIN LATERAL (SELECT id, text, at_ms FROM messages WHERE author = f.friend ORDER BY id DESC LIMIT 1) m ON true
WHERE s.digest = $1 AND s.expires_at > now()
ORDER BY m.at_ms DESC, m.id DESC LIMIT $2
"""
LATEST: Final = """
SELECT p.id, p.handle, p.name, p.avatar, m.id, m.text, m.at_ms
FROM sessions s
JOIN friendships f ON f.person = s.person
JOIN people p ON p.id = f.friend
JOIN latest m ON m.author = f.friend
WHERE s.digest = $1 AND s.expires_at > now()
ORDER BY m.at_ms DESC, m.id DESC LIMIT $2
"""
POST: Final = """
INSERT INTO messages (id, author, text, at_ms)
SELECT $2, s.person, $3, $4 FROM sessions s WHERE s.digest = $1 AND s.expires_at > now()
RETURNING author, '', '', '', id, text, at_ms
"""
POST_LATEST: Final = """
WITH said AS (
    INSERT INTO messages (id, author, text, at_ms)
    SELECT $2, s.person, $3, $4 FROM sessions s WHERE s.digest = $1 AND s.expires_at > now()
    RETURNING author, id, text, at_ms
), in_front AS (
    INSERT INTO latest AS l (author, id, text, at_ms) SELECT author, id, text, at_ms FROM said
    ON CONFLICT (author) DO UPDATE SET id = excluded.id, text = excluded.text, at_ms = excluded.at_ms
    WHERE l.id < excluded.id
)
SELECT author, '', '', '', id, text, at_ms FROM said
"""
CATCH_UP: Final = """
INSERT INTO latest AS l (author, id, text, at_ms)
SELECT DISTINCT ON (author) author, id, text, at_ms FROM messages ORDER BY author, id DESC
ON CONFLICT (author) DO UPDATE SET id = excluded.id, text = excluded.text, at_ms = excluded.at_ms
WHERE l.id < excluded.id
"""
SAID: Final = "SELECT author, '', '', '', id, text, at_ms FROM latest"
PAGE: Final = 50
PATH: Final = "/v1/timeline"
POSTS: Final = "/v1/messages"
CATCHING_UP: Final = "/catch-up"  # with what was posted to the other peers, which share the database


class Launch(msgspec.Struct, frozen=True):
    """How it is started. `pooled` is `join` with Tidings' pool; `raw` answers with `body`, whatever is asked."""

    kind: Kind
    dsn: str
    connections: int = 8
    body: bytes = b""


def timeline_of(rows: list[asyncpg.Record]) -> bytes:
    """The answer, in the shape that Tidings gives."""
    entries = [
        Entry(
            author=UserCard(id=UserId(row[0]), handle=row[1], name=row[2], avatar=row[3]),
            messages=[msgspec.Raw(msgspec.json.encode(_message(row)))],
        )
        for row in rows
    ]
    return msgspec.json.encode(Timeline(entries=entries, omitted=Omitted(), unreachable=[]))


def _message(row: asyncpg.Record) -> Message:
    return Message(
        id=MessageId(row[4]),
        author_id=UserId(row[0]),
        text=row[5],
        media=[],
        place=None,
        mentions=[],
        tags=[],
        audience="friends",
        created_at=rfc3339(row[6]),
        edited_at=None,
        reply_to=None,
        version=1,
    )


def digest_in(request: Request) -> bytes:
    return hashlib.sha256(request.headers.get("authorization", "")[7:].encode()).digest()


class Said(msgspec.Struct, forbid_unknown_fields=True):
    """What is posted."""

    text: str


def _pool(launch: Launch) -> Any:
    """The driver's, without the round trip that undoes what nobody has set. The peers have Tidings'."""
    settings, most = {"random_page_cost": "1.1", "jit": "off"}, launch.connections
    if launch.kind != "join":
        return open_pool(launch.dsn, least=most, most=most, settings=settings)
    return asyncpg.create_pool(launch.dsn, min_size=most, max_size=most, reset=_as_it_was, server_settings=settings)


async def _as_it_was(connection: Any) -> None:
    """Nothing."""


async def posted(pool: Any, request: Request, *, statement: str) -> asyncpg.Record | None:
    """One statement, as durable as the server makes it; the row, if somebody was signed in."""
    said = msgspec.json.decode(await request.body(), type=Said)
    at_ms = now_ms()
    row: asyncpg.Record | None = await pool.fetchrow(statement, digest_in(request), uuid7(at_ms), said.text, at_ms)
    return row


def created(row: asyncpg.Record | None) -> Response:
    if row is None:
        return Response(status_code=401)
    return Response(msgspec.json.encode(_message(row)), status_code=201, media_type="application/json")


def _served_by(timeline: Endpoint, post: Endpoint, catch_up: Endpoint) -> list[Route]:
    return [
        Route(PATH, timeline),
        Route(POSTS, post, methods=["POST"]),
        Route(CATCHING_UP, catch_up, methods=["POST"]),
    ]


async def joined(launch: Launch) -> list[Route]:
    """The endpoints that ask one statement, with a row of the latest message per author or without."""
    pool = await _pool(launch)
    plain = launch.kind in ("join", "pooled")

    async def timeline(request: Request) -> Response:
        rows = await pool.fetch(JOIN if plain else LATEST, digest_in(request), PAGE)
        return Response(timeline_of(rows), media_type="application/json")

    async def post(request: Request) -> Response:
        return created(await posted(pool, request, statement=POST if plain else POST_LATEST))

    async def catch_up(request: Request) -> Response:
        await pool.execute(CATCH_UP)
        return Response(status_code=204)

    return _served_by(timeline, post, catch_up)


async def cached(launch: Launch) -> list[Route]:
    """The same caches too: who is signed in, friend lists, cards and latest messages, all of them warm.

    They are right as long as this is the only process, which nobody has to tell of changes; what is posted to the
    other peers it learns between rounds. Whole responses are not kept.
    """
    pool = await _pool(launch)
    connection = await asyncpg.connect(launch.dsn)
    sessions: dict[bytes, UUID] = {
        row[0]: row[1] for row in await connection.fetch("SELECT digest, person FROM sessions")
    }
    friends: dict[UUID, list[UUID]] = {}
    for person, friend in await connection.fetch("SELECT person, friend FROM friendships"):
        friends.setdefault(person, []).append(friend)
    cards = {
        row[0]: UserCard(id=row[0], handle=row[1], name=row[2], avatar=row[3])
        for row in await connection.fetch("SELECT id, handle, name, avatar FROM people")
    }
    await connection.close()
    latest: dict[UUID, tuple[tuple[int, UUID], msgspec.Raw]] = {}

    def keep(row: asyncpg.Record) -> None:
        latest[row[0]] = ((row[6], row[4]), msgspec.Raw(msgspec.json.encode(_message(row))))

    for row in await pool.fetch(SAID):
        keep(row)

    async def timeline(request: Request) -> Response:
        spoke = [one for one in friends[sessions[digest_in(request)]] if one in latest]
        spoke.sort(key=lambda one: latest[one][0], reverse=True)
        entries = [Entry(author=cards[one], messages=[latest[one][1]]) for one in spoke[:PAGE]]
        body = msgspec.json.encode(Timeline(entries=entries, omitted=Omitted(), unreachable=[]))
        return Response(body, media_type="application/json")

    async def post(request: Request) -> Response:
        row = await posted(pool, request, statement=POST_LATEST)
        if row is not None:
            keep(row)
        return created(row)

    async def catch_up(request: Request) -> Response:
        await pool.execute(CATCH_UP)
        for row in await pool.fetch(SAID):
            keep(row)
        return Response(status_code=204)

    return _served_by(timeline, post, catch_up)


def raw(body: bytes) -> Any:
    """The least that a server in Python does: always the same bytes."""
    head = {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())],
    }
    rest = {"type": "http.response.body", "body": body}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(head)
        await send(rest)

    return app


async def serve(launch: Launch, bound: socket.socket) -> None:
    """Say where it is, and serve until standard input ends."""
    app: Any = raw(launch.body)
    if launch.kind != "raw":
        app = Starlette(routes=await (cached(launch) if launch.kind == "cached" else joined(launch)))
    listener = Listener(app, bound, idle_timeout=60, header_timeout=10)
    await listener.start()
    sys.stdout.write(f"http://127.0.0.1:{listener.port}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.buffer.read)
    await listener.stop()


def main() -> None:
    launch = msgspec.json.decode(sys.stdin.buffer.readline(), type=Launch)
    uvloop.run(serve(launch, bind_tcp("127.0.0.1", 0)))


if __name__ == "__main__":
    main()

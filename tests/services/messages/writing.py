"""Writes past the service's actions: late commits, fences held or dead, documents made by hand."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import asyncpg

from tests.services.messages.neighbourhood import Neighbourhood
from tidings.contracts.messages import MessageId
from tidings.contracts.users import UserId
from tidings.platform.request import Request, Viewer, answering
from tidings.services.messages.store.port import Document


@contextmanager
def request_of(user_id: UUID | None) -> Iterator[None]:
    """Within the block, a request is being answered, as a write needs."""
    viewer = Viewer(user_id=user_id, role="member")
    with answering(Request(viewer=viewer, caller="edge", deadline=time.monotonic() + 30)):
        yield


def a_document(message_id: MessageId, author: UserId, **said: Any) -> Document:
    fields: dict[str, Any] = {
        "text": "hello",
        "media": [],
        "place": None,
        "mentions": [],
        "tags": [],
        "audience": "friends",
        "only": [],
    }
    return Document(id=message_id, author_id=author, **{**fields, **said})


def writers(town: Neighbourhood) -> asyncpg.Pool[asyncpg.Record]:
    pool: asyncpg.Pool[asyncpg.Record] = town.store._database.writers
    return pool


async def set_fence(town: Neighbourhood, user_id: UserId, state: str, *, last_ms: int = 0) -> None:
    await writers(town).execute(
        "INSERT INTO subject_fence (user_id, state, last_ms) VALUES ($1, $2, $3)"
        " ON CONFLICT (user_id) DO UPDATE SET state = $2, last_ms = $3",
        user_id,
        state,
        last_ms,
    )


async def events_of(town: Neighbourhood, subject: UserId) -> list[tuple[str, int, str]]:
    """What was announced of a person: event, version, body."""
    rows = await writers(town).fetch(
        "SELECT event, version, body FROM outbox WHERE subject = $1 ORDER BY version", subject
    )
    return [(row[0], row[1], row[2]) for row in rows]

"""The checks at rest, on databases as people left them, and on each kind of damage."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from tests.harness.system import Whole, whole
from tests.soak.people import Citizen, Town
from tests.soak.village import Village, settled
from tests.soak.ways import Deletion
from tests.soak.witness import Witness


@pytest.fixture(scope="module")
async def system() -> AsyncIterator[Whole]:
    async with whole("near", repeat_safe_calls=False) as running:
        yield running


@pytest.fixture(scope="module")
def town(system: Whole) -> Town:
    return Town(system.client, Witness(), random.Random(1))


@pytest.fixture
async def village(system: Whole, town: Town) -> AsyncIterator[Village]:
    async with settled(system, town) as one:
        yield one


async def test_what_people_left_is_right(village: Village) -> None:
    await village.is_right()


DAMAGE: list[tuple[str, str, str, tuple[str, ...], str]] = [
    # invariant, its words, whose database, whose ids are $1 and on, what is done to it
    ("I2", "one-sided", "friends", ("ada", "ben"), "delete from friendships where user_id = $1 and friend_id = $2"),
    ("I2", "twofold", "friends", ("ada", "ben"), "insert into friend_requests values ($1, $2, 0)"),
    ("I3", "absent in the database", "messages", ("said",), "delete from message where id = $1"),
    ("I3", "0 in the database", "messages", ("said",),
     "update message set document = jsonb_set(document, '{text}', to_jsonb(replace(document->>'text', '.1', '.0')))"
     " where id = $1"),
    ("I3", "no in the database", "messages", ("said",), "delete from reaction where message_id = $1"),
    ("I3", "none in the database", "friends", ("cleo",), "delete from friend_requests where asker_id = $1"),
    ("I4", "an edge to somebody deleted", "friends", ("ada", "dora"), "insert into blocks values ($1, $2, 0)"),
    ("I4", "is open again", "messages", ("dora",), "update subject_fence set state = 'live' where user_id = $1"),
    ("I4", "standing in the database", "messages", ("said", "withdrawn"),
     "insert into message (bucket, author_id, id, document) select bucket, author_id, $2::uuid,"
     " jsonb_set(document, '{text}', '\"WITHDRAWN.0 again\"') from message where id = $1"),
    ("I6", "is there 2 times", "messages", ("said",),
     "insert into message (bucket, author_id, id, document)"
     " select bucket, author_id, gen_random_uuid(), document from message where id = $1"),
    ("I6", "nobody was told", "notifications", ("answer",), "delete from notifications where target = $1"),
    ("I6", "lost", "friends", ("dora",),
     "insert into outbox (id, event, subject, version, body)"
     " select gen_random_uuid(), event, subject, version, body from outbox"
     " where event = 'friends.unfriended' and body->>'other_id' = $1::uuid::text"),
    ("I6", "never lost", "friends", ("dora",),
     "delete from outbox where event = 'friends.unfriended' and body->>'other_id' = $1::uuid::text"),
    ("I7", "not told of", "notifications", ("said",), "update notifications set stands = false where target = $1"),
    ("I7", "told of nothing", "notifications", ("ada", "cleo"),
     "insert into notifications values ($1, 'friend_request', $2, $2, $2, 1, true, 0)"),
    ("I7", "latest of", "messages", ("ada",), "update latest set heads = '[]' where author_id = $1"),
    ("I7", "tally of", "messages", ("said",), "update tally set count = count + 1 where message_id = $1"),
    ("I10", "belongs to nothing", "media", ("cleo",), "delete from media where owner_id = $1"),
    ("I10", "which does not show it", "media", ("cleo", "answer"),
     "insert into shown_by (media_id, message_id) select id, $2 from media where owner_id = $1"),
    ("I10", "which is None", "messages", ("said",),
     "update message set document = jsonb_set(document, '{media}',"
     " '[{\"media_id\": \"00000000-0000-7000-8000-000000000000\"}]') where id = $1"),
    ("I1", "messages has None", "messages", ("dora",), "delete from twophase_branch where subject = $1"),
    ("I1", "the account is deleted", "users", ("dora",), "delete from twophase_log where subject = $1"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("invariant", "words", "service", "whom", "sql"), DAMAGE, ids=[f"{one[0]} {one[1]}" for one in DAMAGE]
)
async def test_damage_is_found(
    village: Village, invariant: str, words: str, service: str, whom: tuple[str, ...], sql: str
) -> None:
    before = await village.found()
    await village.run(service, sql.replace("WITHDRAWN", village.withdrawn), *(_id(village, name) for name in whom))
    found = await village.found() - before
    assert any(name == invariant and words in what for name, what in found), found


def _id(village: Village, name: str) -> UUID:
    value = getattr(village, name)
    if isinstance(value, Citizen):
        return UUID(value.person.id)
    return value.subject if isinstance(value, Deletion) else village.id(value)

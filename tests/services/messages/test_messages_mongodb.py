"""What the store asks of MongoDB: by an index, with the bucket that routes it, in one round trip."""

from __future__ import annotations

import inspect
import math
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from bson import decode, encode
from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandListener

from tests.harness.lone import PASSWORD
from tests.services.messages.writing import a_document, request_of
from tidings.contracts.messages import MessageId, Place
from tidings.contracts.users import UserId
from tidings.platform.engines.mongod import EmbeddedMongod
from tidings.platform.ids import bucket_of, uuid7
from tidings.platform.request import Idempotency, Request, Viewer, answering
from tidings.platform.settings import Settings
from tidings.platform.storage import mongo_schema
from tidings.platform.storage.mongo import MongoDatabase
from tidings.platform.twophase.failpoints import NoFailpoints
from tidings.services.messages import actions, present
from tidings.services.messages.store.mongo import MongoStore
from tidings.services.messages.store.mongo_schema import SCHEMA
from tidings.services.messages.store.port import (
    Earlier,
    Head,
    MessageReads,
    MessageStore,
    MessageWrite,
    Probe,
    Reacted,
    Sieve,
)

BEGIN_MS = 1_700_000_000_000
HIGHEST = MessageId(UUID(int=(1 << 128) - 1))
LOWEST = MessageId(UUID(int=0))
SENT_WITH = {
    "lsid", "txnNumber", "startTransaction", "autocommit", "readConcern", "writeConcern", "$db", "$clusterTime",
    "$readPreference", "maxTimeMS", "bypassEmptyTsReplacement",
}  # fmt: skip
EXPLAINED = {"find", "aggregate", "update", "delete", "findAndModify", "count"}
# Of one person in all buckets, in the background: by collection, the keys by which that is.
EVERYWHERE = {
    ("document", "author_id"),  # with `reply`: an author's own messages have a bucket
    ("history", "author_id"),
    ("reaction", "user_id"),
    ("withdrawn", "author_id"),
    ("fence", "unerased"),
    ("branch", "_id"),  # of deletions, a handful
    ("branch", "state"),
    ("branch", "ended_at"),
}


@dataclass
class Commands(CommandListener):
    """All that the driver sent."""

    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def started(self, event: Any) -> None:
        # A copy: the driver goes on with what it has given us.
        options: CodecOptions[Any] = CodecOptions(uuid_representation=4)
        self.sent.append((event.command_name, decode(encode(dict(event.command), codec_options=options), options)))

    def succeeded(self, event: Any) -> None: ...

    def failed(self, event: Any) -> None: ...


@dataclass
class Watched:
    """A store, and what it sends."""

    store: MongoStore
    commands: Commands
    database: Any


@pytest.fixture(scope="module")
async def watched(mongod: EmbeddedMongod) -> AsyncIterator[Watched]:
    name = "messages_watched"
    url = (await mongod.provision_all({name: PASSWORD}))[name]
    await mongo_schema.upgrade(url, "messages", SCHEMA)
    commands = Commands()
    client: AsyncMongoClient[Any] = AsyncMongoClient(
        url, uuidRepresentation="standard", tz_aware=True, event_listeners=[commands]
    )
    database = MongoDatabase("messages", url, client, Settings(transaction_timeout_ms=20_000))
    yield Watched(MongoStore(database), commands, client.get_default_database())
    await client.close()


def people(count: int) -> list[UserId]:
    return [UserId(uuid7(BEGIN_MS)) for _ in range(count)]


def mint(author: UserId, ms: int) -> MessageId:
    return MessageId(uuid7(BEGIN_MS + ms, rand_a=bucket_of(author)))


async def use_all(store: MongoStore) -> None:
    """Everything that a store can be asked, once."""
    alice, bob, carol = people(3)
    said = a_document(mint(alice, 1), alice, tags=["sea"], place=Place(1.0, 2.0))
    answer = a_document(MessageId(uuid7(BEGIN_MS + 2, rand_a=bucket_of(alice))), bob, ancestors=[said.id])
    gone = a_document(mint(alice, 3), alice)
    viewer = Viewer(user_id=alice, role="member")
    keyed = Request(viewer, "edge", 1e12, idempotency=Idempotency("post", str(alice), b"x"))
    with answering(keyed):
        await store.recall()
        async with store.write() as write:
            await write.fence([alice])
            await write.add(said)
            await write.add(gone)
            await actions._rebuild_latest(write, [alice])
            await write.raise_versions({alice: 2}, {alice: said.created_ms})
            write.answers(actions.contract.withdraw, None)
    young = a_document(mint(alice, 4), alice)
    with request_of(alice):
        async with store.write() as write:
            await write.fence([alice])
            assert await write.post(young, present.latest_row(alice, [young]), kept=2) == 3
            await write.remove(young)
            await actions._rebuild_latest(write, [alice])
            await write.raise_versions({alice: 1})
    with request_of(bob):
        async with store.write() as write:
            await write.fence([bob], [alice])
            assert await write.locked(said.id, shared=True) == said
            await write.add(answer)
            await write.replace(answer, Earlier(1, "before", [], "friends", [], BEGIN_MS))
            assert await write.reactions_by(bob, said.id) == set()
            for emoji in ("x", "y"):
                await write.add_reaction(said.id, Reacted(bob, emoji, BEGIN_MS))
            await write.remove_reaction(said.id, bob, "y")
            await write.remove(gone)
            await write.raise_versions({bob: 1})
    with request_of(None):
        async with store.write() as write:
            await write.fence([alice, bob, carol])
            await write.add_missing([a_document(mint(one, 9), one) for one in (alice, bob, carol)])
            await write.lock_latest([alice, bob, carol])
            newest = await write.newest_of([alice, bob, carol], per_author=2)
            assert [len(newest[one]) for one in (alice, bob, carol)] == [2, 1, 1]
            await actions._rebuild_latest(write, [alice, bob, carol])
            await write.raise_versions(dict.fromkeys((alice, bob, carol), 1))
    asked = {alice: "own", bob: "friend", carol: "other"}
    await store.by_ids([said.id, answer.id])
    await store.latest([alice, bob], bodies=2)
    await store.latest([alice, bob], bodies=0)
    rows = await store.latest_as_of([alice, bob, carol], bodies=1)
    told = {one.author_id: (one.told, one.id) for one in await store.newest_as_of([alice, bob, carol])}
    assert told == {author: (True, row.heads[0].id if row.heads else None) for author, row in rows.items()}
    heads: dict[UserId, list[Head]] = {author: row.heads for author, row in rows.items()}
    assert await store.latest_bodies(heads)
    sieve = Sieve(above=LOWEST, latitudes=(0, 2), longitudes=((1, 3), (1, 3)), tag="sea")
    probes = [Probe(author, stands, HIGHEST) for author, stands in asked.items()]  # type: ignore[arg-type]
    assert await store.newest(alice, probes, sieve, per_author=3) == {alice: [said]}
    listed, _ = await store.newest_counted(alice, Probe(alice, "own", HIGHEST), Sieve(above=LOWEST), limit=3)
    assert said in listed
    pages = await store.pages([alice, bob, carol], limit=2)
    assert {one: len(page.documents) for one, page in pages.items()} == {alice: 2, bob: 1, carol: 1}
    assert await store.mine([said.id], bob) == {said.id: {"x"}}
    assert await store.page_before(alice, asked, before=HIGHEST, limit=2)  # type: ignore[arg-type]
    assert await store.page_after(alice, asked, after=LOWEST, seen=[said.id], limit=2)  # type: ignore[arg-type]
    assert await store.replies(said.id, after=LOWEST, seen=[], limit=5) == [answer]
    assert await store.history(answer.id, limit=5)
    assert await store.counts([said.id], bob)
    assert await store.reactions(said.id, limit=5)
    assert await store.messages_of(alice, after=LOWEST, until=HIGHEST, limit=5)
    assert await store.replies_of(bob, after=LOWEST, until=HIGHEST, limit=5)
    assert await store.earlier_of(bob, after=(LOWEST, 0), until=HIGHEST, limit=5)
    assert await store.reactions_left(bob, after=(LOWEST, ""), between_ms=(0, 1 << 50), limit=5)
    assert await store.withdrawn_by(alice, after=LOWEST, until=HIGHEST, limit=5) == [gone.id, young.id]
    await _delete(store, bob, answers=["post"])


async def _delete(store: MongoStore, whom: UserId, answers: list[str]) -> None:
    participant = store.participant(actions.remove_author, NoFailpoints())  # type: ignore[arg-type]
    for gid, ends in (("a" * 32, participant.abort), ("b" * 32, participant.commit)):
        assert await participant.prepare(gid, whom)
        assert await participant.prepared()
        await ends(gid, whom)
    await participant.forget()
    assert whom in await store.unerased()
    while await store.erase_some(whom, answers=answers, limit=1):
        pass
    assert whom not in await store.unerased()


async def test_every_query_is_routed_and_walks_no_collection(watched: Watched) -> None:
    watched.commands.sent.clear()
    called = await _called(watched)
    promised = {
        name
        for port in (MessageReads, MessageStore, MessageWrite)
        for name in vars(port)
        if inspect.isfunction(vars(port)[name]) and not name.startswith("_")
    }
    assert promised - called == {"ready", "announce", "post_at_once"}  # they ask for no document
    seen: Counter[str] = Counter()
    sent = [one for one in watched.commands.sent if one[0] in EXPLAINED | {"insert"}]
    for name, command in sent:
        for collection, wanted in _filters(name, command):
            seen[collection] += 1
            assert _is_routed(collection, wanted), f"{name} on {collection} names no bucket: {wanted}"
        for one in _single(name, command) if name in EXPLAINED else ():
            plan = await _plan(watched, one)
            assert "COLLSCAN" not in plan, f"{name} on {one[name]} walks the collection: {one}"
            assert plan & {"IXSCAN", "IDHACK"}, (plan, one)
            for keys in await _index_keys(watched, one):
                assert keys[0] != "bucket" or keys[1] in _fields(one), f"{name} on {one[name]} walks a bucket"
    assert set(seen) >= {one.name for one in SCHEMA.collections if one.key is not None}
    assert not [name for name, _ in watched.commands.sent if name == "getMore"]


async def _called(watched: Watched) -> set[str]:
    """Use everything; the names of what was used."""
    called: set[str] = set()

    class Noting:
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            called.add(name)
            found = getattr(self._inner, name)
            return _noted_write(found) if name == "write" else found

    def _noted_write(write: Any) -> Any:
        @asynccontextmanager
        async def noted(**more: Any) -> AsyncIterator[Any]:
            async with write(**more) as inner:
                yield Noting(inner)

        return noted

    await use_all(Noting(watched.store))  # type: ignore[arg-type]
    return called


def _filters(name: str, command: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """By collection, each condition that a command has; of an insert, what is inserted."""
    collection = command[name]
    if name == "find":
        yield collection, command["filter"]
    elif name == "findAndModify":
        yield collection, command["query"]
    elif name in ("update", "delete"):
        for one in command["updates" if name == "update" else "deletes"]:
            yield collection, one["q"]
    elif name == "insert":
        for one in command["documents"]:
            yield collection, one
    elif name == "aggregate":
        yield from _in_pipeline(collection, command["pipeline"])


def _in_pipeline(collection: str, pipeline: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    assert "$match" in pipeline[0], pipeline
    yield collection, pipeline[0]["$match"]
    for stage in pipeline[1:]:
        if "$unionWith" in stage:
            yield from _in_pipeline(stage["$unionWith"]["coll"], stage["$unionWith"]["pipeline"])
        if "$lookup" in stage:
            condition = stage["$lookup"]["pipeline"][0]["$match"]["$expr"]
            assert condition == {"$eq": ["$bucket", "$$bucket"]}  # of the row that comes


def _is_routed(collection: str, wanted: dict[str, Any]) -> bool:
    if collection in {one.name for one in SCHEMA.collections if one.key is None} - {"branch"}:
        return True  # small, on one shard
    if "bucket" in wanted:
        where = wanted["bucket"]
        return isinstance(where, int) or list(where) == ["$in"]
    if "$or" in wanted and all(_is_routed(collection, branch) for branch in wanted["$or"]):
        return True
    return any((collection, key) in EVERYWHERE for key in wanted)


def _single(name: str, command: dict[str, Any]) -> list[dict[str, Any]]:
    """Each change of a batch by itself: MongoDB explains no other."""
    batch = {"update": "updates", "delete": "deletes"}.get(name)
    return [command] if batch is None else [{**command, batch: [one]} for one in command[batch]]


async def _plan(watched: Watched, command: dict[str, Any]) -> set[str]:
    """The names of all stages of the winning plans."""
    return set(_stages(await _explained(watched, command)))


async def _index_keys(watched: Watched, command: dict[str, Any]) -> list[list[str]]:
    """Of every index that the winning plans scan."""
    found = _values(await _explained(watched, command), "keyPattern")
    return [list(keys) for keys in found]


async def _explained(watched: Watched, command: dict[str, Any]) -> Any:
    asked = {name: value for name, value in command.items() if name not in SENT_WITH}
    if "aggregate" in asked:
        asked["cursor"] = {}
    options: CodecOptions[Any] = CodecOptions(uuid_representation=4)
    return await watched.database.command({"explain": asked, "verbosity": "queryPlanner"}, codec_options=options)


def _stages(explained: Any) -> Iterator[str]:
    return (value for value in _values(explained, "stage") if isinstance(value, str))


def _values(explained: Any, name: str) -> Iterator[Any]:
    """Of that name, anywhere in the winning plans."""
    if isinstance(explained, dict):
        for key, value in explained.items():
            if key == name:
                yield value
            if key not in ("rejectedPlans", "command", "serverInfo"):
                yield from _values(value, name)
    elif isinstance(explained, list):
        for value in explained:
            yield from _values(value, name)


def _fields(command: Any) -> set[str]:
    """All names in a command, however deep."""
    if isinstance(command, dict):
        return set(command).union(*(_fields(value) for value in command.values()))
    if isinstance(command, list):
        return set().union(*(_fields(value) for value in command))
    return set()


async def test_a_query_that_walks_is_found(watched: Watched) -> None:
    """Or the test above would say nothing."""
    assert "COLLSCAN" in await _plan(watched, {"find": "document", "filter": {"text": "hello"}})
    assert not _is_routed("document", {"_id": HIGHEST})
    assert not _is_routed("document", {"$or": [{"bucket": 1}, {"_id": HIGHEST}]})


async def test_the_latest_of_two_hundred_authors_are_one_round_trip(watched: Watched) -> None:
    authors = people(200)
    with request_of(None):
        async with watched.store.write(timeout_ms=20_000) as write:
            await write.fence(authors)
            await write.add_missing([a_document(mint(one, 1), one, text="x" * 500) for one in authors])
            await actions._rebuild_latest(write, authors)
            await write.raise_versions(dict.fromkeys(authors, 1))
    watched.commands.sent.clear()
    assert len(await watched.store.latest_as_of(authors, bodies=1)) == 200
    assert [name for name, _ in watched.commands.sent] == ["find"]


async def test_a_feed_of_many_is_merged_along_the_index(watched: Watched) -> None:
    """No more is read than the page: not all that everybody ever said, to be sorted then."""
    authors = people(50)
    with request_of(None):
        async with watched.store.write(timeout_ms=20_000) as write:
            await write.fence(authors)
            await write.add_missing([a_document(mint(one, ms), one) for one in authors for ms in range(20)])
            await actions._rebuild_latest(write, authors)
            await write.raise_versions(dict.fromkeys(authors, 20))
    watched.commands.sent.clear()
    page = await watched.store.page_before(None, dict.fromkeys(authors, "friend"), before=HIGHEST, limit=10)
    assert len(page) == 10
    [(_, command)] = watched.commands.sent
    asked = {name: value for name, value in command.items() if name not in SENT_WITH}
    options: CodecOptions[Any] = CodecOptions(uuid_representation=4)
    explained = await watched.database.command(
        {"explain": asked, "verbosity": "executionStats"}, codec_options=options
    )
    assert "SORT_MERGE" in set(_stages(explained))
    assert "SORT" not in set(_stages(explained))
    assert explained["executionStats"]["totalDocsExamined"] <= len(authors) + 10


def test_the_buckets_of_a_hundred_thousand_authors_are_even(capsys: pytest.CaptureFixture[str]) -> None:
    buckets = Counter(bucket_of(uuid7(BEGIN_MS + number)) for number in range(100_000))
    each = 100_000 / 4096
    squares = sum((buckets[bucket] - each) ** 2 / each for bucket in range(4096))
    spread = math.sqrt(2 * 4095)  # of chi-square with 4,095 degrees of freedom, about its mean of 4,095
    with capsys.disabled():
        off = (squares - 4095) / spread
        print(f"\nbuckets: chi-square {squares:.0f} of 4095 degrees of freedom, {off:+.1f} sigma")
    assert abs(squares - 4095) < 5 * spread

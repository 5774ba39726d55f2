"""What an administrator has MongoDB do for a service; of a router, which cannot run here, the commands alone."""

from __future__ import annotations

import secrets
from collections import defaultdict
from typing import Any

import pytest
from bson.max_key import MaxKey
from bson.min_key import MinKey
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

from tidings.platform.document_schema import Collection, DocumentSchema, Index
from tidings.platform.engines.mongod import ADMIN, EmbeddedMongod
from tidings.platform.storage.mongo_provision import BUCKETS, CHUNKS, provision, share_out
from tidings.platform.storage.mongo_schema import revision_of
from tidings.services.messages.store.mongo_schema import SCHEMA

SMALL = DocumentSchema(
    revision="0007",
    compatible_down_to="0003",
    collections=(
        Collection(name="fence"),
        Collection(
            name="document",
            key=("bucket", "author_id"),
            indexes=(Index(keys=("bucket", "author_id", "_id")),),
        ),
        Collection(name="branch", key=None),
    ),
)


class Router:
    """Records what it is told. No router runs here: this is the one fake of an engine that there is.

    It answers as a cluster would whose `shards` are there and whose `sharded` collections are shared out already.
    """

    def __init__(self, *shards: str, sharded: tuple[str, ...] = ()) -> None:
        self.shards = shards
        self.sharded = set(sharded)
        self.zones: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.told: list[tuple[str, Any]] = []
        self.tags: dict[str, set[str]] = defaultdict(set)

    async def command(self, database: str, command: dict[str, Any]) -> dict[str, Any]:
        [name, what], *_ = command.items()
        if name == "listShards":
            return {"shards": [{"_id": one, "tags": sorted(self.tags[one])} for one in reversed(self.shards)]}
        if name == "find":
            namespace = command["filter"].get("ns") or command["filter"]["_id"]
            found = self.zones[namespace] if what == "tags" else [{}] * (namespace in self.sharded)
            return {"cursor": {"firstBatch": list(found)}}
        self.told.append((name, {key: value for key, value in command.items() if key != name} | {"of": what}))
        if name == "addShardToZone":
            self.tags[what].add(command["zone"])
        if name == "removeShardFromZone":
            self.tags[what].remove(command["zone"])
        if name == "updateZoneKeyRange":
            span = {"min": command["min"], "max": command["max"]}
            if command["zone"] is None:
                self.zones[what].remove(span)
            else:
                self.zones[what].append(span)
        return {"ok": 1}


async def test_the_commands_that_a_router_is_given_in_their_order() -> None:
    router, said = Router("rs0", "rs1"), list[str]()
    await share_out(router, "messages", SMALL, said.append)
    split = [
        ("split", {"of": "messages.fence", "middle": {"bucket": bucket, "_id": MinKey()}})
        for bucket in range(64, BUCKETS, 64)
        if bucket != 2048
    ]
    assert router.told[: 6 + len(split)] == [
        ("addShardToZone", {"of": "rs0", "zone": "messages_buckets_0"}),
        ("addShardToZone", {"of": "rs1", "zone": "messages_buckets_1"}),
        ("enableSharding", {"of": "messages"}),
        (
            "updateZoneKeyRange",
            {
                "of": "messages.fence",
                "min": {"bucket": MinKey(), "_id": MinKey()},
                "max": {"bucket": 2048, "_id": MinKey()},
                "zone": "messages_buckets_0",
            },
        ),
        (
            "updateZoneKeyRange",
            {
                "of": "messages.fence",
                "min": {"bucket": 2048, "_id": MinKey()},
                "max": {"bucket": MaxKey(), "_id": MaxKey()},
                "zone": "messages_buckets_1",
            },
        ),
        ("shardCollection", {"of": "messages.fence", "key": {"bucket": 1, "_id": 1}}),
        *split,
    ]
    assert router.told[6 + len(split)][1]["of"] == "messages.document"
    assert not any("branch" in str(what["of"]) for _, what in router.told)  # it is small
    assert said[0] == "2 shards: rs0, rs1"


@pytest.mark.parametrize("shards", [1, 2, 3, 7])
async def test_each_bucket_of_every_collection_lies_in_the_same_zone(shards: int) -> None:
    router = Router(*(f"rs{number}" for number in range(shards)))
    await share_out(router, "messages", SCHEMA, lambda _: None)
    spans: dict[str, list[tuple[Any, Any, str]]] = defaultdict(list)
    cuts: dict[str, int] = defaultdict(int)
    for name, what in router.told:
        if name == "updateZoneKeyRange":
            spans[what["of"]].append((what["min"]["bucket"], what["max"]["bucket"], what["zone"]))
        elif name == "split":
            cuts[what["of"]] += 1
    routed = [one for one in SCHEMA.collections if one.key is not None]
    assert set(spans) == {f"messages.{one.name}" for one in routed}
    assert len({tuple(one[:shards]) for one in spans.values()}) == 1
    for one in spans.values():
        assert (one[0][0], one[shards - 1][1]) == (MinKey(), MaxKey())
        assert [high for _, high, _ in one[: shards - 1]] == [low for low, _, _ in one[1:shards]]
    assert min(cuts.values()) >= CHUNKS - shards


async def test_a_shard_more_is_given_its_share_and_nothing_is_cut_again() -> None:
    router = Router("rs0", "rs1")
    await share_out(router, "messages", SMALL, lambda _: None)
    router.sharded = {"messages.fence", "messages.document"}
    router.shards = ("rs0", "rs1", "rs2")
    router.told.clear()
    await share_out(router, "messages", SMALL, lambda _: None)
    assert {name for name, _ in router.told} == {"addShardToZone", "enableSharding", "updateZoneKeyRange"}
    assert [span["min"]["bucket"] for span in router.zones["messages.fence"]] == [MinKey(), 1365, 2730]


async def test_a_shard_whose_name_comes_first_moves_the_others_on() -> None:
    router = Router("rs1", "rs2")
    await share_out(router, "messages", SMALL, lambda _: None)
    router.shards = ("rs0", "rs1", "rs2")
    await share_out(router, "messages", SMALL, lambda _: None)
    assert router.tags == {f"rs{number}": {f"messages_buckets_{number}"} for number in range(3)}


async def test_a_server_alone_gets_a_user_collections_and_indexes(mongod: EmbeddedMongod) -> None:
    name, said = f"provisioned_{secrets.token_hex(4)}", list[str]()
    admin = mongod.url(user=ADMIN, password=mongod._password, database="admin")
    for password in ("first", "p@ss/word"):  # again, with another one
        url = mongod.url(user="writer", password=password, database=name)
        await provision(admin, url, "messages", SMALL, said.append)
        assert await revision_of(url, "messages") == ("0007", "0003")
    assert said[:2] == [f"user writer of {name} was made", "collections and indexes of messages are at schema 0007"]
    client: AsyncMongoClient[Any] = AsyncMongoClient(url)
    try:
        indexes = await client[name]["document"].index_information()
        assert [one["key"] for one in indexes.values()] == [
            [("_id", 1)],
            [("bucket", 1), ("author_id", 1), ("_id", 1)],
        ]
        with pytest.raises(OperationFailure, match="not authorized"):
            await client["another"]["document"].find_one()
    finally:
        await client.close()

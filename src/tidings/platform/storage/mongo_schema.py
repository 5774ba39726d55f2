"""A service's collections and indexes in MongoDB: made at the start when its schema is behind."""

from __future__ import annotations

from typing import Final

from pymongo import IndexModel
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from tidings.platform.document_schema import DocumentSchema, Index
from tidings.platform.storage.mongo import ROUTER, Row, open_client

NAMESPACE_EXISTS: Final = 48
SCHEMA: Final = "schema_info"  # its only document says which revision this is


async def revision_of(url: str, service: str) -> tuple[str, str] | None:
    """The revision of a database, and the oldest that may use it; None when it has none. Raises PyMongoError."""
    client = open_client(url, service, connections=1)
    try:
        return await revision_in(client.get_default_database())
    finally:
        await client.close()


async def revision_in(database: AsyncDatabase[Row]) -> tuple[str, str] | None:
    """`revision_of`, over a connection that is there. Raises PyMongoError."""
    row = await database[SCHEMA].find_one({"_id": "schema"})
    return None if row is None else (row["revision"], row["compatible_down_to"])


class NotSharedOut(Exception):
    """Behind a router, collections are shared out among the shards before anything is in them."""


async def upgrade(url: str, service: str, schema: DocumentSchema, *, on_router: bool = False) -> None:
    """Make what is not there; what is there stays. Two at once do no harm.

    Raises PyMongoError, and `NotSharedOut` behind a router, unless it is known that they are (`on_router`).
    """
    client = open_client(url, service, connections=4)
    try:
        database = client.get_default_database()
        if not on_router and (await database.command("hello")).get("msg") == ROUTER:
            raise NotSharedOut(service)
        # NOTE: a collection is never made by a transaction's first write, which would wait for it.
        there = set(await database.list_collection_names())
        for collection in schema.collections:
            if collection.name not in there:
                await _make(database, collection.name)
                there.add(collection.name)
            if indexes := collection.all_indexes:
                await database[collection.name].create_indexes([_model(one) for one in indexes])
        said = {"revision": schema.revision, "compatible_down_to": schema.compatible_down_to}
        await database[SCHEMA].update_one({"_id": "schema"}, {"$set": said}, upsert=True)
    finally:
        await client.close()


async def _make(database: AsyncDatabase[Row], name: str) -> None:
    try:
        await database.create_collection(name, check_exists=False)
    except OperationFailure as error:
        if error.code != NAMESPACE_EXISTS:  # another start was quicker
            raise


def _model(index: Index) -> IndexModel:
    options: Row = {"name": index.name}
    if index.unique:
        options["unique"] = True
    if index.where is not None:
        options["partialFilterExpression"] = index.where
    if index.expires is not None:
        options["expireAfterSeconds"] = int(index.expires.total_seconds())
    return IndexModel(index.directions, **options)

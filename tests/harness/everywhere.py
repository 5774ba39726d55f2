"""Looks for a text in everything that the engines keep, by asking each engine as its operator would."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import asyncpg
import nats
from nats.js.errors import NotFoundError

from tidings.platform.engine_url import is_mongo
from tidings.platform.events.bus import OPERATOR
from tidings.platform.storage.mongo import open_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nats.aio.client import Client

    from tests.harness.system import Whole

TABLES = """
select format('%I.%I', schemaname, tablename) from pg_tables
where schemaname not in ('pg_catalog', 'information_schema') order by 1
"""


@dataclass
class Traces:
    """Where each text was found: `users.accounts`, or `nats.messages` for a stream of the bus."""

    where: dict[str, set[str]] = field(default_factory=dict)

    def add(self, text: str, place: str) -> None:
        self.where.setdefault(text, set()).add(place)

    def places(self) -> set[str]:
        return set().union(*self.where.values())


@dataclass(frozen=True)
class Moment:
    """How far everything was: the number of each stream's newest message, and each database's next transaction."""

    messages: Mapping[str, int] = field(default_factory=dict)
    transactions: Mapping[str, int] = field(default_factory=dict)


async def moment(system: Whole) -> Moment:
    """Now."""
    async with operating(system) as client:
        streams = await client.jetstream().streams_info()
    messages = {info.config.name: info.state.last_seq for info in streams if info.config.name is not None}
    transactions = {}
    for service, dsn in system.system.installation.dsns.items():
        if not is_mongo(dsn):
            connection = await asyncpg.connect(dsn)
            transactions[service] = await connection.fetchval("select pg_current_xact_id()::text::bigint")
            await connection.close()
    return Moment(messages, transactions)


async def traces(system: Whole, texts: Collection[str], *, since: Moment = Moment()) -> Traces:
    """Every column of every table, every document; every message in every stream, with its headers; every blob.

    Case does not matter. Bytes are looked through as they are, wherever an engine shows them encoded. Not Valkey:
    its keys hold ids and digests, each ends by itself within minutes, and no user of it may list them.
    What was there already at the moment `since` is left out: nobody knew these texts by then.
    """
    found = Traces()
    for service, dsn in system.system.installation.dsns.items():
        if is_mongo(dsn):
            await _in_documents(service, dsn, texts, found)
        else:
            await _in_database(service, dsn, texts, found, since.transactions.get(service, 0))
    async with operating(system) as client:
        await _on_the_bus(client, texts, found, since.messages)
    _in_blobs(system, texts, found)
    return found


async def _in_documents(service: str, dsn: str, texts: Collection[str], found: Traces) -> None:
    """Every document of every collection, as Python shows it: ids and bytes can be read in that."""
    client = open_client(dsn, "tests", connections=1)
    try:
        database = client.get_default_database()
        for name in await database.list_collection_names():
            async for document in database[name].find({}):
                _look_in(repr(document), f"{service}.{name}", texts, found)
    finally:
        await client.close()


def _in_blobs(system: Whole, texts: Collection[str], found: Traces) -> None:
    """Every file that is kept as one, with its name."""
    for name in ("blobs", "media-work"):
        root = system.settings.data / name
        for path in root.rglob("*"):
            if path.is_file():
                kept = f"{path.relative_to(root)} {path.read_bytes().decode('latin-1')}"
                _look_in(kept, name, texts, found)


def _look_in(kept: str, place: str, texts: Collection[str], found: Traces) -> None:
    """As it is, and in hexadecimal: a name of a field in a document may be kept so."""
    kept = kept.lower()
    for text in texts:
        if text.lower() in kept or text.encode().hex() in kept or text.lower().encode().hex() in kept:
            found.add(text, place)


async def _in_database(service: str, dsn: str, texts: Collection[str], found: Traces, since: int) -> None:
    """A row as text shows each column; columns of bytes, and lists of them, are shown in hexadecimal."""
    connection = await asyncpg.connect(dsn)
    try:
        for (table,) in await connection.fetch(TABLES):
            rows = await connection.fetch(
                "select distinct sought.text from unnest($1::text[]) as sought(text) join lateral ("
                f" select lower(t::text) as shown from {table} t where t.xmin::text::bigint >= $2) row on"
                " position(lower(sought.text) in row.shown) > 0"
                " or position(encode(convert_to(sought.text, 'UTF8'), 'hex') in row.shown) > 0"
                " or position(encode(convert_to(lower(sought.text), 'UTF8'), 'hex') in row.shown) > 0",
                list(texts),
                since,
            )
            for (text,) in rows:
                found.add(text, f"{service}.{table.removeprefix('public.')}")
    finally:
        await connection.close()


async def _on_the_bus(client: Client, texts: Collection[str], found: Traces, after: Mapping[str, int]) -> None:
    stream = client.jetstream()
    for info in await stream.streams_info():
        state, name = info.state, info.config.name
        assert name is not None
        first = max(state.first_seq, after.get(name, 0) + 1)
        for number in range(first, state.last_seq + 1) if state.messages else ():
            try:
                message = await stream.get_msg(name, number)
            except NotFoundError:  # acknowledged by all, and gone
                continue
            kept = f"{message.subject} {message.headers} {(message.data or b'').decode(errors='replace')}"
            _look_in(kept, f"nats.{name}", texts, found)


@asynccontextmanager
async def operating(system: Whole) -> AsyncIterator[Client]:
    """A connection to the bus as the one who makes its streams."""
    address = system.system.installation._bus_address(OPERATOR)
    client = await nats.connect(
        address.url, user=address.user, password=address.password, inbox_prefix="_INBOX.scan", allow_reconnect=False
    )
    try:
        yield client
    finally:
        await client.close()

"""Looks for a text in everything that the engines keep, by asking each engine as its operator would."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import asyncpg
import nats
from nats.js.errors import NotFoundError

from tidings.platform.events.bus import OPERATOR

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


async def traces(system: Whole, texts: Collection[str]) -> Traces:
    """Every table of every service's database, every column in it; every message in every stream, with its headers.

    Case does not matter. Bytes are looked through as they are, wherever an engine shows them encoded.
    """
    found = Traces()
    for service, dsn in system.system.installation.dsns.items():
        await _in_database(service, dsn, texts, found)
    async with operating(system) as client:
        await _on_the_bus(client, texts, found)
    return found


async def _in_database(service: str, dsn: str, texts: Collection[str], found: Traces) -> None:
    """A row as text shows each column; columns of bytes, and lists of them, are shown in hexadecimal."""
    connection = await asyncpg.connect(dsn)
    try:
        for (table,) in await connection.fetch(TABLES):
            rows = await connection.fetch(
                "select distinct sought.text from unnest($1::text[]) as sought(text) join lateral ("
                f" select lower(t::text) as shown from {table} t) row on"
                " position(lower(sought.text) in row.shown) > 0"
                " or position(encode(convert_to(sought.text, 'UTF8'), 'hex') in row.shown) > 0"
                " or position(encode(convert_to(lower(sought.text), 'UTF8'), 'hex') in row.shown) > 0",
                list(texts),
            )
            for (text,) in rows:
                found.add(text, f"{service}.{table.removeprefix('public.')}")
    finally:
        await connection.close()


async def _on_the_bus(client: Client, texts: Collection[str], found: Traces) -> None:
    stream = client.jetstream()
    for info in await stream.streams_info():
        state, name = info.state, info.config.name
        assert name is not None
        for number in range(state.first_seq, state.last_seq + 1) if state.messages else ():
            try:
                message = await stream.get_msg(name, number)
            except NotFoundError:  # acknowledged by all, and gone
                continue
            kept = f"{message.subject} {message.headers} {(message.data or b'').decode(errors='replace')}".lower()
            for text in texts:
                if text.lower() in kept:
                    found.add(text, f"nats.{name}")


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

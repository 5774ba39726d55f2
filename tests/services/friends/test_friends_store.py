"""What the PostgreSQL store alone promises: every statement finds its rows by an index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from tests.services.friends.town import Town
from tidings.services.friends.store.postgres import STATEMENTS

TABLES = {"friendships", "friend_requests", "blocks", "mutes", "subject_fence"}


@pytest.mark.parametrize("running", ["rows"], indirect=True)
@pytest.mark.parametrize("statement", STATEMENTS, ids=range(len(STATEMENTS)))
async def test_every_statement_is_indexed(town: Town, statement: str) -> None:
    connection = await asyncpg.connect(town.dsn)
    try:
        async with connection.transaction():
            await crowd(connection)
            await connection.execute("set enable_seqscan = off")
            prepared = await connection.prepare(statement)
            values = [value_of(parameter.name) for parameter in prepared.get_parameters()]
            [plan] = msgspec.json.decode(await connection.fetchval(f"explain (format json) {statement}", *values))
            raise Undone
    except Undone:
        pass
    finally:
        await connection.close()
    for node in nodes(plan["Plan"]):
        if node.get("Relation Name") in TABLES and node["Node Type"] not in ("ModifyTable", "Bitmap Heap Scan"):
            assert "Index Cond" in node, node


class Undone(Exception):
    """What was written is to be forgotten."""


async def crowd(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Many rows of nobody's in each table: an index of three rows is as soon walked as searched."""
    made = {"uuid": "gen_random_uuid()", "bigint": "0"}
    for table in sorted(TABLES):
        columns = await connection.fetch(
            "select column_name, data_type from information_schema.columns"
            " where table_name = $1 and column_default is null and is_nullable = 'NO'",
            table,
        )
        names, values = (", ".join(one) for one in zip(*((c[0], made[c[1]]) for c in columns), strict=True))
        await connection.execute(f"insert into {table} ({names}) select {values} from generate_series(1, 3000)")
        await connection.execute(f"analyze {table}")


def value_of(kind: str) -> Any:
    one: Any = uuid4() if kind.startswith("uuid") else 1
    return [one] if kind.endswith("[]") else one


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)

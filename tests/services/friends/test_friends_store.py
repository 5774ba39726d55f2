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
        await connection.execute("set enable_seqscan = off")
        prepared = await connection.prepare(statement)
        values = [value_of(parameter.name) for parameter in prepared.get_parameters()]
        [plan] = msgspec.json.decode(await connection.fetchval(f"explain (format json) {statement}", *values))
    finally:
        await connection.close()
    for node in nodes(plan["Plan"]):
        if node.get("Relation Name") in TABLES and node["Node Type"] not in ("ModifyTable", "Bitmap Heap Scan"):
            assert "Index Cond" in node, node


def value_of(kind: str) -> Any:
    one: Any = uuid4() if kind.startswith("uuid") else 1
    return [one] if kind.endswith("[]") else one


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)

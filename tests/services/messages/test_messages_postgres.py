"""The SQL itself: every statement carries the bucket, and none walks a table."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import asyncpg
import pytest

from tests.services.messages.neighbourhood import Neighbourhood, at
from tests.services.messages.test_messages_by_authors import imported, imports
from tests.services.messages.writing import writers
from tidings.contracts.users import UserId
from tidings.platform.clock import now_ms
from tidings.platform.ids import uuid7
from tidings.services.messages.store import postgres, statements

SQL = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM)\b")
TEXTS = {name: value for name, value in vars(statements).items() if name.isupper() and isinstance(value, str)}
STATEMENTS = {name: value for name, value in TEXTS.items() if SQL.search(value) and not name.startswith("_")}
TABLES = re.compile(
    r"\b(?:FROM|JOIN|INTO|UPDATE)\s+(message|reply|latest|withdrawn|history|reaction|tally)\b(?! \()"
)
# Replies and reactions lie with what they answer: only an export walks all buckets, by an index on the person.
OF_ONE_PERSON_EVERYWHERE = {"REPLIES_OF", "REACTIONS_LEFT", "WITHDRAWN_BY"}


def test_all_sql_stands_in_named_statements() -> None:
    """So that the two tests below see all of it."""
    written = [
        node.value
        for module in (statements, postgres)
        for node in ast.walk(ast.parse(Path(inspect.getfile(module)).read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.search(node.value)
    ]
    alone = [one for one in written if one not in STATEMENTS.values()]  # parts of some, in f-strings
    assert all(any(one in statement for statement in STATEMENTS.values()) for one in alone)
    assert len(alone) <= 8
    assert len(written) - len(alone) >= len(STATEMENTS) - 4  # those f-strings
    assert len(STATEMENTS) > 20


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_every_statement_carries_the_bucket(name: str) -> None:
    sql = STATEMENTS[name]
    if re.findall(r"\b(?:FROM|INTO|UPDATE)\s+(\w+)", sql)[0] in {"subject_fence", "idempotency"}:
        return  # the platform's: one row a person, and one a request
    if name in OF_ONE_PERSON_EVERYWHERE:
        return
    assert "bucket" in sql
    aliases = re.findall(
        r"\b(?:FROM|JOIN|UPDATE)\s+(?:message|reply|latest|withdrawn|history|reaction|tally) (\w)\b", sql
    )
    for alias in aliases:  # each time that a table is read, not only the first
        assert len(re.findall(rf"\b{alias}\.bucket = ", sql)) == aliases.count(alias), f"{name}: {alias}"


@pytest.mark.parametrize("mongod_or_none", ["postgres"], indirect=True)
async def test_no_statement_walks_a_table(town: Neighbourhood) -> None:
    await _seed(town)
    async with writers(town).acquire() as connection:
        await connection.execute("ANALYZE message; ANALYZE reply; ANALYZE latest; ANALYZE history;")
        await connection.execute("ANALYZE reaction; ANALYZE tally; ANALYZE withdrawn;")
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        plans = {name: await _plan(connection, name, sql) for name, sql in STATEMENTS.items()}
        await connection.execute("RESET plan_cache_mode")
    walks = {name: plan for name, plan in plans.items() if re.search(r"Seq Scan on (?!subject_fence)", plan)}
    assert walks == {}
    # Authors and threads are read along their keys, never by walking all of a bucket.
    once, twice = ("NEWEST", "NEWEST_COUNTED", "NEWEST_OF"), ("PAGE_BEFORE", "PAGE_AFTER")
    for name, count in {**dict.fromkeys(once, 1), **dict.fromkeys(twice, 2)}.items():
        along = re.findall(
            r"using message_pkey on message.*\n +Index Cond: .*author_id = \w+\.author_id", plans[name]
        )
        assert len(along) == count, plans[name]
    assert re.search(r"using reply_pkey on reply.*\n +Index Cond: .*parent_id = ", plans["REPLIES_AFTER"])
    assert "Sort" not in plans["REPLIES_AFTER"]
    assert re.search(r"message_by_id.*reply_by_id", plans["BY_IDS"], re.DOTALL)


async def _plan(connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record], name: str, sql: str) -> str:
    parameters = max((int(number) for number in re.findall(r"\$(\d+)", sql)), default=0)
    await connection.execute(f"PREPARE probe_{name} AS {sql}")
    try:
        rows = await connection.fetch(f"EXPLAIN EXECUTE probe_{name}({', '.join(['NULL'] * parameters)})")
    finally:
        await connection.execute(f"DEALLOCATE probe_{name}")
    return "\n".join(row[0] for row in rows)


async def _seed(town: Neighbourhood) -> None:
    authors = [UserId(uuid7(number)) for number in range(1000)]
    past = now_ms() - 100_000_000
    batch = [imported(author, past + number) for number, author in enumerate(authors * 5)]
    await imports(town, batch)
    alice = town.somebody()
    said = await alice.posts(place=at(1, 1))
    for number in range(30):
        await alice.replies(said, str(number))
    await alice.edits(said, text="x")
    await alice.reacts(said)
    async with writers(town).acquire() as connection:  # so many that walking a table would be dear
        await connection.execute("SET transaction_timeout = 0")  # no person waits for it
        for copy in (
            "INSERT INTO reply SELECT bucket, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), document"
            " FROM (SELECT * FROM reply LIMIT 30) r, generate_series(1, 200)",
            "INSERT INTO history SELECT n % 4096, gen_random_uuid(), version, document"
            " FROM (SELECT * FROM history LIMIT 1) h, generate_series(1, 5000) n",
            "INSERT INTO reaction SELECT n % 4096, gen_random_uuid(), gen_random_uuid(), emoji, n"
            " FROM (SELECT * FROM reaction LIMIT 1) r, generate_series(1, 5000) n",
            "INSERT INTO tally SELECT n % 4096, gen_random_uuid(), 'e', 1 FROM generate_series(1, 5000) n",
            "INSERT INTO withdrawn SELECT n % 4096, gen_random_uuid(), gen_random_uuid(), 1"
            " FROM generate_series(1, 5000) n",
        ):
            await connection.execute(copy)

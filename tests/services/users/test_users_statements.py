"""Every statement that users sends finds its rows by an index."""

from __future__ import annotations

import asyncio
import re

from tests.services.users.people import NOTHING, PASSWORD, Town, town_on
from tidings.contracts import users
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.export import ExportAsk
from tidings.platform.ids import uuid7

DRIVERS = ("pg_", "set_config", "typeinfo")  # its own look-ups, and the lock that is no row


async def a_life(town: Town) -> None:
    """Every kind of statement once."""
    link = (await town.lone.call(users.set_up_state, NOTHING)).link
    assert link is not None
    first = users.FirstAdministrator(link=link.secret, handle="root", name="Root", password=PASSWORD)
    await town.lone.route(users.set_up, users.SetUp(body=first))
    invite = (await town.lone.call(users.invite, NOTHING)).secret
    anna = await town.joins("anna", invite=invite)
    await anna.signs_in()
    await anna.signs_in()
    await anna.does(users.list_sessions)
    await anna.does(users.change_password, body=users.PasswordChange(current=PASSWORD, new="another " + PASSWORD))
    await town.opens(await town.link(users.sign_in_link, anna))
    anna.session = await town.opens(await town.link(users.sign_in_link, anna))
    await town.whois(anna.session.token)
    await anna.does(users.sign_out, session_id=anna.session.session_id)
    await anna.does(users.patch_user, user_id=anna.id, body=users.ProfilePatch(name="Anna B"))
    await anna.does(users.get_preferences)
    await anna.does(users.replace_preferences, body=users.Preferences())
    await anna.finds("anna")
    await town.cards(anna.id)
    await town.lone.call(users.by_handles, users.ByHandles(handles=["anna"]), anna.viewer)
    await town.lone.call(users.greeting, NOTHING, anna.viewer)
    made = await anna.invites()
    await anna.does(users.list_invites)
    await anna.does(users.withdraw_invite, invite_id=made.id)
    for file in users.export.files:
        await town.lone.call(users.export, ExportAsk(file=file), anna.id)
    await town.lone.call(users.accounts, users.AccountsAsk())
    demo = users.ImportedPerson(id=users.UserId(uuid7(1)), handle="demo", name="D", bio="", created_ms=1)
    await town.lone.call(users.import_people, users.ImportPeople(people=[demo]))
    for suspended in (True, False):
        await town.lone.call(users.suspend, users.Suspend(handle="anna", suspended=suspended))
    await town.makes_administrator(anna)
    await anna.leaves()


async def test_every_statement_is_indexed(postgres: EmbeddedPostgres) -> None:
    """The service's own prepared statements, planned without knowledge of the values.

    Its connections know which they are, so it runs in this process.
    """
    async with town_on(postgres, "users_statements", "wire", signup="invite") as town:
        await a_life(town)
        store = town.lone.holder.store
        pools = (store._database.readers, store._database.writers, store.log._sessions._pool)
        statements: set[str] = set()
        for pool in pools:
            for connection in await asyncio.gather(*(pool.acquire() for _ in range(pool.get_size()))):
                rows = await connection.fetch("select statement from pg_prepared_statements where not from_sql")
                statements |= {row[0] for row in rows if not any(mark in row[0] for mark in DRIVERS)}
                await pool.release(connection)
        assert len(statements) > 40
        await town.database.execute("set enable_seqscan = off; set plan_cache_mode = force_generic_plan")
        for number, statement in enumerate(sorted(statements)):
            await town.database.execute(f"prepare s{number} as {statement}")
            count = max(map(int, re.findall(r"\$(\d+)", statement)), default=0)
            values = f"({', '.join(['null'] * count)})" if count else ""
            plan = "\n".join(row[0] for row in await town.database.fetch(f"explain execute s{number}{values}"))
            assert "Seq Scan" not in plan, (statement, plan)

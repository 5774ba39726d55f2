"""Deleting an account: all or nothing for everybody who looks, whoever else writes at the same time."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from tests.harness.people import PASSWORD, Person
from tests.harness.system import Whole
from tests.twophase.oracle import Databases, erased, healed, judge, snapshot

REFUSED = {409, 503}


@pytest.fixture
async def databases(tidings: Whole) -> AsyncIterator[Databases]:
    opened = await Databases.open(tidings.system.installation.dsns)
    yield opened
    await opened.close()


async def neighbours(tidings: Whole) -> tuple[Person, Person, Person]:
    """Alice, who is about to leave, with a friend and somebody who follows neither."""
    alice, bob, carol = [await tidings.joins(name) for name in ("Alice", "Bob", "Carol")]
    await alice.befriends(bob)
    await alice.posts("alice was here", audience="public")
    return alice, bob, carol


async def test_a_deleted_person_is_gone_for_everybody_at_once(tidings: Whole, databases: Databases) -> None:
    alice, bob, carol = await neighbours(tidings)
    (await carol.put(f"/v1/friends/{alice.id}")).ok()
    await carol.put(f"/v1/mutes/{alice.id}")
    await alice.put(f"/v1/mutes/{bob.id}")
    before = await snapshot(databases, UUID(alice.id))

    await alice.leaves()
    assert (await alice.get("/v1/users/me")).status == 401
    assert (await bob.get(f"/v1/users/{alice.id}")).status == 404
    assert (await bob.get("/v1/friends")).body["people"] == []
    assert (await bob.timeline())["entries"] == []
    assert (await carol.get("/v1/messages", params={"author": alice.id})).body["messages"] == []
    for refused in (
        await bob.put(f"/v1/friends/{alice.id}"),
        await bob.put(f"/v1/blocks/{alice.id}"),
        await bob.delete(f"/v1/friends/{alice.id}"),
    ):
        assert refused.status == 404
    sign_in = {"handle": alice.handle, "password": PASSWORD}
    assert (await tidings.client.ask("POST", "/v1/sessions", json=sign_in)).status == 401
    assert await judge(databases, UUID(alice.id), before=before, acknowledged=True) == "deleted"


async def test_the_contents_of_a_deleted_person_are_erased(tidings: Whole, databases: Databases) -> None:
    alice, bob, _ = await neighbours(tidings)
    canary = f"canary{UUID(alice.id).hex}"
    hers = await alice.posts(f"{canary} one")
    await alice.patch(f"/v1/messages/{hers['id']}", {"text": f"{canary} two"})
    (await alice.post("/v1/messages", {"text": f"{canary} keyed"}, headers={"idempotency-key": canary})).ok()
    his = await bob.posts("bob's own")
    (await alice.post(f"/v1/messages/{his['id']}/replies", {"text": f"{canary} reply"})).ok()
    (await alice.put(f"/v1/messages/{his['id']}/reactions/🎉")).ok()
    under_hers = (await bob.post(f"/v1/messages/{hers['id']}/replies", {"text": "bob under alice"})).ok()
    (await bob.put(f"/v1/messages/{hers['id']}/reactions/👍")).ok()

    await alice.leaves()
    await erased(databases, UUID(alice.id))

    for service, connection in databases.by_service.items():
        tables = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
        for (table,) in tables:
            rows = await connection.fetch(f"select t::text from {table} t")
            hexed = canary.encode().hex()  # byte columns are shown so
            assert [row for row in rows if canary in row[0] or hexed in row[0]] == [], (service, table)
    shown = (await bob.get(f"/v1/messages/{his['id']}")).ok()
    assert (shown["replies"], shown["reactions"]) == (0, [])
    # As below a withdrawn message: what hangs there is not shown, and stays its author's.
    assert (await bob.get(f"/v1/messages/{under_hers['id']}")).status == 404
    kept = await databases.value("messages", "select count(*) from reply where id = $1::uuid", under_hers["id"])
    assert kept == 1


async def test_a_sign_up_that_was_keyed_is_forgotten(tidings: Whole, databases: Databases) -> None:
    mark = f"Canary {time.time_ns()}"
    body = {"handle": f"keyed_{time.time_ns()}", "name": mark, "password": PASSWORD}
    made = await tidings.client.ask(
        "POST", "/v1/users", json=body, headers={"idempotency-key": mark.replace(" ", "")}
    )
    signed = await tidings.client.ask("POST", "/v1/sessions", json={"handle": body["handle"], "password": PASSWORD})
    person = Person(tidings.client, body["handle"], mark, made.body["id"], signed.ok()["token"])
    keyed = "select count(*) from idempotency where position(convert_to($1, 'UTF8') in reply) > 0"
    assert await databases.value("users", keyed, mark) == 1
    await person.leaves()
    assert await databases.value("users", keyed, mark) == 0


async def test_while_a_deletion_is_undecided_writers_are_refused_and_readers_read(
    tidings: Whole, databases: Databases
) -> None:
    alice, bob, carol = await neighbours(tidings)
    post = await alice.posts("react to this", audience="public")
    before = await snapshot(databases, UUID(alice.id))
    async with tidings.points.holds("after messages/prepare_removal", viewer=alice.id) as held:
        leaving = asyncio.create_task(alice.delete("/v1/users/me"))
        await held.reached()
        sign_in = {"handle": alice.handle, "password": PASSWORD}
        writes = [
            carol.put(f"/v1/friends/{alice.id}"),
            bob.delete(f"/v1/friends/{alice.id}"),
            bob.put(f"/v1/blocks/{alice.id}"),
            alice.post("/v1/messages", {"text": "one more"}),
            bob.post(f"/v1/messages/{post['id']}/replies", {"text": "a reply"}),
            bob.put(f"/v1/messages/{post['id']}/reactions/👍"),
            alice.patch("/v1/users/me", {"bio": "changed"}),
            alice.put("/v1/users/me/preferences", {"language": "de"}),
            tidings.client.ask("POST", "/v1/sessions", json=sign_in),
            alice.post("/v1/invites"),
        ]
        for answer in await asyncio.gather(*writes):
            assert answer.status in REFUSED, (answer.status, answer.raw)
            assert answer.headers["retry-after"]
        assert (await bob.get(f"/v1/users/{alice.id}")).status == 200
        assert len((await bob.timeline())["entries"]) == 1
        held.go()
    answer = await leaving
    assert answer.status in (204, 202, 503)
    ended = await judge(databases, UUID(alice.id), before=before, acknowledged=None)
    assert ended == ("aborted" if answer.status == 503 else "deleted")


async def test_readers_read_while_fifty_writers_wait_for_a_fence(tidings: Whole, databases: Databases) -> None:
    alice, bob, _ = await neighbours(tidings)
    post = await alice.posts("busy here", audience="public")
    before = await snapshot(databases, UUID(alice.id))
    fans = [await tidings.joins(f"Fan{number}") for number in range(10)]
    async with tidings.points.holds("after messages/prepare_removal", viewer=alice.id) as held:
        leaving = asyncio.create_task(alice.delete("/v1/users/me"))
        await held.reached()
        waiting = [
            asyncio.create_task(fan.put(f"/v1/messages/{post['id']}/reactions/{emoji}"))
            for fan in fans
            for emoji in "👍🎉🔥🌍🐘"
        ]
        for _ in range(10):  # each is answered, whoever waits
            assert (await bob.get(f"/v1/messages/{post['id']}")).status in (200, 404)
            await bob.timeline()
        held.go()
        answers = await asyncio.gather(*waiting)
    await leaving
    assert len(waiting) == 50
    await healed(databases)
    if await databases.value("users", "select state from accounts where id = $1", UUID(alice.id)) == "deleted":
        assert {answer.status for answer in answers} <= {404, *REFUSED}
        assert await judge(databases, UUID(alice.id), before=before) == "deleted"
    else:  # the readers took longer than its deadline: those who still waited then were let in
        assert {answer.status for answer in answers} <= {204, *REFUSED}


async def test_two_deletions_at_once_are_one(tidings: Whole, databases: Databases) -> None:
    alice, _, _ = await neighbours(tidings)
    before = await snapshot(databases, UUID(alice.id))
    answers = await asyncio.gather(*(alice.delete("/v1/users/me") for _ in range(4)))
    # Who comes after the decision holds a token of nobody.
    assert {answer.status for answer in answers} <= {204, 202, 401, 404, *REFUSED}
    assert 204 in {answer.status for answer in answers} or 202 in {answer.status for answer in answers}
    assert await judge(databases, UUID(alice.id), before=before, acknowledged=True) == "deleted"
    count = await databases.value("users", "select count(*) from twophase_log where subject = $1", UUID(alice.id))
    assert count == 1


@pytest.mark.parametrize("known", [True, False], ids=["known", "no fence row"])
async def test_leaving_while_being_befriended_is_one_after_the_other(
    tidings: Whole, databases: Databases, known: bool
) -> None:
    for _ in range(5):
        alice, bob = await tidings.joins("Alice"), await tidings.joins("Bob")
        if known:
            (await alice.put(f"/v1/friends/{bob.id}")).ok()
        before = await snapshot(databases, UUID(alice.id))
        befriended, left = await asyncio.gather(bob.put(f"/v1/friends/{alice.id}"), alice.delete("/v1/users/me"))
        assert befriended.status in (200, 404, *REFUSED)
        assert left.status in (204, 202, 503)
        if left.status == 503:  # a writer held the fence for too long: nothing was deleted
            await healed(databases)
            continue
        assert await judge(databases, UUID(alice.id), before=before, acknowledged=True) == "deleted"
        assert (await bob.get("/v1/friends")).body["people"] == []
        assert (await bob.get("/v1/friend-requests", params={"direction": "outgoing"})).body["people"] == []


async def test_a_participant_that_cannot_promise_ends_it_without_a_trace(
    tidings: Whole, databases: Databases
) -> None:
    alice, bob, _ = await neighbours(tidings)
    before = await snapshot(databases, UUID(alice.id))
    async with tidings.points.drops("messages/prepare_removal", viewer=alice.id):
        answer = await alice.delete("/v1/users/me")
    assert answer.status == 503, answer.raw
    assert answer.body["code"] == "deletion_aborted"
    assert answer.headers["retry-after"]
    assert await judge(databases, UUID(alice.id), before=before, acknowledged=False) == "aborted"
    assert (await alice.posts("still here"))["text"] == "still here"
    assert len((await bob.timeline())["entries"]) == 1
    await alice.leaves()


async def test_a_slow_deletion_answers_202_with_an_address_that_tells(tidings: Whole, databases: Databases) -> None:
    alice, _, _ = await neighbours(tidings)
    before = await snapshot(databases, UUID(alice.id))
    async with tidings.points.holds("before messages/prepare_removal", viewer=alice.id) as held:
        began = time.monotonic()
        answer = await alice.delete("/v1/users/me")
        assert 0.9 < time.monotonic() - began < 5
        assert (answer.status, answer.body) == (202, {"state": "deciding"})
        address = answer.headers["location"]
        assert re.fullmatch(r"/v1/deletions/[0-9a-f]{32}", address)
        status = await tidings.client.ask("GET", address)  # nobody is signed in
        assert (status.status, status.body) == (200, {"state": "deciding"})
        assert status.headers["cache-control"] == "private, no-store"
        held.go()
    async with asyncio.timeout(10):
        while (state := (await tidings.client.ask("GET", address)).body["state"]) == "deciding":
            await asyncio.sleep(0.05)
    assert state == "deleted"
    assert await judge(databases, UUID(alice.id), before=before, acknowledged=True) == "deleted"
    unknown = await tidings.client.ask("GET", f"/v1/deletions/{'0' * 32}")
    assert (unknown.status, unknown.body["code"]) == (404, "not_found")


async def test_after_the_deadline_nothing_is_decided(tidings: Whole, databases: Databases) -> None:
    alice, bob, _ = await neighbours(tidings)
    before = await snapshot(databases, UUID(alice.id))
    async with tidings.points.holds("after messages/prepare_removal", viewer=alice.id) as held:
        answer = await alice.delete("/v1/users/me")
        assert answer.status == 202
        address = answer.headers["location"]
        async with asyncio.timeout(10):
            while (state := (await tidings.client.ask("GET", address)).body["state"]) == "deciding":
                await asyncio.sleep(0.1)
        assert state == "aborted"
        held.go()
    await asyncio.sleep(1)  # only now does the coordinator come to its decision, which is none any more
    assert await judge(databases, UUID(alice.id), before=before, acknowledged=False) == "aborted"
    shown = [one["messages"][0]["text"] for one in (await bob.timeline())["entries"]]
    assert shown == ["alice was here"]


async def test_many_leave_at_once_and_are_each_others_friends(tidings: Whole, databases: Databases) -> None:
    people = [await tidings.joins(f"P{number}") for number in range(4)]
    for number, one in enumerate(people):
        await one.befriends(*people[number + 1 :])

    async def leaves(one: Person) -> None:
        """As a client would: what is refused for now, or was given up in the end, is asked again."""
        async with asyncio.timeout(30):
            while True:
                answer = await one.delete("/v1/users/me")
                if answer.status in (204, 401):
                    return
                assert answer.status in {202, *REFUSED}, (answer.status, answer.raw)
                if answer.status == 202:
                    status = answer.headers["location"]
                    while (state := (await one.client.ask("GET", status)).ok()["state"]) == "deciding":
                        await asyncio.sleep(0.05)
                    if state == "deleted":
                        return
                await asyncio.sleep(0.1)

    await asyncio.gather(*(leaves(one) for one in people))
    await healed(databases)
    for one in people:
        assert await databases.value("users", "select state from accounts where id = $1", UUID(one.id)) == "deleted"
    ids = [UUID(one.id) for one in people]
    assert await databases.value("friends", "select count(*) from friendships where user_id = any($1)", ids) == 0


async def test_a_branch_that_an_operator_rolled_back_is_done_again(tidings: Whole, databases: Databases) -> None:
    alice, _, _ = await neighbours(tidings)
    before = await snapshot(databases, UUID(alice.id))
    async with tidings.points.holds("before friends/commit_removal", viewer=alice.id) as held:
        leaving = asyncio.create_task(alice.delete("/v1/users/me"))
        await held.reached()
        friends = databases.by_service["friends"]
        row = await friends.fetchrow(
            "select gid from pg_prepared_xacts where gid like 'tidings:friends:%' order by prepared desc limit 1"
        )
        assert row is not None
        await friends.execute(f"rollback prepared '{row[0]}'")
        held.go()
    assert (await leaving).status in (204, 202)
    assert await judge(databases, UUID(alice.id), before=before, acknowledged=True) == "deleted"


async def test_the_fence_that_the_tests_lock_is_the_one_that_writers_lock(
    tidings: Whole, databases: Databases
) -> None:
    """A writer that is slow to commit: the deletion waits for it, or gives up, and never overtakes it."""
    alice, bob, _ = await neighbours(tidings)
    before = await snapshot(databases, UUID(alice.id))
    other = await asyncpg.connect(tidings.system.installation.dsns["friends"])
    try:
        async with other.transaction():
            await other.execute("select from subject_fence where user_id = $1 for no key update", UUID(alice.id))
            answer = await alice.delete("/v1/users/me")
    finally:
        await other.close()
    assert answer.status in (202, 503)
    ended = await judge(databases, UUID(alice.id), before=before)
    assert ended in ({"aborted"} if answer.status == 503 else {"aborted", "deleted"})
    assert len((await bob.timeline())["entries"]) == (1 if ended == "aborted" else 0)

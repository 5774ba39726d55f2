"""What happens between two internal calls of one request is an answer, not an error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest
from pymongo.asynchronous.client_session import AsyncClientSession

from tests.harness.people import Answer, Person
from tests.harness.points import Held
from tests.harness.system import Whole
from tidings.platform.engine_url import is_mongo
from tidings.platform.storage import mongo

Commit = Callable[[AsyncClientSession], Awaitable[None]]


@asynccontextmanager
async def caught_between(
    tidings: Whole, reader: Person, path: str = "/v1/timeline", *, point: str = "after friends/circles"
) -> AsyncIterator[tuple[Held, asyncio.Task[Answer]]]:
    """`reader`'s request, held after the friends were read and before anything else is."""
    async with tidings.points.holds(point, viewer=reader.id) as held:
        reading = asyncio.create_task(reader.get(path))
        await held.reached()
        yield held, reading


async def friends_who_spoke(tidings: Whole) -> tuple[Person, Person, Person]:
    alice, bob, carol = [await tidings.joins(name) for name in ("Alice", "Bob", "Carol")]
    await alice.befriends(bob, carol)
    await bob.posts("from Bob")
    await carol.posts("from Carol")
    return alice, bob, carol


def authors(body: dict[str, object]) -> list[str]:
    entries = body["entries"]
    assert isinstance(entries, list)
    return [entry["author"]["name"] for entry in entries]


async def test_a_friend_deleted_before_the_users_call_is_nowhere(tidings: Whole) -> None:
    alice, bob, _ = await friends_who_spoke(tidings)
    async with caught_between(tidings, alice) as (held, reading):
        await bob.leaves()
        held.go()
        answer = await reading

    page = answer.ok()
    assert authors(page) == ["Carol"]
    # A route that is safe is sent twice here: the second time, there is no friendship with Bob any more.
    assert page["omitted"]["gone"] in (0, 1)
    assert bob.id.encode() not in answer.raw
    assert b"from Bob" not in answer.raw


async def test_a_deleted_friend_is_gone_from_the_feed_too(tidings: Whole) -> None:
    alice, bob, _ = await friends_who_spoke(tidings)
    async with caught_between(tidings, alice, "/v1/feed") as (held, reading):
        await bob.leaves()
        held.go()
        answer = await reading

    assert [item["message"]["text"] for item in answer.ok()["items"]] == ["from Carol"]
    assert answer.body["omitted"]["gone"] in (0, 1)


@pytest.mark.parametrize("what", ["unfriend", "block"])
async def test_unfriended_in_between_the_next_answer_never_shows_them(tidings: Whole, what: str) -> None:
    alice, bob, _ = await friends_who_spoke(tidings)
    async with caught_between(tidings, alice) as (held, reading):
        ended = await (
            bob.delete(f"/v1/friends/{alice.id}") if what == "unfriend" else bob.put(f"/v1/blocks/{alice.id}")
        )
        assert ended.status == 204
        held.go()
        assert (await reading).status == 200  # true at one moment of its request: it may show them still

    for path in ("/v1/timeline", "/v1/feed"):
        answer = await alice.get(path)
        assert answer.status == 200
        assert bob.id.encode() not in answer.raw


async def test_a_message_deleted_after_the_friends_were_listed(tidings: Whole) -> None:
    alice, bob, _ = await friends_who_spoke(tidings)
    doomed = await bob.posts("doomed")
    async with caught_between(tidings, alice) as (held, reading):
        assert (await bob.delete(f"/v1/messages/{doomed['id']}")).status == 204
        held.go()
        page = (await reading).ok()

    assert [entry["messages"][0]["text"] for entry in page["entries"]] == ["from Carol", "from Bob"]


async def test_messages_down_shows_friends_without_a_message(tidings: Whole) -> None:
    alice, _, _ = await friends_who_spoke(tidings)
    async with tidings.points.drops("messages/latest_by_authors", viewer=alice.id):
        page = await alice.timeline()

    assert page["unreachable"] == ["messages"]
    assert [(entry["author"]["name"], entry["messages"]) for entry in page["entries"]] == [
        ("Bob", []),
        ("Carol", []),
    ]
    assert (await alice.timeline())["unreachable"] == []


@pytest.mark.parametrize(("call", "service"), [("friends/circles", "friends"), ("users/cards_as_of", "users")])
@pytest.mark.parametrize("path", ["/v1/timeline", "/v1/feed"])
async def test_friends_or_users_down_is_a_503_that_names_it(
    tidings: Whole, path: str, call: str, service: str
) -> None:
    alice, _, _ = await friends_who_spoke(tidings)
    async with tidings.points.drops(call, viewer=alice.id):
        answer = await alice.get(path)

    assert (answer.status, answer.body["service"], answer.body["code"]) == (503, service, "unavailable")
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_cursor_that_points_at_a_deleted_message_leads_on(tidings: Whole) -> None:
    alice, bob, _ = await friends_who_spoke(tidings)
    ids = [(await bob.posts(f"n{number}"))["id"] for number in range(4)]

    first = await alice.feed(limit=2)
    assert first["items"][-1]["message"]["id"] == ids[2]
    assert (await bob.delete(f"/v1/messages/{ids[2]}")).status == 204
    rest = await alice.feed(limit=10, cursor=first["next_cursor"])
    assert [item["message"]["text"] for item in rest["items"]] == ["n1", "n0", "from Carol", "from Bob"]

    await asyncio.sleep(2.2)  # a timeline's later pages are as of two seconds before its first
    page = await alice.timeline(limit=1)
    assert page["entries"][0]["messages"][0]["id"] == ids[3]
    assert (await bob.delete(f"/v1/messages/{ids[3]}")).status == 204
    after = await alice.timeline(limit=10, cursor=page["next_cursor"])
    assert authors(after) == ["Bob", "Carol"]  # Bob again, with the one before


async def test_a_friend_who_posts_between_page_one_and_page_two(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    friends = [await tidings.joins(f"F{number}") for number in range(4)]
    await alice.befriends(*friends)
    for friend in friends:
        await friend.posts(f"settled {friend.name}")
    await asyncio.sleep(2.2)  # until what was said is older than the unsettled moment

    first = await alice.timeline(limit=2)
    assert authors(first) == ["F3", "F2"]
    await friends[0].posts("fresh F0")  # not shown yet: page two gives what F0 said as of page one
    await friends[3].posts("fresh F3")  # shown already: never again on this walk
    second = await alice.timeline(limit=2, cursor=first["next_cursor"])

    assert [(e["author"]["name"], e["messages"][0]["text"]) for e in second["entries"]] == [
        ("F1", "settled F1"),
        ("F0", "settled F0"),
    ]
    assert second["newer"] == 2
    assert second["next_cursor"] is None


async def test_page_two_leaves_out_whom_page_one_showed_with_something_unsettled(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    friends = [await tidings.joins(f"F{number}") for number in range(3)]
    await alice.befriends(*friends)
    for friend in friends:
        await friend.posts(f"old {friend.name}")
    await asyncio.sleep(2.2)
    await friends[0].posts("new F0")

    first = await alice.timeline(limit=1)
    assert [(e["author"]["name"], e["messages"][0]["text"]) for e in first["entries"]] == [("F0", "new F0")]
    rest = await alice.timeline(limit=10, cursor=first["next_cursor"])
    assert authors(rest) == ["F2", "F1"]


@asynccontextmanager
async def slow_commits(tidings: Whole, seconds: float) -> AsyncIterator[None]:
    """Commits of messages that say `held` take `seconds`: a deferred trigger waits inside the commit.

    MongoDB has no such thing: the first commit is sent so much later.
    """
    dsn = tidings.system.installation.dsns["messages"]
    if is_mongo(dsn):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(mongo, "commit", _late(mongo.commit, seconds))
            yield
        return
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            f"""
            CREATE FUNCTION hold_commit() RETURNS trigger LANGUAGE plpgsql AS
              $$ BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER hold_commit AFTER INSERT ON message DEFERRABLE INITIALLY DEFERRED
              FOR EACH ROW WHEN (NEW.document->>'text' = 'held') EXECUTE FUNCTION hold_commit();
            """
        )
        try:
            yield
        finally:
            await connection.execute("DROP TRIGGER hold_commit ON message; DROP FUNCTION hold_commit")
    finally:
        await connection.close()


def _late(commit: Commit, seconds: float) -> Commit:
    waits = [seconds]

    async def later(session: AsyncClientSession) -> None:
        await asyncio.sleep(waits.pop() if waits else 0)
        await commit(session)

    return later


async def test_a_commit_held_open_across_a_feed_page_is_neither_skipped_nor_repeated(tidings: Whole) -> None:
    alice, bob, carol = await friends_who_spoke(tidings)
    async with slow_commits(tidings, 1.0):
        slow = asyncio.create_task(bob.posts("held"))
        await asyncio.sleep(0.2)  # its id is minted; its commit waits
        later = await carol.posts("after it")
        first = await alice.feed(limit=2)
        assert first["items"][0]["message"]["id"] == later["id"]  # younger than the one that is held
        held = await slow
    assert held["id"] < later["id"]

    walked = [item["message"]["id"] for item in first["items"]]
    older = await alice.feed(limit=10, cursor=first["next_cursor"])
    walked += [item["message"]["id"] for item in older["items"]]
    newer = await alice.feed(limit=10, cursor=first["previous_cursor"])
    walked += [item["message"]["id"] for item in newer["items"]]
    again = await alice.feed(limit=10, cursor=newer["previous_cursor"])
    walked += [item["message"]["id"] for item in again["items"]]

    assert held["id"] in walked
    assert later["id"] in walked
    assert len(walked) == len(set(walked)) == 4

"""An author's messages as friends see them, while they are kept."""

from __future__ import annotations

from typing import Any

from tests.harness.people import Person
from tests.harness.system import Whole


async def listed(viewer: Person, author: Person, **params: Any) -> Any:
    answer = await viewer.get("/v1/messages", params={"author": author.id, **params})
    return answer.ok()


def knows_nothing(viewer: Person) -> None:
    """Whatever is kept will do for them."""
    viewer.client.told.clear()
    viewer.seen = None


async def counts(viewer: Person, author: Person) -> list[tuple[str, list[tuple[str, int, bool]], int]]:
    page = await listed(viewer, author)
    return [
        (
            one["message"]["text"],
            [(said["emoji"], said["count"], said["mine"]) for said in one["reactions"]],
            one["replies"],
        )
        for one in page["messages"]
    ]


async def test_what_others_do_to_a_message_is_counted_at_once(tidings: Whole) -> None:
    alice, bob, carol = [await tidings.joins(name) for name in ("Alice", "Bob", "Carol")]
    await alice.befriends(bob, carol)
    said = await alice.posts("one")
    path = f"/v1/messages/{said['id']}"
    for viewer in (alice, bob, carol):
        assert await counts(viewer, alice) == [("one", [], 0)]

    # Bob, who knows of nothing, asks first: what was kept before would do for him, had nobody said that it changed.
    knows_nothing(bob)
    assert await counts(bob, alice) == [("one", [], 0)]
    (await carol.put(f"{path}/reactions/x")).ok()
    knows_nothing(bob)
    assert await counts(bob, alice) == [("one", [("x", 1, False)], 0)]
    assert await counts(carol, alice) == [("one", [("x", 1, True)], 0)]
    answer = (await carol.post(f"{path}/replies", {"text": "well"})).ok()
    knows_nothing(bob)
    assert await counts(bob, alice) == [("one", [("x", 1, False)], 1)]
    (await carol.delete(f"{path}/reactions/x")).ok()
    knows_nothing(bob)
    assert await counts(bob, alice) == [("one", [], 1)]
    (await carol.delete(f"/v1/messages/{answer['id']}")).ok()
    knows_nothing(bob)
    assert await counts(bob, alice) == [("one", [], 0)]
    assert await counts(carol, alice) == [("one", [], 0)]


async def test_what_is_for_a_few_is_shown_to_those_alone(tidings: Whole) -> None:
    alice, bob, carol = [await tidings.joins(name) for name in ("Alice", "Bob", "Carol")]
    await alice.befriends(bob, carol)
    await alice.posts("for friends", place={"latitude": 38.7223, "longitude": -9.1393, "name": "Lisbon"})
    for viewer in (bob, carol, alice):
        [one] = (await listed(viewer, alice))["messages"]
        assert (one["author"]["name"], one["message"]["place"]["name"]) == ("Alice", "Lisbon")

    secret = await alice.posts("for Bob", audience="only", only=[bob.id])

    async def texts(viewer: Person) -> list[str]:
        return [text for text, _, _ in await counts(viewer, alice)]

    for _ in range(2):
        assert await texts(bob) == ["for Bob", "for friends"]
        assert await texts(carol) == ["for friends"]
        assert await texts(alice) == ["for Bob", "for friends"]
    (await alice.delete(f"/v1/messages/{secret['id']}")).ok()
    assert await texts(bob) == ["for friends"]


async def test_pages_follow_one_another(tidings: Whole) -> None:
    alice, bob, stranger = [await tidings.joins(name) for name in ("Alice", "Bob", "Sam")]
    await alice.befriends(bob)
    few = [(await bob.posts(str(number)))["id"] for number in range(3)][::-1]
    for limit in (2, 3, 4):
        page = await listed(alice, bob, limit=limit)
        assert [one["message"]["id"] for one in page["messages"]] == few[:limit]
        assert (page.get("next_cursor") is not None) == (limit < len(few))
    said = [(await alice.posts(str(number), audience="public"))["id"] for number in range(25)][::-1]
    for viewer in (bob, stranger):
        for limit in (3, 20, 21, 24, 25, 30):
            page = await listed(viewer, alice, limit=limit)
            found = [one["message"]["id"] for one in page["messages"]]
            assert found == said[:limit]
            assert (page.get("next_cursor") is not None) == (limit < len(said))
            if limit < len(said):
                rest = await listed(viewer, alice, limit=30, cursor=page["next_cursor"])
                assert [one["message"]["id"] for one in rest["messages"]] == said[limit:]

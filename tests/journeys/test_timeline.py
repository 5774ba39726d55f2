"""The timeline as a person meets it."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tests.harness.system import Whole


async def test_the_latest_message_of_each_friend_with_name_and_avatar_newest_first(tidings: Whole) -> None:
    alice, bob, carol, stranger = [await tidings.joins(name) for name in ("Alice", "Bob", "Carol", "Sam")]
    await alice.befriends(bob, carol)
    await bob.posts("first")
    await carol.posts("second")
    latest = await bob.posts("third")
    await stranger.posts("not for you", audience="public")

    page = await alice.timeline()

    assert [(entry["author"]["name"], [one["text"] for one in entry["messages"]]) for entry in page["entries"]] == [
        ("Bob", ["third"]),
        ("Carol", ["second"]),
    ]
    entry = page["entries"][0]
    assert entry["author"] == {
        "id": bob.id,
        "handle": bob.handle,
        "name": "Bob",
        "avatar": f"/v1/avatars/{bob.id}",
    }
    assert entry["messages"][0] == latest
    assert page["omitted"] == {"gone": 0, "muted": 0, "unavailable": 0}
    assert page["unreachable"] == []
    picture = await alice.get(entry["author"]["avatar"])
    assert (picture.status, picture.headers["content-type"]) == (200, "image/png")
    assert picture.raw.startswith(b"\x89PNG")


async def test_two_of_each_friend_by_a_rule_of_timeline_alone(tidings: Whole) -> None:
    alice, bob, carol = [await tidings.joins(name) for name in ("Alice", "Bob", "Carol")]
    await alice.befriends(bob, carol)
    for text in ("one", "two", "three"):
        await bob.posts(text)
    await carol.posts("only one")

    page = await alice.timeline(per_friend=2)

    assert [[one["text"] for one in entry["messages"]] for entry in page["entries"]] == [
        ["only one"],
        ["three", "two"],
    ]


async def test_rules_mean_the_latest_message_that_satisfies_them(tidings: Whole) -> None:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    await alice.befriends(bob)
    await bob.posts("a boat", media=[{"media_id": await bob.uploads()}])
    await bob.posts("Lisbon", place={"latitude": 38.7223, "longitude": -9.1393, "name": "Lisbon"})
    await bob.posts("plain")

    async def texts(**rules: object) -> list[str]:
        page = await alice.timeline(**rules)
        return [one["text"] for entry in page["entries"] for one in entry["messages"]]

    assert await texts() == ["plain"]
    assert await texts(has="media") == ["a boat"]
    assert await texts(near="38.72,-9.14", within_km=5) == ["Lisbon"]
    assert await texts(near="48.85,2.35", within_km=5) == []
    assert await texts(max_age=3600) == ["plain"]
    refused = await alice.get("/v1/timeline", params={"near": "38.72,-9.14"})
    assert (refused.status, refused.body["errors"][0]["pointer"]) == (422, "?within_km")


async def test_a_muted_friend_is_left_out_and_counted(tidings: Whole) -> None:
    alice, bob, carol = [await tidings.joins(name) for name in ("Alice", "Bob", "Carol")]
    await alice.befriends(bob, carol)
    await bob.posts("loud")
    await carol.posts("quiet")
    (await alice.put(f"/v1/mutes/{bob.id}")).ok()

    page = await alice.timeline(explain=1)

    assert [entry["author"]["name"] for entry in page["entries"]] == ["Carol"]
    assert page["omitted"]["muted"] == 1
    assert any("muted" in rule for rule in page["explain"]["rules"])


async def test_pages_give_every_friend_once(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    crowd = await tidings.crowd(alice, 23)

    seen: list[str] = []
    page = await alice.timeline(limit=10)
    sizes = [len(page["entries"])]
    seen += [entry["author"]["id"] for entry in page["entries"]]
    while page["next_cursor"]:
        page = await alice.timeline(limit=10, cursor=page["next_cursor"])
        sizes.append(len(page["entries"]))
        seen += [entry["author"]["id"] for entry in page["entries"]]

    assert sizes == [10, 10, 3]
    assert sorted(seen) == sorted(str(one) for one in crowd)


async def test_a_cursor_is_its_askers_own(tidings: Whole) -> None:
    alice, mallory = [await tidings.joins(name) for name in ("Alice", "Mallory")]
    await tidings.crowd(alice, 3)
    cursor = (await alice.timeline(limit=1))["next_cursor"]

    for person, sent in ((mallory, cursor), (alice, cursor[:-2] + "AA"), (alice, "nonsense")):
        refused = await person.get("/v1/timeline", params={"limit": 1, "cursor": sent})
        assert (refused.status, refused.body["code"]) == (400, "bad_cursor")


@pytest.mark.parametrize("friends", [1, 39, 313])
async def test_a_timeline_costs_three_internal_calls(tidings: Whole, friends: int) -> None:
    await _costs_three_internal_calls(tidings, friends)


# In one process and in many: what each service does with so many is tested with that service, for every store.
@pytest.mark.flooding
@pytest.mark.parametrize("tidings", ["near", "apart"], indirect=True)
async def test_a_timeline_of_five_thousand_friends_costs_three_internal_calls(tidings: Whole) -> None:
    await _costs_three_internal_calls(tidings, 5000)


async def _costs_three_internal_calls(tidings: Whole, friends: int) -> None:
    alice = await tidings.joins("Alice")
    await tidings.crowd(alice, friends)

    answer = await alice.get("/v1/timeline", params={"limit": 100}, traced=True)

    assert len(answer.ok()["entries"]) == min(friends, 100)
    # The edge's own call is safe, so in tests it is sent twice: the timeline is composed twice, and the second time
    # each part may come from what was kept of the first.
    calls = Counter(tidings.points.calls(answer.trace, caller="timeline"))
    assert calls.keys() == {"friends/circles", "messages/latest_by_authors", "users/cards_as_of"}
    assert max(calls.values()) <= 2
    assert set(tidings.points.calls(answer.trace, caller="edge")) - {"users/whois"} == {"timeline/get_timeline"}


async def test_the_feed_has_friends_and_oneself_and_leads_both_ways(tidings: Whole) -> None:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    await alice.befriends(bob)
    for number in range(5):
        await bob.posts(f"b{number}")
        await alice.posts(f"a{number}")

    first = await alice.feed(limit=4)
    older = await alice.feed(limit=4, cursor=first["next_cursor"])
    last = await alice.feed(limit=4, cursor=older["next_cursor"])
    texts = [item["message"]["text"] for page in (first, older, last) for item in page["items"]]
    assert texts == ["a4", "b4", "a3", "b3", "a2", "b2", "a1", "b1", "a0", "b0"]
    # A write that was open may yet appear below: the end is certain once all that was shown has settled.
    while last["next_cursor"] is not None:
        await asyncio.sleep(0.7)
        last = await alice.feed(limit=4, cursor=last["next_cursor"])
        assert last["items"] == []

    await bob.posts("news")
    newer = await alice.feed(limit=4, cursor=first["previous_cursor"])
    assert [item["message"]["text"] for item in newer["items"]] == ["news"]
    await bob.posts("more news")
    newest = await alice.feed(limit=4, cursor=newer["previous_cursor"])
    assert [item["message"]["text"] for item in newest["items"]] == ["more news"]
    assert (await alice.feed(limit=4, cursor=newest["previous_cursor"]))["items"] == []


async def test_a_reader_who_follows_the_newer_cursor_misses_and_repeats_nothing(tidings: Whole) -> None:
    alice, bob, carol = [await tidings.joins(name) for name in ("Alice", "Bob", "Carol")]
    await alice.befriends(bob, carol)
    posted: list[str] = []

    async def keeps_posting(person_name: str) -> None:
        person = bob if person_name == "Bob" else carol
        for number in range(25):
            posted.append((await person.posts(f"{person_name} {number}"))["id"])

    read: list[str] = []
    page = await alice.feed()
    writing = [asyncio.create_task(keeps_posting(name)) for name in ("Bob", "Carol")]
    quiet = 0
    while quiet < 2:
        page = await alice.feed(limit=7, cursor=page["previous_cursor"])
        read += [item["message"]["id"] for item in reversed(page["items"])]
        quiet = quiet + 1 if not page["items"] and all(task.done() for task in writing) else 0
    await asyncio.gather(*writing)

    assert len(read) == len(set(read))
    assert sorted(read) == sorted(posted)


async def test_the_feed_begins_with_a_message_that_one_may_not_even_see(tidings: Whole) -> None:
    """Where one stopped reading: the message itself, or what stands below it now."""
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    await alice.befriends(bob)
    said = [(await bob.posts(f"b{number}"))["id"] for number in range(5)]

    async def texts(**params: object) -> list[str]:
        return [item["message"]["text"] for item in (await alice.feed(**params))["items"]]

    assert await texts(at=said[2], limit=2) == ["b2", "b1"]
    page = await alice.feed(at=said[2], limit=2)
    assert await texts(cursor=page["previous_cursor"]) == ["b4", "b3"]
    (await bob.delete(f"/v1/messages/{said[2]}")).ok()
    assert await texts(at=said[2]) == ["b1", "b0"]
    refused = await alice.get("/v1/feed", params={"at": said[1], "cursor": page["previous_cursor"]})
    assert (refused.status, refused.body["errors"][0]["pointer"]) == (422, "?at")
    assert (await alice.get("/v1/feed", params={"at": "x"})).status == 422

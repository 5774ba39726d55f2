"""What concerns a person reaches them by events alone, once, and goes when its cause goes."""

from __future__ import annotations

from typing import Any

from tests.harness.people import Person
from tests.harness.system import Whole
from tests.harness.waiting import until


async def notified(person: Person, *kinds: str) -> list[dict[str, Any]]:
    """This person's notifications, once they are exactly of these kinds, newest first."""
    seen: list[dict[str, Any]] = []

    async def look() -> bool:
        seen[:] = (await person.get("/v1/notifications")).ok()["notifications"]
        return sorted(one["kind"] for one in seen) == sorted(kinds)

    await until(look, what=f"notifications of {kinds}")
    return seen


async def test_a_request_is_told_and_goes_with_its_answer(tidings: Whole) -> None:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    (await alice.put(f"/v1/friends/{bob.id}")).ok()
    (told,) = await notified(bob, "friend_request")
    assert [one["id"] for one in told["people"]] == [alice.id]
    assert (told["count"], told["unread"], told["message"]) == (1, True, None)
    (await bob.put(f"/v1/friends/{alice.id}")).ok()
    await notified(bob)
    (accepted,) = await notified(alice, "friend_acceptance")
    assert accepted["people"][0]["name"] == "Bob"


async def test_a_request_that_is_withdrawn_is_told_no_more(tidings: Whole) -> None:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    (await alice.put(f"/v1/friends/{bob.id}")).ok()
    await notified(bob, "friend_request")
    (await alice.delete(f"/v1/friend-requests/{bob.id}")).ok()
    await notified(bob)


async def test_reactions_to_one_message_come_as_one(tidings: Whole) -> None:
    alice, bob, cleo = [await tidings.joins(name) for name in ("Alice", "Bob", "Cleo")]
    await alice.befriends(bob, cleo)
    message = await alice.posts("hello")
    for person, emoji in ((bob, "+1"), (bob, "heart"), (cleo, "+1")):
        (await person.put(f"/v1/messages/{message['id']}/reactions/{emoji}")).ok()

    async def both() -> dict[str, Any] | None:
        groups = (await alice.get("/v1/notifications")).ok()["notifications"]
        found = [one for one in groups if one["kind"] == "reaction"]
        return found[0] if found and found[0]["count"] == 2 else None

    group: dict[str, Any] = await until(both, what="two who reacted")
    assert [one["name"] for one in group["people"]] == ["Cleo", "Bob"]
    assert group["message"]["text"] == "hello"
    # One of Bob's two is left, so he stays; then he goes.
    (await bob.delete(f"/v1/messages/{message['id']}/reactions/heart")).ok()
    (await cleo.delete(f"/v1/messages/{message['id']}/reactions/+1")).ok()

    async def bob_alone() -> bool:
        groups = (await alice.get("/v1/notifications")).ok()["notifications"]
        return [p["name"] for one in groups if one["kind"] == "reaction" for p in one["people"]] == ["Bob"]

    await until(bob_alone, what="Bob alone")
    (await bob.delete(f"/v1/messages/{message['id']}/reactions/+1")).ok()
    await notified(alice, "friend_acceptance", "friend_acceptance")


async def test_replies_and_mentions_are_told_once_and_follow_the_message(tidings: Whole) -> None:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    await bob.befriends(alice)
    message = await alice.posts("hello")
    await notified(alice)
    replied = (await bob.post(f"/v1/messages/{message['id']}/replies", {"text": "hi", "mentions": [alice.id]})).ok()
    (reply,) = await notified(alice, "reply")
    assert (reply["message"]["text"], reply["reply_to"]) == ("hi", message["id"])
    mentioning = await bob.posts("with you", mentions=[alice.id])
    await notified(alice, "reply", "mention")
    (await bob.patch(f"/v1/messages/{mentioning['id']}", {"mentions": []})).ok()
    await notified(alice, "reply")
    (await bob.delete(f"/v1/messages/{replied['id']}")).ok()
    await notified(alice)


async def test_who_is_blocked_or_muted_and_what_is_hidden_is_not_shown(tidings: Whole) -> None:
    alice, bob, cleo, dora = [await tidings.joins(name) for name in ("Alice", "Bob", "Cleo", "Dora")]
    for friend in (bob, cleo):
        await friend.befriends(alice)
        await friend.posts("see", mentions=[alice.id])
    await dora.posts("for my friends alone", mentions=[alice.id])  # Alice is none of them
    await notified(alice, "mention", "mention")
    (await alice.put(f"/v1/mutes/{bob.id}")).ok()
    await notified(alice, "mention")
    (await alice.put(f"/v1/blocks/{cleo.id}")).ok()
    await notified(alice)


async def test_what_was_read_stays_read_and_pages_meet_without_gap(tidings: Whole) -> None:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    await bob.befriends(alice)
    for number in range(5):
        await bob.posts(f"{number}", mentions=[alice.id])
    told = await notified(alice, *["mention"] * 5)
    marked = (await alice.patch("/v1/notifications", {"read_until": told[1]["at"]})).ok()
    assert marked["read_until"] == told[1]["at"]
    earlier = (await alice.patch("/v1/notifications", {"read_until": told[4]["at"]})).ok()
    assert earlier == marked
    page = (await alice.get("/v1/notifications", params={"limit": 2})).ok()
    texts = [one["message"]["text"] for one in page["notifications"]]
    assert [one["unread"] for one in page["notifications"]] == [
        one["at"] > marked["read_until"] for one in told[:2]
    ]
    while page["next_cursor"]:
        page = (await alice.get("/v1/notifications", params={"limit": 2, "cursor": page["next_cursor"]})).ok()
        texts += [one["message"]["text"] for one in page["notifications"]]
    assert sorted(texts) == ["0", "1", "2", "3", "4"]
    refused = await alice.patch("/v1/notifications", {"read_until": "yesterday"})
    assert (refused.status, refused.body["errors"][0]["pointer"]) == (422, "/read_until")


async def test_two_calls_make_a_list_of_people_however_many(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    others = [await tidings.joins(f"P{number}") for number in range(4)]
    for other in others:
        (await other.put(f"/v1/friends/{alice.id}")).ok()
    await notified(alice, *["friend_request"] * 4)
    answer = await alice.get("/v1/notifications", traced=True)
    two = ["friends/relations", "users/cards"]  # every safe call is made twice here, the edge's to us as well
    assert sorted(tidings.points.calls(answer.trace, caller="notifications")) == sorted(two * 2)

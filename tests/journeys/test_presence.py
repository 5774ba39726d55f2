"""Who is online: friends who listen to the live stream, unless they hide it."""

from __future__ import annotations

from tests.harness.people import Person
from tests.harness.streams import listening
from tests.harness.system import Whole


async def online(asker: Person, *others: Person) -> list[str]:
    answer = (await asker.get("/v1/presence", params={"ids": ",".join(other.id for other in others)})).ok()
    return list(answer["online"])


async def test_friends_who_listen_are_online_and_nobody_else_is_told_of(tidings: Whole) -> None:
    alice, bob, carol = [await tidings.joins(name) for name in ("Alice", "Bob", "Carol")]
    await alice.befriends(bob)
    assert await online(alice, bob, carol) == []
    async with listening(bob), listening(carol):
        assert await online(alice, bob, carol) == [bob.id]
        assert await online(carol, alice, bob) == []
        assert await online(bob, bob) == []  # one's own is no news
        assert (await alice.get("/v1/presence")).ok()["online"] == [bob.id]  # of all one's friends


async def test_hiding_and_parting_hold_at_once(tidings: Whole) -> None:
    alice, bob, carol = [await tidings.joins(name) for name in ("Alice", "Bob", "Carol")]
    await alice.befriends(bob, carol)
    async with listening(bob), listening(carol):
        assert await online(alice, bob, carol) == sorted([bob.id, carol.id])
        (await bob.put("/v1/users/me/preferences", {"presence": False})).ok()
        (await alice.delete(f"/v1/friends/{carol.id}")).ok()
        assert await online(alice, bob, carol) == []
        (await bob.put("/v1/users/me/preferences", {"presence": True})).ok()
        assert await online(alice, bob, carol) == [bob.id]


async def test_somebody_who_is_blocked_or_deleted_is_not_online(tidings: Whole) -> None:
    alice, bob, carol = [await tidings.joins(name) for name in ("Alice", "Bob", "Carol")]
    await alice.befriends(bob, carol)
    async with listening(bob), listening(carol):
        assert await online(alice, bob, carol) == sorted([bob.id, carol.id])
        (await bob.put(f"/v1/blocks/{alice.id}")).ok()
        assert (await carol.delete("/v1/users/me")).status in (204, 202)
        assert await online(alice, bob, carol) == []

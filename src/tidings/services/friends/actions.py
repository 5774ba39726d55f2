"""Writes to the graph: check, change, announce, return."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from tidings.contracts import friends as contract
from tidings.contracts import users
from tidings.contracts.friends import (
    Friendship,
    FriendsImported,
    GraphChanged,
    ImportedFriendship,
    PersonRemoved,
)
from tidings.contracts.users import ByIds, Imported, UserId
from tidings.platform.clock import now_ms, rfc3339
from tidings.platform.contract import Event, NotFound
from tidings.platform.world import World
from tidings.services.friends import rules
from tidings.services.friends.store.port import FriendsStore, FriendsWrite

IMPORT_MS = 25_000  # a batch's transaction; less than its call's deadline


async def befriend(store: FriendsStore, world: World, me: UserId, other: UserId) -> Friendship:
    """Ask, or accept. Raises `NotFound`, `NotYourself`, `TooManyFriends`."""
    await _check_person(world, me, other)
    async with store.write() as graph:
        rules.check_live((await graph.fence((me, other))).values())
        standing = await graph.standing(me, other)
        if standing.blocked:
            raise NotFound(rules.NOBODY)
        state, since_ms = rules.after_asking(standing.state), standing.since_ms
        if state != standing.state:
            rules.check_room((await graph.counts((me, other))).values())
            since_ms = now_ms()
            if state == "friends":
                await graph.add_friendships([ImportedFriendship(a=me, b=other, since_ms=since_ms)])
            else:
                await graph.add_request(me, other, since_ms)
            happened = contract.befriended if state == "friends" else contract.requested
            await _announce(graph, happened, by=me, other=other)
    return Friendship(user_id=other, state=state, since=rfc3339(since_ms))


async def unfriend(store: FriendsStore, me: UserId, other: UserId) -> None:
    """End a friendship on both sides. Raises `NotFound`."""
    async with store.write() as graph:
        rules.check_live((await graph.fence((me, other))).values())
        if (await graph.standing(me, other)).state != "friends":
            raise NotFound("You are not friends with such a person.")
        await graph.end_friendship(me, other)
        await _announce(graph, contract.unfriended, by=me, other=other)


async def drop_request(store: FriendsStore, me: UserId, other: UserId) -> None:
    """Decline their request or withdraw mine. Raises `NotFound`."""
    async with store.write() as graph:
        rules.check_live((await graph.fence((me, other))).values())
        if (await graph.standing(me, other)).state not in ("requested", "asked"):
            raise NotFound("There is no request between you and such a person.")
        await graph.drop_requests(me, other)
        await _announce(graph, contract.request_withdrawn, by=me, other=other)


async def block(store: FriendsStore, world: World, me: UserId, other: UserId) -> None:
    """Hide both from each other, and end what was between them. Raises `NotFound`, `NotYourself`."""
    await _check_person(world, me, other)
    async with store.write() as graph:
        rules.check_live((await graph.fence((me, other))).values())
        standing = await graph.standing(me, other)
        if standing.blocks:
            return
        if standing.state == "friends":
            await graph.end_friendship(me, other)
        elif standing.state is not None:
            await graph.drop_requests(me, other)
        await graph.add_block(me, other, now_ms())
        await _announce(graph, contract.blocked, by=me, other=other)


async def unblock(store: FriendsStore, me: UserId, other: UserId) -> None:
    """End a block; they are strangers then. Raises `NotFound`."""
    async with store.write() as graph:
        rules.check_live((await graph.fence((me, other))).values())
        if not (await graph.standing(me, other)).blocks:
            raise NotFound("You have not blocked such a person.")
        await graph.drop_block(me, other)
        await _announce(graph, contract.unblocked, by=me, other=other)


async def mute(store: FriendsStore, world: World, me: UserId, other: UserId) -> None:
    """Leave their messages out of what I read. Raises `NotFound`, `NotYourself`."""
    await _check_person(world, me, other)
    async with store.write() as graph:
        rules.check_live((await graph.fence((me,), others=(other,))).values())
        if (await graph.standing(me, other)).mutes:
            return
        await graph.add_mute(me, other, now_ms())
        await _announce_mine(graph, contract.muted, by=me, other=other)


async def unmute(store: FriendsStore, me: UserId, other: UserId) -> None:
    """Raises `NotFound`."""
    async with store.write() as graph:
        rules.check_live((await graph.fence((me,))).values())
        if not (await graph.standing(me, other)).mutes:
            raise NotFound("You have not muted such a person.")
        await graph.drop_mute(me, other)
        await _announce_mine(graph, contract.unmuted, by=me, other=other)


async def import_friendships(store: FriendsStore, batch: Sequence[ImportedFriendship]) -> Imported:
    """Make friends of many at once, or of nobody. Raises `NotYourself`, `TooManyFriends`.

    Pairs with somebody deleted or with a block between them are left out, and counted neither as added nor as
    present.
    """
    pairs = rules.pairs_of(batch)
    if not pairs:
        return Imported(added=0, present=0)
    async with store.write(timeout_ms=IMPORT_MS) as graph:
        possible = rules.among(pairs, await graph.fence(rules.people_of(pairs)))
        present = await graph.friends_among(possible)
        added = await graph.add_friendships(possible)
        people = rules.people_of(added)
        rules.check_held(await graph.counts(people))
        await _announce_all(graph, added)
    return Imported(added=len(added), present=present)


async def remove_person(graph: FriendsWrite, person: UUID, version: int) -> None:
    """What a deletion changes here: nothing stands between them and anybody any more.

    Only the person's own fence is held: their friends' versions rise by the event, after the commit.
    """
    user_id = UserId(person)
    friends = await graph.remove_person(user_id)
    body = PersonRemoved(user_id=user_id, version=version, friend_ids=friends)
    graph.announce(contract.person_removed, subject=user_id, version=version, body=body)


async def friends_of_removed(store: FriendsStore, gone: PersonRemoved) -> None:
    """What a deletion meant for each friend: one less, as of a new version of their own."""
    if not gone.friend_ids:
        return
    async with store.write(timeout_ms=IMPORT_MS) as graph:
        fences = await graph.fence(gone.friend_ids)
        live = [friend for friend in gone.friend_ids if fences[friend].state == "live"]
        versions = await graph.raise_versions(dict.fromkeys(live, 1))
        for friend in live:
            body = GraphChanged(user_id=friend, other_id=gone.user_id, by_id=None, version=versions[friend])
            graph.announce(contract.unfriended, subject=friend, version=versions[friend], body=body)


async def _check_person(world: World, me: UserId, other: UserId) -> None:
    """Raises `NotYourself`, and `NotFound` if users shows nobody by that id."""
    rules.check_other(me, other)
    if other not in await world.call(users.cards, ByIds(ids=[other])):
        raise NotFound(rules.NOBODY)


async def _announce(graph: FriendsWrite, event: Event, *, by: UserId, other: UserId) -> None:
    """What one did and what changed for both: both versions rise."""
    versions = await graph.raise_versions({by: 1, other: 1})
    for one, another in ((by, other), (other, by)):
        body = GraphChanged(user_id=one, other_id=another, by_id=by, version=versions[one])
        graph.announce(event, subject=one, version=versions[one], body=body)


async def _announce_mine(graph: FriendsWrite, event: Event, *, by: UserId, other: UserId) -> None:
    """What the other need not know: only one's own version rises."""
    version = (await graph.raise_versions({by: 1}))[by]
    body = GraphChanged(user_id=by, other_id=other, by_id=by, version=version)
    graph.announce(event, subject=by, version=version, body=body)


async def _announce_all(graph: FriendsWrite, added: Sequence[ImportedFriendship]) -> None:
    """One event and one version for each person, however many friends were added."""
    found: dict[UserId, list[UserId]] = defaultdict(list)
    for pair in added:
        found[pair.a].append(pair.b)
        found[pair.b].append(pair.a)
    versions = await graph.raise_versions(dict.fromkeys(found, 1))
    for one, others in found.items():
        body = FriendsImported(user_id=one, friend_ids=others, version=versions[one])
        graph.announce(contract.imported, subject=one, version=versions[one], body=body)

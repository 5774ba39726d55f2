"""Each call and route of the contract, and the action or view that answers it."""

from __future__ import annotations

from tidings.contracts import friends
from tidings.contracts.friends import Circle, Friendship, People, Relation
from tidings.contracts.users import Branch, Branches, ByIds, Imported, Removal, TransactionsAsk, UserId, Vote
from tidings.platform.cache.registration import Registration
from tidings.platform.contract import Nothing, Reply
from tidings.platform.export import ExportAsk, ExportPage
from tidings.platform.occurrence import DeadLetters, EventId, OccurredAsk, OccurredPage, Replay
from tidings.platform.request import Viewer
from tidings.platform.service import serves
from tidings.services.friends import actions, rules, views
from tidings.services.friends import export as export_
from tidings.services.friends.holder import Friends

NOTHING = Nothing()


# What other services ask.


@serves(friends.circles)
async def circles(svc: Friends, viewer: Viewer, ask: ByIds) -> dict[UserId, Circle]:
    return await svc.store.circles(ask.ids)


@serves(friends.relations)
async def relations(svc: Friends, viewer: Viewer, ask: ByIds) -> dict[UserId, Relation]:
    if viewer.user_id is None:  # a stranger to all
        return {}
    return await svc.store.relations(_me(viewer), ask.ids)


@serves(friends.register_cache)
async def register_cache(svc: Friends, viewer: Viewer, ask: Registration) -> Nothing:
    await svc.mailroom.register(ask)
    return NOTHING


@serves(friends.occurrences)
async def occurrences(svc: Friends, viewer: Viewer, ask: OccurredAsk) -> OccurredPage:
    return await svc.mailroom.occurrences(ask)


@serves(friends.dead_letters)
async def dead_letters(svc: Friends, viewer: Viewer, ask: Nothing) -> DeadLetters:
    rules.check_operator(viewer)
    return await svc.mailroom.letters()


@serves(friends.replay_event)
async def replay_event(svc: Friends, viewer: Viewer, ask: EventId) -> Replay:
    rules.check_operator(viewer)
    return await svc.mailroom.replay(ask.id)


@serves(friends.export)
async def export(svc: Friends, viewer: Viewer, ask: ExportAsk) -> ExportPage:
    return await export_.part(svc.store, svc.world, _me(viewer), ask)


@serves(friends.import_friendships)
async def import_friendships(svc: Friends, viewer: Viewer, ask: friends.ImportFriendships) -> Imported:
    rules.check_operator(viewer)
    return await actions.import_friendships(svc.store, ask.friendships)


# A deleted account's part here.


@serves(friends.prepare_removal)
async def prepare_removal(svc: Friends, viewer: Viewer, ask: Removal) -> Vote:
    return Vote(yes=await svc.removal.prepare(ask.gid, ask.user_id))


@serves(friends.commit_removal)
async def commit_removal(svc: Friends, viewer: Viewer, ask: Removal) -> Branch:
    return Branch(state=await svc.removal.commit(ask.gid, ask.user_id))


@serves(friends.abort_removal)
async def abort_removal(svc: Friends, viewer: Viewer, ask: Removal) -> Branch:
    return Branch(state=await svc.removal.abort(ask.gid, ask.user_id))


@serves(friends.branches)
async def branches(svc: Friends, viewer: Viewer, ask: TransactionsAsk) -> Branches:
    rules.check_operator(viewer)
    return await views.branches(svc.removal, ask.gid)


@serves(friends.everybody)
async def everybody(svc: Friends, viewer: Viewer, ask: friends.EverybodyAsk) -> friends.Everybody:
    rules.check_operator(viewer)
    return friends.Everybody(ids=await svc.store.everybody(ask.after, ask.limit))


# Friends and requests.


@serves(friends.list_friends)
async def list_friends(svc: Friends, viewer: Viewer, ask: friends.PageAsk) -> Reply[People]:
    return await views.friends.read(svc, svc.world, viewer, ask)


@serves(friends.get_friend)
async def get_friend(svc: Friends, viewer: Viewer, ask: friends.Other) -> Friendship:
    return await views.get_friend(svc.store, svc.world, _me(viewer), ask.user_id)


@serves(friends.befriend)
async def befriend(svc: Friends, viewer: Viewer, ask: friends.Other) -> Friendship:
    return await actions.befriend(svc.store, svc.world, _me(viewer), ask.user_id)


@serves(friends.unfriend)
async def unfriend(svc: Friends, viewer: Viewer, ask: friends.Other) -> Nothing:
    await actions.unfriend(svc.store, _me(viewer), ask.user_id)
    return NOTHING


@serves(friends.friends_of)
async def friends_of(svc: Friends, viewer: Viewer, ask: friends.FriendsOf) -> Reply[People]:
    return await views.friends_of.read(svc, svc.world, viewer, ask)


@serves(friends.list_requests)
async def list_requests(svc: Friends, viewer: Viewer, ask: friends.RequestsAsk) -> Reply[People]:
    return await views.requests.read(svc, svc.world, viewer, ask)


@serves(friends.drop_request)
async def drop_request(svc: Friends, viewer: Viewer, ask: friends.Other) -> Nothing:
    await actions.drop_request(svc.store, _me(viewer), ask.user_id)
    return NOTHING


# Blocks and mutes.


@serves(friends.list_blocks)
async def list_blocks(svc: Friends, viewer: Viewer, ask: friends.PageAsk) -> Reply[People]:
    return await views.blocks.read(svc, svc.world, viewer, ask)


@serves(friends.block)
async def block(svc: Friends, viewer: Viewer, ask: friends.Other) -> Nothing:
    await actions.block(svc.store, svc.world, _me(viewer), ask.user_id)
    return NOTHING


@serves(friends.unblock)
async def unblock(svc: Friends, viewer: Viewer, ask: friends.Other) -> Nothing:
    await actions.unblock(svc.store, _me(viewer), ask.user_id)
    return NOTHING


@serves(friends.list_mutes)
async def list_mutes(svc: Friends, viewer: Viewer, ask: friends.PageAsk) -> Reply[People]:
    return await views.mutes.read(svc, svc.world, viewer, ask)


@serves(friends.mute)
async def mute(svc: Friends, viewer: Viewer, ask: friends.Other) -> Nothing:
    await actions.mute(svc.store, svc.world, _me(viewer), ask.user_id)
    return NOTHING


@serves(friends.unmute)
async def unmute(svc: Friends, viewer: Viewer, ask: friends.Other) -> Nothing:
    await actions.unmute(svc.store, _me(viewer), ask.user_id)
    return NOTHING


def _me(viewer: Viewer) -> UserId:
    return UserId(viewer.known)

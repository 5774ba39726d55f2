"""Deleting an account, all or nothing over the services: begun and decided here, promised and made by others."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from tidings.contracts import friends, messages
from tidings.contracts.users import (
    Branch,
    Deletion,
    DeletionAborted,
    Gid,
    Removal,
    UserId,
    Vote,
    make_invite,
    removed,
)
from tidings.contracts.users import sign_up as sign_up_route
from tidings.platform.clock import now_ms
from tidings.platform.contract import Call, Nothing, Reply, Unavailable
from tidings.platform.request import Request, Viewer
from tidings.platform.twophase.coordinator import Coordinator, Peer
from tidings.platform.twophase.failpoints import Failpoints
from tidings.platform.twophase.transaction import BranchState, new_gid
from tidings.platform.world import World
from tidings.services.users.actions.accounts import check_another_administrator
from tidings.services.users.actions.writing import audit, audited, happened, no_such_person
from tidings.services.users.codes import Codes
from tidings.services.users.rules import HANDLE_RESERVED, at
from tidings.services.users.store.port import UsersStore
from tidings.services.users.views import deletion_state

SERVICE = "users"
TELL_SECONDS = 2.0  # for a participant to commit or abort


@dataclass(frozen=True, slots=True)
class ServicePeer:
    """A participant of a deletion, asked by the calls of its contract on behalf of whom it concerns."""

    world: World
    prepare_call: Call[Removal, Vote]
    commit_call: Call[Removal, Branch]
    abort_call: Call[Removal, Branch]

    async def prepare(self, gid: str, subject: UUID, *, seconds: float) -> bool:
        vote: Vote = await self._ask(self.prepare_call, gid, subject, seconds)
        return vote.yes

    async def commit(self, gid: str, subject: UUID) -> BranchState:
        branch: Branch = await self._ask(self.commit_call, gid, subject, TELL_SECONDS)
        return branch.state

    async def abort(self, gid: str, subject: UUID) -> BranchState:
        branch: Branch = await self._ask(self.abort_call, gid, subject, TELL_SECONDS)
        return branch.state

    async def _ask(self, call: Call[Removal, Any], gid: str, subject: UUID, seconds: float) -> Any:
        viewer = Viewer(user_id=subject, role="member")
        request = Request(viewer=viewer, caller=SERVICE, deadline=time.monotonic() + seconds)
        return await self.world.call(call, Removal(gid=gid, user_id=UserId(subject)), request=request)


def participants(world: World) -> Mapping[str, Peer]:
    """Who takes part in a deletion, in the order in which they prepare."""
    return {
        "friends": ServicePeer(world, friends.prepare_removal, friends.commit_removal, friends.abort_removal),
        "messages": ServicePeer(world, messages.prepare_removal, messages.commit_removal, messages.abort_removal),
    }


async def delete(
    store: UsersStore,
    coordinator: Coordinator,
    codes: Codes,
    failpoints: Failpoints,
    viewer: Viewer,
    user_id: UserId,
    *,
    deadline: float,
    answer_after: float,
) -> Reply[Any]:
    """Delete an account. One's own; an administrator deletes others' too.

    Once it is begun it goes on without us: after `answer_after` seconds the reply is 202 and an address that tells.
    Raises `NotFound` for what is not there and for what a member may not delete, `LastAdministrator`,
    `DeletionAborted`.
    """
    if viewer.user_id != user_id and viewer.role != "administrator":
        audit.warning("refused", action="delete", actor=str(viewer.user_id), subject=str(user_id))
        raise no_such_person()
    gid, is_new = await _begin(store, failpoints, user_id, coordinator.participants, seconds=deadline)
    if is_new:
        coordinator.start(gid, user_id, partial(_decide, store, codes, failpoints, viewer, user_id))
    ended = await coordinator.wait(gid, seconds=answer_after)
    if ended.outcome == "ABORT":
        raise ended.refusal or DeletionAborted(
            "Not everybody could take part now, so nothing was deleted. Try again.", retry_after=1, service=SERVICE
        )
    if ended.finished:
        return Reply(Nothing())
    return Reply(Deletion(state=deletion_state(ended.outcome)), status=202, location=f"/v1/deletions/{gid}")


async def erase_answers(store: UsersStore, user_id: UUID) -> None:
    """Answers that are kept under Idempotency-Keys: those of the person, and that of their sign-up."""
    await store.erase_answers(
        UserId(user_id), own=f"{make_invite.name} {user_id}", naming=f"{sign_up_route.name} anyone"
    )


async def _begin(
    store: UsersStore, failpoints: Failpoints, user_id: UserId, names: tuple[str, ...], *, seconds: float
) -> tuple[Gid, bool]:
    """The log row is durable when this returns. One that is under way already is joined."""
    async with store.coordinating() as write:
        fences = await write.fence([user_id])
        account = (await write.by_ids([user_id])).get(user_id)
        if fences[user_id].state != "live" or account is None:
            raise no_such_person()
        under_way = await write.unfinished_deletion(user_id)
        if under_way is not None:
            return under_way.gid, False
        await check_another_administrator(write, account)
        gid = new_gid()
        await write.begin_deletion(gid, user_id, names, seconds=seconds)
        if await failpoints.reach("cp0") == "drop_request":
            raise _lost()
    return gid, True


async def _decide(
    store: UsersStore, codes: Codes, failpoints: Failpoints, viewer: Viewer, user_id: UserId, gid: str
) -> bool:
    """The commit point: decision and tombstone are one local commit. False, or a refusal: nothing was decided."""
    async with store.coordinating() as write:
        await write.fence([user_id])
        account = (await write.by_ids([user_id])).get(user_id)
        if account is None:
            raise no_such_person()
        await check_another_administrator(write, account)
        if not await write.decide_deletion(gid):
            return False
        version = await happened(write, removed, user_id, avatar=None)
        until = at(now_ms()) + HANDLE_RESERVED
        await write.erase(user_id, version, reserve=codes.handle(account.handle), until=until)
        verdict = await failpoints.reach("cp6")
        if verdict == "drop_request":
            raise _lost()
    if verdict == "drop_reply":
        raise _lost()
    if viewer.user_id != user_id:
        audited(viewer, "deleted", user_id)
    return True


def _lost() -> Unavailable:
    return Unavailable("users cannot reach its database. Try again.", service=SERVICE, retry_after=1)

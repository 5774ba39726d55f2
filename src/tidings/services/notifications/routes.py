"""Each call and route of the contract, and the action or view that answers it."""

from __future__ import annotations

from tidings.contracts import notifications as contract
from tidings.contracts.users import UserId
from tidings.platform.clock import now_ms, rfc3339
from tidings.platform.contract import Forbidden, Nothing, Reply
from tidings.platform.export import ExportAsk, ExportPage
from tidings.platform.occurrence import DeadLetters, EventId, Replay
from tidings.platform.request import Viewer
from tidings.platform.service import serves
from tidings.services.notifications import actions, views
from tidings.services.notifications import export as export_
from tidings.services.notifications.holder import Notifications


@serves(contract.list_notifications)
async def list_notifications(
    svc: Notifications, viewer: Viewer, ask: contract.NotificationsAsk
) -> Reply[contract.Notifications]:
    return await views.notifications.read(svc, svc.world, viewer, ask)


@serves(contract.mark_read)
async def mark_read(svc: Notifications, viewer: Viewer, ask: contract.MarkRead) -> contract.ReadMark:
    wanted = int(ask.body.read_until.timestamp() * 1000)
    read_ms = await actions.mark_read(svc.store, UserId(viewer.known), min(wanted, now_ms()))
    return contract.ReadMark(read_until=rfc3339(read_ms))


@serves(contract.unread)
async def unread(svc: Notifications, viewer: Viewer, ask: Nothing) -> contract.Unread:
    return contract.Unread(unread=await svc.store.unread(UserId(viewer.known)))


@serves(contract.export)
async def export(svc: Notifications, viewer: Viewer, ask: ExportAsk) -> ExportPage:
    return await export_.part(svc, viewer, ask)


# The operator at the command line.


@serves(contract.dead_letters)
async def dead_letters(svc: Notifications, viewer: Viewer, ask: Nothing) -> DeadLetters:
    _check_operator(viewer)
    return await svc.mailroom.letters()


@serves(contract.replay_event)
async def replay_event(svc: Notifications, viewer: Viewer, ask: EventId) -> Replay:
    _check_operator(viewer)
    return await svc.mailroom.replay(ask.id)


def _check_operator(viewer: Viewer) -> None:
    if viewer.role != "operator":
        raise Forbidden("Only the operator looks after events.")

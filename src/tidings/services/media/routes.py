"""media's calls and routes, each with the view or action that answers it."""

from __future__ import annotations

from tidings.contracts import media as contract
from tidings.contracts.messages import MediaId
from tidings.contracts.users import UserId
from tidings.platform.contract import Nothing, Reply, Uploaded, UploadPart
from tidings.platform.export import ExportAsk, ExportPage
from tidings.platform.occurrence import DeadLetters, EventId, Replay
from tidings.platform.request import Viewer
from tidings.platform.service import serves
from tidings.services.media import export as export_
from tidings.services.media import rules, views
from tidings.services.media.actions import upkeep, uploading, using
from tidings.services.media.holder import Media

NOTHING = Nothing()


@serves(contract.begin_upload)
async def begin_upload(svc: Media, viewer: Viewer, ask: Nothing) -> Uploaded:
    return await uploading.begin(svc, viewer)


@serves(contract.add_part)
async def add_part(svc: Media, viewer: Viewer, ask: UploadPart) -> Nothing:
    await uploading.add_part(svc, viewer, ask)
    return NOTHING


@serves(contract.give_back)
async def give_back(svc: Media, viewer: Viewer, ask: Uploaded) -> Nothing:
    await uploading.give_back(svc, viewer, ask)
    return NOTHING


@serves(contract.hold)
async def hold(svc: Media, viewer: Viewer, ask: contract.OwnMedia) -> dict[MediaId, contract.Attachable]:
    return await using.hold(svc, viewer, ask)


@serves(contract.export)
async def export(svc: Media, viewer: Viewer, ask: ExportAsk) -> ExportPage:
    return await export_.part(svc, UserId(viewer.known), ask)


# The operator at the command line.


@serves(contract.usage)
async def usage(svc: Media, viewer: Viewer, ask: contract.UsageAsk) -> contract.Usage:
    rules.check_operator(viewer)
    return await views.usage(svc, ask)


@serves(contract.prune)
async def prune(svc: Media, viewer: Viewer, ask: contract.PruneAsk) -> contract.Pruned:
    rules.check_operator(viewer)
    return await upkeep.prune(svc, ask)


@serves(contract.dead_letters)
async def dead_letters(svc: Media, viewer: Viewer, ask: Nothing) -> DeadLetters:
    rules.check_operator(viewer)
    return await svc.mailroom.letters()


@serves(contract.replay_event)
async def replay_event(svc: Media, viewer: Viewer, ask: EventId) -> Replay:
    rules.check_operator(viewer)
    return await svc.mailroom.replay(ask.id)


# In public.


@serves(contract.upload)
async def upload(svc: Media, viewer: Viewer, ask: contract.UploadAsk) -> Reply[contract.Picture]:
    return await uploading.upload(svc, viewer, ask)


@serves(contract.list_media)
async def list_media(svc: Media, viewer: Viewer, ask: contract.ListMedia) -> Reply[contract.Pictures]:
    return await views.listed(svc, viewer, ask)


@serves(contract.get_media)
async def get_media(svc: Media, viewer: Viewer, ask: contract.OneMedia) -> contract.Picture:
    return await views.one(svc, viewer, ask.media_id)


@serves(contract.patch_media)
async def patch_media(svc: Media, viewer: Viewer, ask: contract.PatchMedia) -> contract.Picture:
    return await using.describe(svc, viewer, ask)


@serves(contract.delete_media)
async def delete_media(svc: Media, viewer: Viewer, ask: contract.OneMedia) -> Nothing:
    await using.delete(svc, viewer, ask.media_id)
    return NOTHING


@serves(contract.get_blob)
async def get_blob(svc: Media, viewer: Viewer, ask: contract.OneBlob) -> Reply[bytes]:
    return await views.blob(svc, viewer, ask)

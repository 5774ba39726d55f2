"""An upload: begun, sent in parts, complete, and developed into what is kept."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Final, get_args

from tidings.contracts import media as contract
from tidings.contracts.media import MediaFull, NotAPicture, Picture, PictureTooLarge, Variant
from tidings.contracts.messages import MediaId
from tidings.contracts.users import UserId
from tidings.platform import logs
from tidings.platform.clock import now_ms
from tidings.platform.contract import NotFound, Refusal, Reply, Unauthenticated, Unavailable, Uploaded, UploadPart
from tidings.platform.ids import uuid7
from tidings.platform.request import Request, Viewer, answering
from tidings.platform.service import Replayed
from tidings.services.media import rules
from tidings.services.media.developing import Developed as Prints
from tidings.services.media.holder import Media
from tidings.services.media.shapes import Developed, Row

log = logs.get_logger("media")

BETWEEN_PARTS: Final = 600.0  # seconds; a client that is silent for longer has given up
AT_WORK: Final = 120.0  # seconds; after which another instance takes it over
REFUSED_FOR: Final = 3600.0  # seconds for which its owner is told what was wrong
ANSWER_AFTER: Final = 10.0  # seconds; what takes longer goes on, and is asked for
BACKGROUND: Final = 300.0  # seconds
VARIANTS: Final = get_args(Variant)


async def begin(svc: Media, viewer: Viewer) -> Uploaded:
    """Room for a file of the viewer's own. Raises `MediaFull` and `Busy`."""
    me, media_id = UserId(viewer.known), MediaId(uuid7(now_ms()))
    async with svc.store.write() as write:
        if (await write.fence([me]))[me].state != "live":
            raise Unauthenticated("This account is no longer here.")
        rules.check_room(await write.taken(me), quota=svc.settings.media_quota)
        await write.begin(media_id, me, seconds=BETWEEN_PARTS)
    return Uploaded(id=media_id)


async def add_part(svc: Media, viewer: Viewer, ask: UploadPart) -> None:
    """Keep a piece. `NotFound` where no such upload of the viewer's is under way, or no more."""
    me, media_id = UserId(viewer.known), MediaId(ask.id)
    rules.check_part(ask.number, len(ask.data), most=svc.settings.max_upload)
    await _touch(svc, media_id, me)
    await svc.pictures.put_part(media_id, ask.number, ask.data)
    try:
        # Whoever deletes the upload deletes what is there: a piece that came after that would stay for good.
        await _touch(svc, media_id, me)
    except NotFound:
        if not await svc.store.own(me, [media_id]):
            await svc.pictures.drop_parts(media_id)
            raise


async def _touch(svc: Media, media_id: MediaId, owner_id: UserId) -> None:
    async with svc.store.write() as write:
        if not await write.touch(media_id, owner_id, seconds=BETWEEN_PARTS):
            raise NotFound("This upload is no longer under way. Begin again.")


async def upload(svc: Media, viewer: Viewer, ask: contract.UploadAsk) -> Reply[Picture]:
    """All parts have come. The picture, or what is wrong with it; 202 where it takes longer than a person waits."""
    me, came = UserId(viewer.known), ask.upload
    media_id = MediaId(came.id)
    try:
        await svc.store.recall()
    except Replayed:  # what came again is of no use
        await give_back(svc, viewer, came)
        raise
    rules.check_parts(came.parts, came.size, most=svc.settings.max_upload)
    async with svc.store.write() as write:
        live = (await write.fence([me]))[me].state == "live"
        row = await write.complete(media_id, me, alt=ask.body.alt, parts=came.parts, seconds=AT_WORK)
        if not live or row is None:
            raise NotFound("This upload is no longer under way. Begin again.")
        later = Reply(rules.as_picture(row), status=202, location=f"/v1/media/{media_id}")
        write.answers(contract.upload, later)
    developing = develop_soon(svc, row)
    await asyncio.wait({developing}, timeout=ANSWER_AFTER)
    if not developing.done():
        return later
    if developing.cancelled():
        raise _deleted()
    refusal = developing.result()
    if isinstance(refusal, Unavailable):  # it goes on when its store is back
        return later
    if refusal is not None:
        raise refusal
    rows = await svc.store.own(me, [media_id])
    if media_id not in rows:
        raise _deleted()
    return Reply(rules.as_picture(rows[media_id]), location=f"/v1/media/{media_id}")


async def give_back(svc: Media, viewer: Viewer, begun: Uploaded) -> None:
    """An upload that comes to nothing. One that is complete, or is over, stays as it is."""
    request = Request(viewer, caller="media", deadline=time.monotonic() + BACKGROUND)
    with answering(request):  # without the key of the request that it came with
        async with svc.store.write() as write:
            if await write.touch(MediaId(begun.id), UserId(viewer.known), seconds=0):
                await write.leave(MediaId(begun.id), UserId(viewer.known))
    svc.collect_soon.set()


def _deleted() -> NotFound:
    return NotFound("This picture was deleted meanwhile.")


def develop_soon(svc: Media, row: Row) -> asyncio.Task[Refusal | None]:
    """Develop it beside the request, which may end first. What was wrong with it, if anything was."""
    running = svc.developing.get(row.id)
    if running is None:
        running = svc.developing[row.id] = asyncio.create_task(_develop(svc, row), name=f"develop {row.id}")
        running.add_done_callback(lambda task: _over(svc, row, task))
    return running


def _over(svc: Media, row: Row, task: asyncio.Task[Refusal | None]) -> None:
    svc.developing.pop(row.id, None)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("developing_failed", media_id=str(row.id), error=repr(error)[:1000])


async def _develop(svc: Media, row: Row) -> Refusal | None:
    """Of the parts of an upload make the forms that are kept. What it was refused for, or why it has to wait."""
    request = Request(Viewer(row.owner_id, "member"), caller="media", deadline=time.monotonic() + BACKGROUND)
    with answering(request):
        try:
            # Few at a time: each takes room on the disk from here on. Its time begins when its turn has come.
            async with svc.turns:
                async with svc.store.write() as write:
                    if not await write.start(row.id, seconds=AT_WORK):
                        return _deleted()
                async with _folder(svc.work) as folder:
                    await _gather(svc, row, folder / "upload")
                    made = await svc.darkroom.develop(folder / "upload", folder)
                    await _keep(svc, row, folder, made)
        except (NotAPicture, PictureTooLarge, MediaFull) as refusal:
            async with svc.store.write() as write:
                await write.refuse(row.id, refusal.detail, seconds=REFUSED_FOR)
            await drop_parts(svc, row.id)
            return refusal
        except (Refusal, OSError) as error:  # a store is away, or the disk is full: it is tried again, and again
            log.warning("not_developed", media_id=str(row.id), error=repr(error)[:500])
            with suppress(Refusal):
                async with svc.store.write() as write:
                    await write.not_tried(row.id)
            return Unavailable("This picture cannot be kept now. It will be.", service="media", retry_after=5)
        await drop_parts(svc, row.id)
    return None


@asynccontextmanager
async def _folder(work: Path) -> AsyncIterator[Path]:
    folder = Path(await asyncio.to_thread(mkdtemp, dir=work))
    try:
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _gather(svc: Media, row: Row, file: Path) -> None:
    """The parts in one file, a part at a time in memory."""
    for number in range(row.parts):
        content = await svc.pictures.part(row.id, number)
        if content is None:
            raise Unavailable("A part of this upload has not come. Try again.", service="media", retry_after=1)
        await asyncio.to_thread(_append, file, content)


def _append(file: Path, content: bytes) -> None:
    with file.open("ab") as out:
        out.write(content)


async def _keep(svc: Media, row: Row, folder: Path, made: Prints) -> None:
    """Put the forms where they stay, and say so: in this order, so that whatever is ready is there."""
    size = sum(made.bytes.values())
    async with svc.store.write() as write:
        taken = await write.taken(row.owner_id)
    if taken.bytes + size > svc.settings.media_quota:
        raise rules.full(svc.settings.media_quota)
    for variant in VARIANTS:
        content = await asyncio.to_thread((folder / f"{variant}.webp").read_bytes)
        await svc.pictures.put(row.id, variant, content)
    developed = Developed(made.width, made.height, made.animated, made.blurhash, size)
    async with svc.store.write() as write:
        ready = await write.develop(row.id, developed, seconds=svc.settings.unused_hours * 3600)
    if not ready and not await svc.store.own(row.owner_id, [row.id]):  # deleted meanwhile
        await svc.pictures.drop(row.id)


async def drop_parts(svc: Media, media_id: MediaId) -> None:
    """The file as it came is not kept: it may say where it was taken."""
    try:
        await svc.pictures.drop_parts(media_id)
        async with svc.store.write() as write:
            await write.without_parts([media_id])
    except Refusal as refusal:  # the next look does it
        log.warning("parts_not_deleted", media_id=str(media_id), why=refusal.detail)

"""What nobody asks for and somebody has to do: go on with uploads that were left, delete what nothing shows.

Whatever leaves is marked in the database first, under its row's lock, and its blobs are deleted after that: no
reader finds half of it, and what a crash leaves undone is still marked.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import UUID

from tidings.contracts.media import PruneAsk, Pruned
from tidings.contracts.messages import MediaId
from tidings.platform import logs
from tidings.platform.contract import Refusal
from tidings.platform.request import current
from tidings.services.media.actions.uploading import AT_WORK, REFUSED_FOR, develop_soon, drop_parts
from tidings.services.media.holder import Media

log = logs.get_logger("media")

BATCH: Final = 100
MOST_TRIES: Final = 3
AGAIN_AFTER: Final = 900.0  # seconds; by then whoever was still writing to it has ended
SCANNED: Final = 1000  # folders of one look at the blobs
WITHDRAWN_DAYS: Final = 30  # for which an event may be late
AT_A_TIME: Final = 8  # pictures whose blobs are deleted
# Seconds. A folder's time stands still while a slow bucket's parts are gathered in it: what lives is not swept.
LEFT_BEHIND: Final = 900.0
TIME_LEFT: Final = 10.0  # seconds


async def look(svc: Media) -> int:
    """One look, at as much as there is; how many pictures were marked."""
    await asyncio.to_thread(_sweep, svc.work)
    due = await svc.store.due(again_after=AGAIN_AFTER)
    if due.at_work:
        await _go_on(svc)
    if due.parts:
        for media_id in await svc.store.with_parts(BATCH):
            if media_id not in svc.developing:
                await drop_parts(svc, media_id)
    marked = await _mark(svc) if due.unused else 0
    if due.leaving or marked:
        while await _empty(svc):
            await asyncio.sleep(0)
    return marked


async def prune(svc: Media, ask: PruneAsk) -> Pruned:
    """All that is due, and blobs that belong to nothing: what a restored database does not know of, say."""
    pictures = await look(svc) if not ask.after else 0
    strays, after = 0, ask.after
    while folders := await svc.pictures.ids(after, SCANNED):
        ids = {name: media_id for name in folders if (media_id := _id_in(name)) is not None}
        known = await svc.store.known(list(ids.values()))
        for name, media_id in ids.items():
            if media_id not in known:  # there is a row before there is a blob, so this is nobody's
                strays += await svc.pictures.drop(name)
        after = folders[-1]
        if current().remaining() < TIME_LEFT:
            return Pruned(pictures=pictures, strays=strays, after=after)
    return Pruned(pictures=pictures, strays=strays)


async def _go_on(svc: Media) -> None:
    """Take over what was at work when its process ended. What fails again and again is refused."""
    async with svc.store.write() as write:
        rows = await write.take_over(seconds=AT_WORK, limit=4)
    for row in rows:
        if row.id in svc.developing:  # its turn has not come
            continue
        if row.tries >= MOST_TRIES:
            async with svc.store.write() as write:
                await write.refuse(row.id, "This picture could not be read.", seconds=REFUSED_FOR)
        else:
            log.info("taken_over", media_id=str(row.id), tries=row.tries)
            develop_soon(svc, row)


async def _mark(svc: Media) -> int:
    """Mark what nothing shows and nobody holds. Not while an event is set aside: it may say that something does."""
    if (await svc.mailroom.letters()).letters:
        log.warning("not_collecting", why="events are set aside: see `tidings events list`")
        return 0
    marked = 0
    while True:
        async with svc.store.write() as write:
            left = await write.leave_unused(BATCH)
        marked += len(left)
        if len(left) < BATCH:
            return marked


async def _empty(svc: Media) -> bool:
    """Delete the blobs of what is marked: at once, and again when nobody can be writing to it any more."""
    leaving = await svc.store.leaving(again_after=AGAIN_AFTER, limit=BATCH)
    room = asyncio.Semaphore(AT_A_TIME)

    async def dropped(media_id: MediaId) -> bool:
        async with room:
            try:
                await svc.pictures.drop(media_id)
            except Refusal as refusal:  # one that cannot be deleted now keeps no other waiting
                log.warning("not_deleted", media_id=str(media_id), why=refusal.detail)
                return False
        return True

    outcomes = await asyncio.gather(*(dropped(media_id) for media_id in leaving))
    gone = {one: last for (one, last), done in zip(leaving.items(), outcomes, strict=True) if done}
    async with svc.store.write() as write:
        await write.emptied([media_id for media_id, last in gone.items() if not last])
        await write.forget([media_id for media_id, last in gone.items() if last])
        await write.forget_withdrawn(days=WITHDRAWN_DAYS)
    return len(gone) == BATCH


def _sweep(work: Path) -> None:
    """What a process left at work that was ended: it is somebody's file as it came."""
    for left in work.iterdir():
        with suppress(FileNotFoundError):  # its owner was quicker
            if time.time() - left.stat().st_mtime > LEFT_BEHIND:
                shutil.rmtree(left, ignore_errors=True)


def _id_in(name: str) -> MediaId | None:
    """The id that a folder is named by; None for what is none of ours."""
    try:
        media_id = MediaId(UUID(name))
    except ValueError:
        return None
    return media_id if str(media_id) == name else None

"""Everything that is kept about one person, asked of every service page by page, as one ZIP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from tempfile import SpooledTemporaryFile
from typing import IO, Final
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from tidings.contracts.users import ExportOfMe, ExportTooLarge, UserId
from tidings.platform import logs
from tidings.platform.contract import Busy, NotFound, Reply
from tidings.platform.export import BLOBS, LAST_MS, Export, ExportAsk, ExportPage
from tidings.platform.request import Viewer, current
from tidings.services.users.holder import Users

audit = logs.get_logger("audit")

IN_MEMORY: Final = 1_048_576  # bytes; what is larger waits on disk, in a file without a name
TIME_LEFT: Final = 5.0  # seconds; to send what was made
BLOBS_AT_ONCE: Final = 4  # whole files, in memory

README: Final = """\
What this Tidings server keeps about @{handle}{narrowed}.

Files that end in .json are JSON in UTF-8: a list of entries. Times are UTC. People and messages are named by their
ids, people also by their handles where they are still here. Places are as exact as you chose to tell them.

{files}

What is not in here:
- Your password, the tokens of your sessions, and the codes of invites and links: they are secrets, and are not
  kept but in a form from which they cannot be had back.
- What other people wrote, also to you: it is theirs, and in their archives. Who has blocked or muted you.
- The picture that others see where you have chosen none of your own: it is drawn from your id.
- What the services need among themselves: counters, search entries made from your name, and for some days notes
  of what was done (ids, and copies of answers that you got). They say nothing that these files do not, but for
  what you deleted meanwhile.
"""


async def of_oneself(svc: Users, viewer: Viewer, ask: ExportOfMe) -> Reply[bytes]:
    """The archive; the same data give the same bytes.

    Raises `NotFound` for anybody else's, `ExportTooLarge`, `Busy` while it is being made already, and `Unavailable`
    of the first service that can't be reached: there is no half archive.
    """
    me = UserId(viewer.known)
    account = (await svc.store.by_ids([me])).get(me) if ask.user_id == me else None
    if account is None:
        raise NotFound("There is no such person here.")
    async with _turn(svc, me):
        with SpooledTemporaryFile(IN_MEMORY) as spool:
            with ZipFile(spool, "w", ZIP_DEFLATED) as archive:
                _add(archive, "README.txt", _readme(svc, account.handle, ask))
                for export in svc.exports:
                    for file in export.files:
                        await _write(svc, ask, export, file, archive, spool)
                    if export.blobs:
                        await _write_blobs(svc, ask, export, archive, spool)
            _check_size(svc, spool)
            spool.seek(0)
            whole = spool.read()
    audit.info("exported", actor=str(me), subject=str(me))
    return Reply(whole, attachment=f"tidings-{account.handle}.zip")


@asynccontextmanager
async def _turn(svc: Users, me: UserId) -> AsyncIterator[None]:
    """One archive of a person at a time, and few in all."""
    if me in svc.exporting:
        raise Busy("Your archive is being made already. Wait for it.", retry_after=10, service="users")
    svc.exporting.add(me)
    try:
        async with svc.archives:
            yield
    finally:
        svc.exporting.discard(me)


async def _write(
    svc: Users, ask: ExportOfMe, export: Export, file: str, archive: ZipFile, spool: IO[bytes]
) -> None:
    """One file: page after page, as a list."""
    since_ms, until_ms = _span(ask)
    after: str | None = ""
    begun = False
    with archive.open(_entry(f"{export.service}/{file}"), "w") as out:
        while after is not None:
            asked = ExportAsk(file=file, after=after, since_ms=since_ms, until_ms=until_ms)
            page = await _page(svc, export, asked)
            if page.entries:
                text = b",\n".join(bytes(one) for one in page.entries)
                # Compressing takes its time: the loop goes on with others meanwhile.
                await asyncio.to_thread(out.write, (b",\n" if begun else b"[\n") + text)
                begun = True
            _check_size(svc, spool)
            after = page.after
        out.write(b"\n]\n" if begun else b"[]\n")


async def _write_blobs(svc: Users, ask: ExportOfMe, export: Export, archive: ZipFile, spool: IO[bytes]) -> None:
    """The whole files, a few at a time, each as it is: they are compressed already."""
    since_ms, until_ms = _span(ask)
    after: str | None = ""
    while after is not None:
        asked = ExportAsk(file=BLOBS, after=after, limit=BLOBS_AT_ONCE, since_ms=since_ms, until_ms=until_ms)
        page = await _page(svc, export, asked)
        for blob in page.blobs:
            with archive.open(_entry(f"{export.service}/{blob.name}", ZIP_STORED), "w") as out:
                await asyncio.to_thread(out.write, blob.content)
            _check_size(svc, spool)
        after = page.after


async def _page(svc: Users, export: Export, asked: ExportAsk) -> ExportPage:
    """One page, if there is time for it."""
    if current().remaining() < TIME_LEFT:
        raise _too_large(svc)
    return await svc.world.call(export, asked)


def _add(archive: ZipFile, name: str, text: str) -> None:
    with archive.open(_entry(name), "w") as out:
        out.write(text.encode())


def _entry(name: str, compression: int = ZIP_DEFLATED) -> ZipInfo:
    """Without the time of day: an archive that is asked for again has the same ETag if nothing has changed."""
    entry = ZipInfo(name)
    entry.compress_type = compression
    entry.external_attr = 0o600 << 16
    return entry


def _readme(svc: Users, handle: str, ask: ExportOfMe) -> str:
    narrowed = ""
    if ask.since is not None or ask.until is not None:
        since, until = (one.isoformat() if one else "..." for one in (ask.since, ask.until))
        narrowed = f",\nof messages, replies, reactions and pictures only those from {since} to before {until}"
    files = [f"{export.service}/{file}: {holds}." for export in svc.exports for file, holds in export.files.items()]
    files += [f"all else in {export.service}/: {export.blobs}." for export in svc.exports if export.blobs]
    return README.format(handle=handle, narrowed=narrowed, files="\n".join(files))


def _span(ask: ExportOfMe) -> tuple[int, int]:
    return (0 if ask.since is None else _ms(ask.since), LAST_MS if ask.until is None else _ms(ask.until))


def _ms(moment: datetime) -> int:
    return min(max(0, round(moment.timestamp() * 1000)), LAST_MS)


def _check_size(svc: Users, spool: IO[bytes]) -> None:
    if spool.tell() > svc.settings.max_export:
        raise _too_large(svc)


def _too_large(svc: Users) -> ExportTooLarge:
    most = svc.settings.max_export / 1_048_576
    return ExportTooLarge(
        f"This is more than one archive may hold ({most:g} MiB), or than can be put together in time. Ask for "
        "it in parts: `since` and `until` narrow messages, replies, reactions and pictures to what lies between "
        "them."
    )

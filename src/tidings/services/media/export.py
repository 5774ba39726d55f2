"""media's part of an export: what is kept of each picture, and the pictures themselves."""

from __future__ import annotations

from uuid import UUID

from tidings.contracts.users import UserId
from tidings.platform.export import BLOBS, ExportAsk, ExportBlob, ExportPage, page_of, place_in
from tidings.platform.ids import first_of
from tidings.services.media import rules
from tidings.services.media.holder import Media
from tidings.services.media.shapes import Row


async def part(svc: Media, me: UserId, ask: ExportAsk) -> ExportPage:
    """A page of one of the contract's files, or of pictures."""
    after = place_in(ask, UUID, first_of(ask.since_ms))
    rows = await svc.store.after(me, after=after, until=first_of(ask.until_ms), limit=ask.limit)
    page = page_of(rows, ask, shown=rules.as_picture, place=_place)
    if ask.file == "media.json":
        return page
    if ask.file != BLOBS:
        raise LookupError(f"media has no file {ask.file!r}")
    blobs = [
        ExportBlob(name=f"{row.id}.webp", content=content)
        for row in rows
        if (content := await svc.pictures.get(row.id, "full")) is not None  # deleted meanwhile
    ]
    return ExportPage(blobs=blobs, after=page.after)


def _place(row: Row) -> UUID:
    return row.id

"""What `tidings doctor` says of pictures: asked of media, which alone may open the place where they are."""

from __future__ import annotations

import asyncio
from typing import Final

from tidings.cli.findings import Engine, Finding, State
from tidings.cli.operator import operator
from tidings.cli.options import Problem
from tidings.contracts import media
from tidings.contracts.media import UsageAsk
from tidings.platform.contract import Refusal
from tidings.platform.data_directory import StartRefused
from tidings.platform.settings import Settings
from tidings.platform.topology import FILES

LINK: Final = "blobs media"
PATIENCE: Final = 3.0  # seconds
MEND: Final = {
    "files": "Let the user that Tidings runs as write in that folder; the log of media says more.",
    "S3": "Start that S3 server, or correct [services.media] `blobs` in the topology; the log of media says more.",
}


async def about_blobs(place: str, settings: Settings, *, reaches: bool | None) -> Finding:
    """`place` is what the server says of it, without passwords; `reaches`: whether media does; None: it is late."""
    engine = Engine(name="files", where="embedded") if place == FILES else Engine(name="S3", where=place)
    if not reaches:
        state: State = "broken" if reaches is False else "warning"  # who is late may wait for something else
        said = "media cannot reach it: nothing is uploaded or shown"
        detail = said if reaches is False else "media does not say in time whether it reaches it"
        return Finding(link=LINK, state=state, detail=detail, mend=MEND[engine.name], engine=engine)
    try:
        async with asyncio.timeout(PATIENCE), operator(settings) as reached:
            kept = await reached.call(media.usage, UsageAsk(limit=1))
    except (Refusal, Problem, StartRefused, OSError, TimeoutError) as problem:
        why = getattr(problem, "detail", "") or str(problem) or "no answer in time"
        mend = "See the service and the database of media in this report."
        return Finding(link=LINK, state="warning", detail=f"not known: {why}", mend=mend, engine=engine)
    counted = f"{kept.pictures} picture{'' if kept.pictures == 1 else 's'}"
    leaving = f"; {kept.leaving} being deleted" if kept.leaving else ""
    engine = Engine(name=engine.name, where=engine.where, bytes=kept.bytes)
    return Finding(link=LINK, state="ok", detail=counted + leaving, engine=engine)

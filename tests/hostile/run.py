"""A storm of hostile files at a running server: what it answers, what it keeps, and how much memory that takes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import PurePath
from typing import Any, Final

import asyncpg
import psutil
from PIL import Image, UnidentifiedImageError

from tests.harness.people import Person
from tests.harness.pictures import opened
from tests.harness.system import Whole
from tests.harness.waiting import until
from tests.services.media.hostile import CANARY, Hostile

AT_ONCE: Final = 4
VARIANTS: Final = ("avatar-96", "avatar-400", "preview", "full")
REFUSALS: Final = {(415, "not_a_picture"), (422, "picture_too_large"), (400, "bad_request"), (422, "invalid")}
LONGEST: Final = 1000  # characters; what a header may have
BREAKS: Final = frozenset('\r\n\0"')  # what a file's name can break a form with
LOOK: Final = 0.05  # seconds between looks at memory
MB: Final = 1024 * 1024


@dataclass
class Report:
    """What came of it. `wrong` are sentences; memory is in MB: of the largest process of the server."""

    files: int = 0
    refused: int = 0
    cleaned: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    memory_before: float = 0.0
    memory_peak: float = 0.0
    child_peak: float = 0.0
    left_behind: int = 0
    seconds: float = 0.0

    def facts(self) -> dict[str, Any]:
        return asdict(self)


async def storm(tidings: Whole, files: Iterable[Hostile]) -> Report:
    """Send each, and look at what is kept of it; then at what is there that nobody owns."""
    report, began = Report(), time.monotonic()
    mallory = await tidings.joins("Mallory")
    await mallory.uploads()  # the first takes what every later one has
    watch = Watch(tidings.system.pids.values())
    report.memory_before = watch.now()
    waiting = iter(files)
    answers: Counter[str] = Counter()

    async def sender() -> None:
        for one in waiting:
            report.files += 1
            await _send(mallory, one, report, answers)

    async with watch:
        await asyncio.gather(*(sender() for _ in range(AT_ONCE)))
        report.memory_peak, report.child_peak = watch.peak, watch.child
    report.answers = dict(answers)
    report.left_behind = await _unowned(tidings)
    report.seconds = round(time.monotonic() - began, 1)
    return report


async def _send(mallory: Person, one: Hostile, report: Report, answers: Counter[str]) -> None:
    answer = await mallory.sends(one.content, name=one.name, type_=one.content_type)
    for _ in range(3):
        if answer.status != 503:
            break
        answers["503, sent again"] += 1  # a machine in use: it says so, and a client tries again
        await asyncio.sleep(1)
        answer = await mallory.sends(one.content, name=one.name, type_=one.content_type)
    if answer.status == 202:

        async def over() -> Any:
            told = (await mallory.get(answer.headers["location"])).ok()
            return told["state"] != "processing" and told

        told = await until(over, within=60, what=one.note)
        status, code = (201, "") if told["state"] == "ready" else (415, "not_a_picture")
        media_id = told["id"]
    else:
        status, code = answer.status, "" if answer.status == 201 else answer.body["code"]
        media_id = answer.body.get("id")
    answers[f"{status} {code}".strip()] += 1
    if status == 201:
        report.cleaned += 1
        if one.expect == "refused":
            report.wrong.append(f"{one.note}: kept, and should have been refused")
        report.wrong += [f"{one.note}: {why}" for why in await _looks_clean(mallory, media_id)]
        (await mallory.delete(f"/v1/media/{media_id}")).ok()
        return
    report.refused += 1
    if set(one.name) & BREAKS or len(one.name) > LONGEST:
        return  # it breaks the form, or what comes after it is the file
    if one.expect == "cleaned":
        report.wrong.append(f"{one.note}: refused as {status} {code}, and is a picture")
    elif (status, code) not in REFUSALS or not answer.body.get("detail", answer.body.get("problem")):
        report.wrong.append(f"{one.note}: answered {status} {code}")


async def _looks_clean(mallory: Person, media_id: str) -> list[str]:
    """What is wrong with what is served."""
    found = []
    for variant in VARIANTS:
        served = await mallory.get(f"/v1/media/{media_id}/{variant}")
        try:
            image = opened(served.raw)
        except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
            found.append(f"{variant} cannot be read: {error!r}")
            continue
        if image.format != "WEBP" or len(image.getexif()) or "xmp" in image.info:
            found.append(f"{variant} has more in it than pixels")
        if CANARY in served.raw:
            found.append(f"{variant} holds what stood in the file beside its pixels")
    return found


async def _unowned(tidings: Whole) -> int:
    """Files that belong to no picture, once all is deleted that was marked, and parts of those that do."""
    connection = await asyncpg.connect(tidings.system.installation.dsns["media"])
    root = tidings.settings.data / "blobs" / "media"

    async def settled() -> bool:
        busy = await connection.fetchval("select count(*) from media where state = 'leaving' and tries = 0")
        return not busy

    try:
        await until(settled, within=60, what="the deletion of all that was marked")
        states = {str(row[0]): row[1] for row in await connection.fetch("select id, state from media")}
    finally:
        await connection.close()
    files = (one.relative_to(root) for one in root.rglob("*") if one.is_file())
    return sum(1 for one in files if not _is_owned(one, states.get(one.parts[0])))


def _is_owned(path: PurePath, state: str | None) -> bool:
    """Whether a picture in that state has such a file: an upload its parts, what is ready its four forms."""
    if state == "ready":
        return path.name in {f"{variant}.webp" for variant in VARIANTS}
    return state in ("uploading", "processing")


class Watch:
    """Looks at the memory of the server's processes again and again; and, apart from them, of what they start."""

    def __init__(self, pids: Iterable[int]) -> None:
        own = [psutil.Process(), *(psutil.Process(pid) for pid in pids)]
        self._own = [one for one in own if one.name().startswith(("tidings", "python"))]
        self.peak = self.child = 0.0
        self._task: asyncio.Task[None] | None = None

    def now(self) -> float:
        return round(max(one.memory_info().rss for one in self._own) / MB, 1)

    async def __aenter__(self) -> Watch:
        self._task = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()

    async def _look(self) -> None:
        while True:
            self.peak = max(self.peak, self.now())
            for one in self._own:
                for child in one.children():
                    try:
                        if "darkroom" in " ".join(child.cmdline()):
                            self.child = max(self.child, round(child.memory_info().rss / MB, 1))
                    except psutil.Error:
                        continue
            await asyncio.sleep(LOOK)

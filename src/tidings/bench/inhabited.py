"""Tidings with the people of a graph in it, all of them signed in, and pictures of those who post."""

from __future__ import annotations

import asyncio
import os
import random
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

import aiohttp
import msgspec

from tidings.bench import sides
from tidings.bench.crowd import PICTURES, Author, Crowd
from tidings.bench.runs import Failed
from tidings.bench.sides import Caller, Reach, Side
from tidings.contracts.media import Picture

SEED: Final = 7
AT_ONCE: Final = 8  # of what is done before the clock starts

Item = TypeVar("Item")
Done = TypeVar("Done")
Tell = Callable[[str], None]


@asynccontextmanager
async def filled(
    crowd: Crowd,
    folder: Path,
    reach: Reach,
    tell: Tell,
    *,
    posting: int,
    sheds: bool = False,
    options: Sequence[str] = (),
) -> AsyncIterator[tuple[Side, Caller, Author, list[str]]]:
    """Tidings with people, friendships, a session for each, and pictures of so many who post.

    The tokens are by number. `options` are those of `tidings up`.
    """
    data, town = folder / "tidings", crowd.town()
    everywhere = sorted(os.sched_getaffinity(0))
    async with sides.tidings("tidings", data, everywhere, *options, tokens={}, sheds=sheds) as side:
        tell(f"Importing {len(crowd.people):,} people and their friendships ...")
        await sides.fill_tidings(town, side, data, reach)
        async with reach(data) as operator:
            async with aiohttp.ClientSession(side.url) as session:
                tokens = await each(
                    crowd.people, lambda person: sides.signed_in(session, operator, town.handle(person))
                )
                tell("Uploading pictures ...")
                chance = random.Random(SEED)  # noqa: S311 - a load, not secrets
                writers = sorted(chance.sample(range(len(tokens)), posting))
                uploaded = await each(writers, lambda number: _upload(session, tokens[number], chance))
            pictures = dict(zip(writers, uploaded, strict=True))
            yield side, operator, Author(crowd, pictures, chance), tokens


async def _upload(session: aiohttp.ClientSession, token: str, chance: random.Random) -> list[Picture]:
    pictures = []
    for _ in range(PICTURES):
        form = aiohttp.FormData()
        form.add_field("file", png(chance.randbytes(3)), filename="small.png", content_type="image/png")
        async with session.post("/v1/media", data=form, headers=bearing(token)) as answer:
            picture = msgspec.json.decode(await answer.read(), type=Picture, strict=False)
        if picture.state != "ready":
            raise Failed(f"A picture that was uploaded is {picture.state}.")
        pictures.append(picture)
    return pictures


def png(colour: bytes, side: int = 16) -> bytes:
    """A square in one colour. https://www.w3.org/TR/png-3/"""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = (b"\0" + colour * side) * side
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


async def each(items: Sequence[Item], do: Callable[[Item], Awaitable[Done]]) -> list[Done]:
    """Do it with each, some at once; the results in the order of the items."""
    done: dict[int, Done] = {}
    left = iter(enumerate(items))

    async def one_after_another() -> None:
        for number, item in left:
            done[number] = await do(item)

    await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))
    return [done[number] for number in range(len(items))]


def bearing(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}

"""The naive client: no composite, so a timeline is the friend list, and two requests for each friend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec

from tidings.bench.monolith import PAGE, PATH
from tidings.bench.rounds import Turn
from tidings.bench.sides import NotTheSame, Side, body_of

READERS: Final = 4  # whose requests are made, in turn
FRIENDS: Final = "/v1/users/me/friends?limit=100"


@dataclass(frozen=True)
class Asked:
    """What one reader's timeline takes, in order, and what comes of it: author and message, newest first."""

    token: str
    paths: list[str]
    entries: list[tuple[str, str]]


async def asked_by(side: Side, token: str) -> Asked:
    """As such a client would: friends, and then each friend's profile and latest message."""
    paths: list[str] = []
    async with aiohttp.ClientSession(side.url, headers={"authorization": f"Bearer {token}"}) as session:

        async def get(path: str) -> Any:
            paths.append(path)
            async with session.get(path) as answer:
                answer.raise_for_status()
                return msgspec.json.decode(await answer.read())

        friends: list[str] = []
        more: str | None = ""
        while more is not None:
            page = await get(FRIENDS + (f"&cursor={more}" if more else ""))
            friends += [one["user"]["id"] for one in page["people"]]
            more = page.get("next_cursor")
        said = []
        for friend in friends:
            profile = await get(f"/v1/users/{friend}")
            found = (await get(f"/v1/messages?author={friend}&limit=1"))["messages"]
            said += [(one["message"]["id"], profile["id"]) for one in found]
    said.sort(reverse=True)
    return Asked(token, paths, [(author, message) for message, author in said[:PAGE]])


async def client_of(side: Side, degree: int, folder: Path) -> tuple[Side, int]:
    """Such a client of a side: for each of some readers all of their requests, and how many those are.

    Raises `NotTheSame` if what they come to is not the reader's timeline.
    """
    tokens = side.tokens[degree].read_text().split()[:READERS]
    asked = [await asked_by(side, token) for token in tokens]
    for reader, one in enumerate(asked):
        if one.entries != entries_of(await body_of(side, PATH, degree, reader)):
            raise NotTheSame(
                f"A naive client with {degree} friends puts together something else than the timeline."
            )
    file = folder / f"naive-{degree}.requests"
    file.write_text("".join(f"{one.token} {path}\n" for one in asked for path in one.paths))
    [each] = {len(one.paths) for one in asked}
    return Side("naive", side.url, {degree: file}, side.pid, names=side.names), each


def of_pages(turn: Turn, each: int) -> Turn:
    """A turn of requests as one of timelines, of so many requests each. How long one takes is not measured."""
    return Turn(
        turn.per_second / each,
        0.0,
        0.0,
        turn.bytes_each * each,
        server_us=turn.server_us * each,
        engines_us=turn.engines_us * each,
        parts={name: spent * each for name, spent in turn.parts.items()},
    )


def entries_of(body: bytes) -> Sequence[tuple[str, str]]:
    """The same of a composite."""
    return [
        (entry["author"]["id"], message["id"])
        for entry in msgspec.json.decode(body)["entries"]
        for message in entry["messages"]
    ]

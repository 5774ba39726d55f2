"""While the load goes on: sessions that are judged by what they are shown, as a user would judge them.

Two guarantees of docs/consistency.md: who was told of a message, by the author's `Tidings-Seen`, sees it or a newer
one; and nobody who sends their own token back is shown less of an author than before. A monolith has no such token,
and the same load.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from tidings.bench.sides import Side
from tidings.bench.town import AUTHORS, Town
from tidings.bench.wrk import WrongAnswers
from tidings.contracts.users import UserId
from tidings.platform.ending import ended
from tidings.platform.seen import HEADER as SEEN

AT_ONCE: Final = 4  # sessions
PAUSE: Final = 0.05  # seconds between two looks of one


@dataclass
class Judged:
    """How many answers were looked at, and what was wrong with those that were."""

    answers: int = 0
    violations: list[str] = field(default_factory=list)


@asynccontextmanager
async def checking(side: Side, town: Town, degree: int, judged: Judged) -> AsyncIterator[None]:
    """Judge within the block. Raises `WrongAnswers` if a session was refused or cut off."""
    async with aiohttp.ClientSession(side.url) as http:
        posting = set(town.signing_in[AUTHORS])
        able = [reader for reader in town.readers[degree] if posting & set(town.friends[reader])]
        if not able:
            raise WrongAnswers(f"No reader with {degree} friends knows anybody who posts: nothing can be judged.")
        sessions = [_Session(side, town, degree, reader, http, judged) for reader in able[:AT_ONCE]]
        tasks = [asyncio.create_task(session.go()) for session in sessions]
        try:
            yield
        finally:
            outcomes = await ended(*tasks)
        for outcome in outcomes:
            if not isinstance(outcome, asyncio.CancelledError):
                raise WrongAnswers(f"A session with {side.name} that was judged came to nothing: {outcome!r}")


class _Session:
    """A reader, and the friends of theirs who post."""

    def __init__(
        self, side: Side, town: Town, degree: int, reader: UserId, http: aiohttp.ClientSession, judged: Judged
    ) -> None:
        self._http = http
        self._judged = judged
        self._chance = random.Random(reader.int)  # noqa: S311 - whose turn it is
        posting = town.signing_in[AUTHORS]
        keys = side.tokens[AUTHORS].read_text().split()
        self._me = side.tokens[degree].read_text().split()[town.readers[degree].index(reader)]
        self._friends = [
            (author, keys[posting.index(author)]) for author in town.friends[reader] if author in posting
        ]
        self._seen = ""
        self._shown: dict[str, str] = {}  # the newest message of each author, by what this session was shown

    async def go(self) -> None:
        while True:
            author, key = self._chance.choice(self._friends)
            await self._is_told_of(author, key)
            await self._looks()
            await asyncio.sleep(PAUSE)

    async def _is_told_of(self, author: UserId, key: str) -> None:
        headers = {"authorization": f"Bearer {key}"}
        async with self._http.post(
            "/v1/messages", headers=headers, json={"text": "said to be looked for"}
        ) as answer:
            answer.raise_for_status()
            posted, token = (await answer.json())["id"], answer.headers.get(SEEN, "")
        await self._looks(token)
        if is_less(self._shown, str(author), posted):
            self._judged.violations.append(f"{posted} of {author} was told of, and is not shown")

    async def _looks(self, *told: str) -> None:
        """With all that this session has seen, and what it was told besides."""
        shown = await self._timeline(", ".join(one for one in (self._seen, *told) if one))
        for author, newest in self._shown.items():
            if is_less(shown, author, newest):
                self._judged.violations.append(f"{author} was shown with {newest}, and then with less")
        self._shown = shown

    async def _timeline(self, seen: str) -> dict[str, str]:
        headers = {"authorization": f"Bearer {self._me}"} | ({SEEN: seen} if seen else {})
        async with self._http.get("/v1/timeline", headers=headers) as answer:
            answer.raise_for_status()
            page = json.loads(await answer.read())
            self._seen = answer.headers.get(SEEN, "")
        self._judged.answers += 1
        return {entry["author"]["id"]: entry["messages"][0]["id"] for entry in page["entries"]}


def is_less(shown: Mapping[str, str], author: str, than: str) -> bool:
    """Whether a page (ids by author) shows less of an author than that. Who is below its end is not on it."""
    newest = shown.get(author)
    return min(shown.values()) < than if newest is None else newest < than

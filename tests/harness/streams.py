"""Somebody who listens to the live stream: what they have heard, and whether it is still open."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.harness.people import Person


@dataclass
class Stream:
    """What a client has heard, and whether its stream is open."""

    events: list[tuple[str, str, Any]] = field(default_factory=list)  # name, id, data
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def last(self) -> str:
        return [one for _, one, _ in self.events if one][-1]

    def concerns(self) -> set[str]:
        return {one for _, _, data in self.events for one in data.get("changed", ())}

    async def until(self, *concerns: str, within: float = 5.0) -> None:
        """Return once each of these has changed. Fails the test after `within` seconds."""
        try:
            async with asyncio.timeout(within):
                while not self.concerns() >= set(concerns):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"heard {self.concerns()} within {within} s, not all of {concerns}") from None

    async def ends(self, *, within: float) -> None:
        """Return once it is closed. Fails the test after `within` seconds."""
        try:
            async with asyncio.timeout(within):
                await self.closed.wait()
        except TimeoutError:
            raise AssertionError(f"the stream was still open after {within} s") from None

    async def read(self, response: aiohttp.ClientResponse) -> None:
        name, event_id = "message", ""
        async for raw in response.content:
            line = raw.decode().rstrip("\n")
            part, _, value = line.partition(": ")
            if part == "event":
                name = value
            elif part == "id":
                event_id = value
            elif part == "data":
                self.events.append((name, event_id, json.loads(value)))
            elif not line:
                name, event_id = "message", ""
                self._news.set()
        self.closed.set()


@asynccontextmanager
async def listening(person: Person, last: str | None = None) -> AsyncIterator[Stream]:
    headers = {"authorization": f"Bearer {person.token}"} | ({"last-event-id": last} if last else {})
    stream = Stream()
    async with person.client.session.get(person.client.base + "/v1/stream", headers=headers) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        assert "no-store" in response.headers["cache-control"]
        reading = asyncio.create_task(stream.read(response))
        async with asyncio.timeout(5):
            while not stream.events:
                await asyncio.sleep(0.01)
        try:
            yield stream
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

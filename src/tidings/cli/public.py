"""The public listener as the command line reaches it: from this machine, under a host name that it knows."""

from __future__ import annotations

from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from tidings.cli.options import EXIT_NOT_RUNNING, Problem
from tidings.platform.settings import Settings


class PublicApi:
    """Requests to the public listener. `token` signs them once it is set."""

    def __init__(self, url: str, settings: Settings) -> None:
        self._url = url
        self._host = _known_host(settings)
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
        self.token: str | None = None

    async def __aenter__(self) -> PublicApi:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def status(self, path: str) -> tuple[int, str]:
        """The status and the body of a GET. Raises aiohttp.ClientError."""
        async with self._session.get(self._url + path, headers=self._headers()) as response:
            return response.status, await response.text()

    async def ask(self, method: str, path: str, *, json: Any = None, params: Any = None) -> bytes:
        """The body of an answer. `Problem` with the problem's own words when it is a refusal."""
        try:
            async with self._session.request(
                method, self._url + path, json=json, params=params, headers=self._headers()
            ) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Problem(
                f"{self._url} does not answer: {error}.",
                "`tidings doctor` names the broken link.",
                EXIT_NOT_RUNNING,
            ) from error
        if response.status >= 400:
            raise Problem(_detail(body) or f"{method} {path} was answered with {response.status}.")
        return body

    def _headers(self) -> dict[str, str]:
        return {"host": self._host} | ({"authorization": f"Bearer {self.token}"} if self.token else {})


def _known_host(settings: Settings) -> str:
    if settings.allowed_hosts:
        return settings.allowed_hosts[0]
    return urlsplit(settings.public_url or "").hostname or "localhost"


def _detail(body: bytes) -> str:
    try:
        problem = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return ""
    return str(problem.get("detail") or problem.get("title") or "") if isinstance(problem, dict) else ""

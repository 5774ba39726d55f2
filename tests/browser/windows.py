"""A person's browser: a context of Chromium, pages in it, and all that it complained about."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, ViewportSize

from tests.harness.people import PASSWORD, Person

PATIENCE = 30_000  # ms; the machine may be busy, and nothing is slower for being waited for
PHONE: ViewportSize = {"width": 390, "height": 844}
DESKTOP: ViewportSize = {"width": 1280, "height": 900}


@dataclass
class Window:
    """One browser of one person. What it complains about fails the test, unless it was expected."""

    context: BrowserContext
    page: Page
    base: str
    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    # Coming and going.

    async def comes_as(self, person: Person, *, on: str | None = None) -> None:
        """Signed in, and having seen what they did elsewhere."""
        base = on or self.base
        port = urlsplit(base).port
        cookies = {f"tidings-session-{port}": person.token, f"tidings-seen-{port}": person.seen or ""}
        await self.context.add_cookies(
            [{"name": name, "value": value, "url": base} for name, value in cookies.items() if value]
        )

    async def opens(self, path: str, *, on: str | None = None) -> Page:
        await self.page.goto((on or self.base) + path)
        return self.page

    async def joins(self, handle: str, name: str, *, invite: str = "") -> None:
        """By the form."""
        page = await self.opens(f"/join?invite={invite}" if invite else "/join")
        await page.get_by_label("Handle").fill(handle)
        await page.get_by_label("Name").fill(name)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Make the account").click()
        await page.wait_for_url(self.base + "/")

    async def new_page(self) -> Page:
        page = await self.context.new_page()
        page.set_default_timeout(PATIENCE)
        return page

    # What it said.

    def expects(self, pattern: str) -> None:
        """From now on it may complain about this."""
        self.expected.append(pattern)

    def asked(self, path: str) -> list[Request]:
        """The requests to a path so far."""
        return [one for one in self.requests if urlsplit(one.url).path == path]

    def unexpected(self) -> list[str]:
        return [one for one in self.complaints if not any(re.search(each, one) for each in self.expected)]

    def _hears(self, said: ConsoleMessage) -> None:
        if said.type in ("error", "warning"):
            self.complaints.append(f"{said.type}: {said.text} ({said.location.get('url', '')})")

    def _asks(self, request: Request) -> None:
        self.requests.append(request)

    def watch(self) -> None:
        self.context.on("console", self._hears)
        self.context.on("weberror", lambda error: self.complaints.append(f"script: {error.error}"))
        self.context.on("request", self._asks)


@asynccontextmanager
async def window(browser: Browser, base: str, **more: Any) -> AsyncIterator[Window]:
    """A fresh one: without cookies, storage or cache. `more` goes to Chromium's context."""
    context = await browser.new_context(**{"viewport": DESKTOP, "locale": "en-GB", "base_url": base, **more})
    context.set_default_timeout(PATIENCE)
    try:
        opened = Window(context, await context.new_page(), base)
        opened.watch()
        yield opened
        assert not opened.unexpected(), opened.unexpected()
    finally:
        await context.close()

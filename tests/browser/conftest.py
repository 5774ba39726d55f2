"""One Chromium a process, and windows of it a test."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from playwright.async_api import Browser, async_playwright, expect

from tests.browser.windows import PATIENCE, Window, window
from tests.harness.people import Person
from tests.harness.system import Whole

expect.set_options(timeout=PATIENCE)

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

Opens = Callable[..., Awaitable[Window]]


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """Debian's, or whatever of the kind is there."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("There is no Chromium. On Debian, as root: apt-get install chromium. Then run the tests again.")
    # Chromium now and then leaves a file of its own where temporary files go.
    with tempfile.TemporaryDirectory(prefix="tidings-chromium-") as temporary:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=program, args=list(ARGUMENTS), env={**os.environ, "TMPDIR": temporary}
            )
            yield browser
            await browser.close()


@pytest.fixture
async def opens(tidings: Whole, chromium: Browser) -> AsyncIterator[Opens]:
    """`await opens()` is a stranger's window, `await opens(alice)` hers; each is closed, and judged, at the end."""
    async with AsyncExitStack() as stack:

        async def open_one(person: Person | None = None, **more: Any) -> Window:
            opened = await stack.enter_async_context(window(chromium, tidings.system.url, **more))
            if person is not None:
                await opened.comes_as(person)
            return opened

        yield open_one

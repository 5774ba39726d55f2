"""A stream that was cut, a laptop that slept, a server that was started again: the page misses nothing."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from playwright.async_api import Browser, expect

from tests.browser.conftest import Opens
from tests.browser.proxy import Proxy, before
from tests.browser.reading import counts, is_listening, pill
from tests.browser.windows import window
from tests.harness import made
from tests.harness.people import Client, Person
from tests.harness.system import Whole, settings_for
from tidings.platform.engines.server import free_port
from tidings.system import chosen_topology, running

near = pytest.mark.parametrize("tidings", ["near"], indirect=True)
BROKEN = "ERR_FAILED|ERR_CONNECTION|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE|ERR_SOCKET|ERR_NETWORK"


@asynccontextmanager
async def on_the_way(tidings: Whole) -> AsyncIterator[Proxy]:
    async with before(urlsplit(tidings.system.url).port or 0) as proxy:
        yield proxy


async def friends(tidings: Whole) -> tuple[Person, Person]:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    await alice.befriends(bob)
    return alice, bob


@near
async def test_a_cut_stream_comes_back_with_its_place(tidings: Whole, opens: Opens) -> None:
    alice, bob = await friends(tidings)
    async with on_the_way(tidings) as proxy:
        window = await opens()
        window.expects(BROKEN)
        await window.comes_as(alice, on=proxy.base)
        page = await window.opens("/feed", on=proxy.base)
        await is_listening(page)
        await bob.posts("before")
        await counts(page, 1)
        for gone in (2, 5):
            known = len(proxy.streams())
            proxy.cut()
            for number in range(gone):
                await bob.posts(f"while it was cut {number}")
            proxy.mend()
            await counts(page, 1 + gone if gone == 2 else 8)
            again = proxy.streams()[known:]
            assert again
            assert all("last-event-id: " in head.lower() for head in again), again


@near
async def test_a_laptop_that_slept_comes_back_with_its_place(tidings: Whole, opens: Opens) -> None:
    alice, bob = await friends(tidings)
    async with on_the_way(tidings) as proxy:
        window = await opens()
        window.expects(BROKEN)
        await window.comes_as(alice, on=proxy.base)
        await window.page.clock.install()
        page = await window.opens("/feed", on=proxy.base)
        await is_listening(page)
        await bob.posts("before")
        await counts(page, 1)
        proxy.fall_silent()  # the connection is lost, and nobody has told the laptop
        for number in range(3):
            await bob.posts(f"in the night {number}")
        asked = len(proxy.streams())
        await page.clock.fast_forward(120_000)  # the lid is opened
        await counts(page, 4)
        assert "last_event_id=" in proxy.streams()[asked]


@near
async def test_a_page_without_network_says_so_and_goes_on(tidings: Whole, opens: Opens) -> None:
    alice, bob = await friends(tidings)
    async with on_the_way(tidings) as proxy:
        window = await opens()
        window.expects(BROKEN)
        await window.comes_as(alice, on=proxy.base)
        page = await window.opens("/feed", on=proxy.base)
        await is_listening(page)
        await window.context.route("**/feed?cursor=*", lambda route: route.abort())
        await bob.posts("nobody can read this now")
        away = page.get_by_text("The server cannot be reached at the moment. This page goes on by itself.")
        await expect(away).to_be_visible()
        await window.context.unroute_all(behavior="wait")
        await expect(away).to_have_count(0)
        await counts(page, 1)


async def test_a_server_that_was_started_again_is_found_again(chromium: Browser) -> None:
    folder = Path(tempfile.mkdtemp(prefix="tidings-test-"))
    folder.chmod(0o711)
    settings = settings_for(folder / "data", port=free_port())
    topology = chosen_topology(settings, apart=False)
    made.copy(await made.made(), settings.data)
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
            AsyncExitStack() as life,
        ):
            system = await life.enter_async_context(running(settings, topology))
            client = Client(session, system.url)
            alice, bob = await client.joins("Alice"), await client.joins("Bob")
            await alice.befriends(bob)
            async with window(chromium, system.url) as opened:
                opened.expects(BROKEN + "|50[0-9]")
                await opened.comes_as(alice)
                page = await opened.opens("/feed")
                await is_listening(page)
                await bob.posts("before")
                await counts(page, 1)

                known = len(opened.asked("/v1/stream"))  # a page before this one may have asked, too
                await life.aclose()
                await life.enter_async_context(running(settings, topology))
                for number in range(3):
                    await bob.posts(f"after {number}")
                await counts(page, 4)
                # Of one that reached nobody, only those headers are told that it had before it was sent.
                again = [one for one in opened.asked("/v1/stream")[known:] if one.failure is None]
                assert again and all(["last-event-id" in await one.all_headers() for one in again])
                await pill(page).click()
                await bob.posts("and it goes on")
                await counts(page, 1)
    finally:
        shutil.rmtree(folder)

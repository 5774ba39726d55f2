"""A service is killed while a page is open: what is missing is said in plain words, and comes back by itself."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Opens
from tests.browser.reading import is_listening
from tests.harness.pictures import picture
from tests.harness.system import Whole
from tests.harness.waiting import until

pytestmark = pytest.mark.parametrize("tidings", ["apart"], indirect=True)

MISSING = "Messages cannot be reached at the moment."
FAILED = "It was not sent. What you wrote is kept."


@asynccontextmanager
async def killed(tidings: Whole, service: str) -> AsyncIterator[None]:
    """`kill -9`, and nobody starts it again before the block ends."""
    supervisor = tidings.system.supervisor
    assert supervisor is not None
    child = supervisor.children[service]
    [watch] = [one for one in supervisor._watches if one.get_name() == f"watch {service}"]
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    try:
        yield
    finally:
        await child.stop()
        await child.start()
        supervisor._watches.remove(watch)
        supervisor._watches.append(asyncio.create_task(child.watch(lambda _: None), name=f"watch {service}"))


async def test_messages_are_away_for_a_while(tidings: Whole, opens: Opens) -> None:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    await alice.befriends(bob)
    said = await bob.posts("still there")
    window = await opens(alice)
    window.expects("503")
    feed, timeline, write, read = [await window.new_page() for _ in range(4)]
    await feed.goto("/feed")
    await is_listening(feed)
    await timeline.goto("/")
    await write.goto("/write")
    await write.get_by_label("What do you want to say?").fill("said in the dark")
    await read.goto(f"/messages/{said['id']}")
    async with killed(tidings, "messages"):
        # What is open stays as it is, and says what does not work.
        await feed.get_by_label("Add a reaction").click()
        await feed.locator(".choices button").first.click()
        await expect(feed.get_by_text("That did not work just now. Try again in a moment.")).to_be_visible()
        await expect(feed.locator("#items")).to_contain_text("still there")
        await write.locator("#post").click()
        await expect(write.get_by_text(FAILED)).to_be_visible()
        await expect(write.get_by_label("What do you want to say?")).to_have_value("said in the dark")
        (await bob.patch("/v1/users/me", {"name": "Bob the Second"})).ok()
        for page in (feed, timeline):  # something changed, and cannot be read
            await expect(page.locator("#away")).to_contain_text(MISSING)
            await expect(page.locator("#items")).to_contain_text("still there")

        # What is opened now says what is missing, and shows the rest.
        fresh = await window.new_page()
        for path in ("/", "/feed"):
            await fresh.goto(path)
            await expect(fresh.get_by_text(MISSING)).to_be_visible()
        await fresh.goto(f"/people/{bob.id}")
        await expect(fresh.get_by_text(MISSING)).to_be_visible()
        await expect(fresh.get_by_role("button", name="Unfriend")).to_be_visible()
        await fresh.goto(f"/messages/{said['id']}")
        await expect(fresh.get_by_role("alert")).to_be_visible()
        await expect(fresh.get_by_role("link", name="To the timeline")).to_be_visible()
        for path in ("/friends", "/settings", "/help", "/notifications"):
            await fresh.goto(path)
            await expect(fresh.get_by_role("navigation")).to_be_visible()
        await fresh.goto("/")
        await expect(fresh.locator("#items")).to_contain_text("Bob the Second")

    # It is back, and nobody has to do anything for it.
    await expect(fresh.locator("#items")).to_contain_text("still there")
    await expect(fresh.get_by_text(MISSING)).to_have_count(0)
    for page in (feed, timeline):
        await expect(page.locator("#away")).to_have_count(0)
    await expect(timeline.locator("#items")).to_contain_text("Bob the Second")
    await write.get_by_role("button", name="Try again").click()
    await write.wait_for_url("**/messages/*")
    mine = (await alice.get("/v1/messages", params={"author": alice.id})).ok()["messages"]
    assert [one["message"]["text"] for one in mine] == ["said in the dark"]


async def test_media_are_away_for_a_while(tidings: Whole, opens: Opens) -> None:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    await alice.befriends(bob)
    picture_id = await bob.uploads(picture(900, 600), alt="a wall")
    await bob.posts("look at this", media=[{"media_id": picture_id, "alt": "a wall"}])
    window = await opens(alice)
    window.expects("503")
    write = await window.opens("/write")
    async with killed(tidings, "media"):
        page = await window.new_page()
        await page.goto("/")
        await expect(page.locator("#items")).to_contain_text("look at this")
        await expect(page.get_by_text("This picture cannot be loaded at the moment.")).to_be_visible()
        await expect(page.get_by_role("img", name="a wall")).to_have_count(1)
        file: Any = {"name": "wall.png", "mimeType": "image/png", "buffer": picture(300, 200)}
        await write.locator("#upload").set_input_files(file)
        retry = write.locator("#attached").get_by_role("button", name="Try again")
        await expect(retry).to_be_visible()
        other = await window.new_page()
        await other.goto("/write")
        await other.get_by_label("What do you want to say?").fill("words do without")
        await other.locator("#post").click()
        await other.wait_for_url("**/messages/*")

    await expect(page.get_by_text("This picture cannot be loaded at the moment.")).to_have_count(0)
    await page.wait_for_function("() => document.querySelector('.picture img:not(.blur)').naturalWidth > 0")
    await until(lambda: is_up(tidings, alice.token), within=30)
    await retry.click()
    await expect(write.locator("#attached").get_by_label("What does it show?")).to_be_enabled()
    await write.locator("#post").click()
    await write.wait_for_url("**/messages/*")
    await expect(write.locator(".picture")).to_have_count(1)


async def is_up(tidings: Whole, token: str) -> bool:
    return (await tidings.client.ask("GET", "/v1/media", token=token)).status == 200

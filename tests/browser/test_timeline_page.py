"""The timeline with fifty friends: one document, few bytes, nothing that jumps; the server's HTML has all of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from playwright.async_api import Route, expect

from tests.browser.conftest import Opens
from tests.browser.reading import is_listening
from tests.browser.windows import DESKTOP, PHONE
from tests.harness.pictures import picture
from tests.harness.system import Whole

pytestmark = pytest.mark.parametrize("tidings", ["near"], indirect=True)

MOST = 60_000  # bytes
SAYS = "What a day: the river was high, the bridge was closed, and so we took the long way round, along the hills."
SHIFTS = """
  window.shifted = 0;
  new PerformanceObserver(list => { for (const one of list.getEntries()) window.shifted += one.value; })
    .observe({type: "layout-shift", buffered: true});
"""

PLANTED = """async () => {
  const frame = () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  scrollTo(0, 0);  // elsewhere the browser itself would hold what is read
  await frame();
  const one = document.createElement("div");
  one.style.height = "400px";
  document.querySelector("#items").prepend(one);
  await frame();
}"""


async def test_one_document_and_few_bytes(tidings: Whole, opens: Opens) -> None:
    alice = await tidings.joins("Alice")
    await tidings.crowd(alice, 50, say=SAYS)
    window = await opens(alice)
    session = await window.context.new_cdp_session(window.page)
    kinds: dict[str, str] = {}
    sizes: Counter[str] = Counter()
    await session.send("Network.enable")
    session.on("Network.responseReceived", lambda event: kinds.update({event["requestId"]: event["type"]}))
    session.on(
        "Network.loadingFinished",
        lambda event: sizes.update({kinds.get(event["requestId"], "?"): int(event["encodedDataLength"])}),
    )
    page = await window.opens("/")
    await is_listening(page)
    await page.wait_for_load_state("networkidle")
    assert await page.locator("#items > .message").count() == 50
    transferred = {kind: size for kind, size in sizes.items() if kind != "Image"}
    assert transferred["Document"] > 2000
    assert sum(transferred.values()) < MOST, transferred
    assert [one.resource_type for one in window.requests].count("document") == 1
    print(f"timeline page: {transferred}, {sum(transferred.values())} bytes without images")


async def test_the_servers_html_has_all_of_it(tidings: Whole, opens: Opens) -> None:
    alice = await tidings.joins("Alice")
    await tidings.crowd(alice, 50, say=SAYS)
    window = await opens(alice, java_script_enabled=False)
    page = await window.opens("/")
    assert await page.locator("#items > .message", has_text=SAYS).count() == 50
    kinds = {one.resource_type for one in window.requests if not one.url.endswith(".svg")}
    assert kinds == {"document", "stylesheet", "image"}


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_nothing_jumps_when_pictures_come(tidings: Whole, opens: Opens, size: dict[str, int]) -> None:
    alice, *friends = [await tidings.joins(name) for name in ("Alice", "Bob", "Carol", "Dan", "Eve")]
    await alice.befriends(*friends)
    for friend, shape in zip(friends, ((40, 30), (1200, 300), (300, 900), (900, 600)), strict=True):
        many = 3 if shape == (40, 30) else 1
        media = [{"media_id": await friend.uploads(picture(*shape), alt="a wall")} for _ in range(many)]
        await friend.posts(SAYS, media=media)
    window = await opens(alice, viewport=size)
    await window.context.add_init_script(SHIFTS)
    came = asyncio.Event()

    async def late(route: Route) -> None:
        await came.wait()
        await route.continue_()

    await window.context.route("**/preview*", late)
    await window.context.route("**/v1/avatars/*", late)
    await window.page.goto("/", wait_until="domcontentloaded")
    await is_listening(window.page)
    pictures: Any = window.page.locator(".picture img:not(.blur)")
    await expect(pictures).to_have_count(6)
    await window.page.wait_for_function("() => performance.getEntriesByType('paint').length")
    came.set()
    for one in await pictures.all():
        await one.evaluate("one => scrollTo(0, one.getBoundingClientRect().top + scrollY - 200)")
        await one.evaluate("one => one.decode()")
    await friends[0].posts("and one more")
    await window.page.locator("#pill").wait_for()
    # A frame more, so that all of it has been laid out.
    await window.page.evaluate(
        "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    assert await window.page.evaluate("window.shifted") < 0.05
    # And what jumps is seen: else that would say nothing.
    await window.page.evaluate(PLANTED)
    await window.page.wait_for_function("() => window.shifted > 0.05")
    await window.context.unroute_all(behavior="wait")

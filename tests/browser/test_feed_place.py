"""The reader of the feed is never moved: what comes is counted, gaps fill both ways, places are found again."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Opens
from tests.browser.reading import counts, is_listening, pill, place, reads_on, scrolls_to, shown, top_of
from tests.browser.said import has_said
from tests.harness.people import Person
from tests.harness.system import Whole

pytestmark = pytest.mark.parametrize("tidings", ["near"], indirect=True)


async def two_friends(tidings: Whole, said: int) -> tuple[Person, Person, list[str]]:
    """Alice, Bob, and what Bob said, the newest first."""
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    await alice.befriends(bob)
    texts = [f"number {number}, {'and some more words ' * (number % 7)}" for number in range(said)]
    return alice, bob, (await has_said(tidings, bob, texts, ago=30))[::-1]


async def test_fifty_new_messages_wait_while_page_two_is_read(tidings: Whole, opens: Opens) -> None:
    alice, bob, old = await two_friends(tidings, 75)
    others = [await tidings.joins(name) for name in ("Carol", "Dan", "Eve", "Finn")]
    await alice.befriends(*others)
    page = await (window := await opens(alice)).opens("/feed")
    await is_listening(page)
    await reads_on(page, 40)
    before = await scrolls_to(page, old[36])  # a page has thirty

    async def go_on(friend: Person) -> None:
        for number in range(10):
            await friend.posts(f"another {number}")

    await asyncio.gather(*map(go_on, (bob, *others)))
    await counts(page, 50)
    assert await place(page) == before
    assert await page.evaluate("document.activeElement === document.body")

    await page.keyboard.press(".")
    await expect(pill(page)).to_have_count(0)
    new = [item["message"]["id"] for item in (await alice.feed(limit=50))["items"]]
    assert (await shown(page))[:80] == new + old[:30]
    assert await page.evaluate("[scrollY, document.activeElement.dataset.id]") == [0, new[0]]
    assert len(window.asked("/v1/stream")) == 1


async def test_gaps_fill_in_both_directions(tidings: Whole, opens: Opens) -> None:
    alice, _, old = await two_friends(tidings, 130)
    page = await (await opens(alice)).opens(f"/feed?at={old[70]}")
    newer = page.get_by_role("link", name="Newer")
    assert (await shown(page))[0] == old[70]
    await counts(page, 70)

    for left in (40, 10, 0):
        await page.evaluate("scrollTo(0, 0)")
        before = await place(page)
        await newer.press("Enter")  # a click would have to bring it into sight
        await page.wait_for_function(
            "first => document.querySelector('#items > .message').dataset.id === first", arg=old[left]
        )
        assert await top_of(page, before.message) == before.top
        assert (await shown(page))[: 71 - left] == old[left:71]
    await expect(newer).to_be_hidden()
    await expect(pill(page)).to_have_count(0)

    await reads_on(page, 129)
    await expect(page.get_by_text("That is the beginning.")).to_be_visible()
    assert await shown(page) == old


async def test_gaps_fill_without_scripts_too(tidings: Whole, opens: Opens) -> None:
    alice, _, old = await two_friends(tidings, 70)
    page = await (await opens(alice, java_script_enabled=False)).opens(f"/feed?at={old[35]}")
    assert await shown(page) == old[35:65]
    await page.get_by_role("link", name="Older").click()
    assert await shown(page) == old[65:]
    await page.goto(f"/feed?at={old[35]}")
    await page.get_by_role("link", name="Newer").click()
    assert await shown(page) == old[5:35]
    await page.get_by_role("link", name="Newer").click()
    assert await shown(page) == old[:5]


async def test_back_leads_to_where_one_was(tidings: Whole, opens: Opens) -> None:
    alice, bob, old = await two_friends(tidings, 75)
    page = await (await opens(alice)).opens("/feed")
    await reads_on(page, 40)
    before = await scrolls_to(page, old[34])
    await page.locator(f"#m-{old[36]} .when").click()
    await page.wait_for_url(f"**/messages/{old[36]}")
    await bob.posts("meanwhile")

    await page.go_back()
    await counts(page, 35)
    now = await place(page)
    assert (now.message, now.top) == (before.message, before.top)


async def test_another_device_goes_on_where_one_stopped(tidings: Whole, opens: Opens) -> None:
    alice, bob, old = await two_friends(tidings, 40)
    first = await (await opens(alice)).opens("/feed")
    await is_listening(first)
    async with first.expect_response("**/feed/marker"):
        await scrolls_to(first, old[3])
    await has_said(tidings, bob, [f"later {number}" for number in range(45)])

    second = await (await opens(alice)).opens("/feed")
    await second.get_by_role("link", name="Go on where you stopped reading").click()
    await second.wait_for_url("**/feed?at=*")
    assert await shown(second) == old[3:33]

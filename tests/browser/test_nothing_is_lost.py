"""Signals, places, words and people stay, whatever fails meanwhile and however much there is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from tests.browser.conftest import Opens
from tests.browser.reading import counts, is_listening, pill, reads_on, shown
from tests.browser.said import has_said
from tests.browser.windows import Window
from tests.harness.people import Person
from tests.harness.system import Whole

pytestmark = pytest.mark.parametrize("tidings", ["near"], indirect=True)


async def friends(tidings: Whole, *names: str) -> list[Person]:
    people = [await tidings.joins(name) for name in names]
    await people[0].befriends(*people[1:])
    return people


async def hears(page: Page, *concerns: str) -> None:
    """As if the stream had told."""
    told = "detail => document.dispatchEvent(new CustomEvent('tidings:changed', { detail }))"
    await page.evaluate(told, {"changed": list(concerns), "resync": False})


# What is read.


async def test_a_reaction_to_a_late_reply_stays_where_it_is(tidings: Whole, opens: Opens) -> None:
    alice, bob = await friends(tidings, "Alice", "Bob")
    said = (await bob.posts("many will answer"))["id"]
    replies = [
        (await bob.post(f"/v1/messages/{said}/replies", {"text": f"answer {n:02}"})).ok()["id"] for n in range(52)
    ]
    page = await (await opens(alice)).opens(f"/messages/{said}?at={replies[51]}")
    reply = page.locator(f"#m-{replies[51]}")
    await reply.get_by_label("Add a reaction").click()
    await reply.get_by_role("button", name="🎉, 0").click()
    await expect(reply.get_by_role("button", name="🎉, 1")).to_be_visible()
    await expect(reply).to_contain_text("answer 51")


async def test_a_reaction_to_what_left_the_page_meanwhile_stays_too(tidings: Whole, opens: Opens) -> None:
    alice, bob = await friends(tidings, "Alice", "Bob")
    ids = await has_said(tidings, bob, [f"number {number}" for number in range(20)])
    window = await opens(alice)
    await window.context.route("**/v1/stream*", lambda route: route.abort())
    window.expects("ERR_FAILED")
    page = await window.opens(f"/people/{bob.id}")
    last = page.locator(f"#m-{ids[0]}")
    await bob.posts("one more: the oldest is on the next page")
    await last.get_by_label("Add a reaction").click()
    await last.get_by_role("button", name="🎉, 0").click()
    await expect(last.get_by_role("button", name="🎉, 1")).to_be_visible()


async def test_friends_beyond_the_first_page_do_not_leave_it(tidings: Whole, opens: Opens) -> None:
    alice, bob = await friends(tidings, "Alice", "Bob")
    await has_said(tidings, bob, ["said long ago"], ago=60)
    await tidings.crowd(alice, 52, say="said later")
    page = await (await opens(alice)).opens("/")
    await is_listening(page)
    before = await shown(page)
    assert len(before) == 50
    hidden = [one for one in (await alice.timeline(limit=60))["entries"] if one["messages"][0]["id"] not in before]
    assert bob.id in {one["author"]["id"] for one in hidden}
    await bob.posts("and now")
    await counts(page, 1)
    assert await shown(page) == before
    await page.keyboard.press(".")
    assert (await shown(page))[1:] == before


async def test_more_than_can_be_counted_is_not_shown_as_all(tidings: Whole, opens: Opens) -> None:
    alice, bob = await friends(tidings, "Alice", "Bob")
    old = (await has_said(tidings, bob, [f"number {number}" for number in range(430)], ago=30))[::-1]
    page = await (await opens(alice)).opens(f"/feed?at={old[400]}")
    await expect(pill(page)).to_have_text("300+ new")
    await page.keyboard.press(".")
    newer = page.get_by_role("link", name="Newer")
    await expect(newer).to_be_visible()
    await counts(page, 100)
    await page.keyboard.press(".")
    await expect(newer).to_be_hidden()
    assert (await shown(page))[:401] == old[:401]


async def test_to_look_away_does_not_forget_where_one_stopped(tidings: Whole, opens: Opens) -> None:
    alice, bob = await friends(tidings, "Alice", "Bob")
    old = (await has_said(tidings, bob, [f"number {number}" for number in range(60)], ago=30))[::-1]
    marker = {"feed_marker": old[50], "language": "", "presence": True}
    (await alice.put("/v1/users/me/preferences", marker)).ok()
    page = await (await opens(alice)).opens("/feed")
    await expect(page.locator("#resume")).to_be_visible()
    await page.goto("/notifications")
    await page.goto("/feed")
    await page.locator("#resume a").click()
    await page.wait_for_url(f"**/feed?at={old[50]}")


# What fails.


async def test_what_is_told_while_a_look_fails_is_looked_for_with_it(tidings: Whole, opens: Opens) -> None:
    alice, bob = await friends(tidings, "Alice", "Bob")
    await bob.posts("there before")
    window = await opens(alice)
    window.expects("503|ERR_FAILED")
    await window.context.route("**/v1/stream*", lambda route: route.abort())
    page = await window.opens("/feed")
    held, go, tries = asyncio.Event(), asyncio.Event(), 0

    async def fails_once(route: Route) -> None:
        nonlocal tries
        tries += 1
        if tries > 1:
            await route.continue_()
            return
        held.set()
        await go.wait()
        await route.fulfill(status=503, body="{}")

    await page.route("**/v1/messages?*", fails_once)
    await bob.posts("said since")
    await hears(page, "timeline")
    await held.wait()
    await hears(page, "notifications")
    go.set()
    await expect(page.locator("#away")).to_have_text("Messages cannot be reached at the moment.")
    await counts(page, 1)
    await expect(page.locator("#away")).to_have_count(0)


async def test_the_feed_goes_on_once_messages_are_back(tidings: Whole, opens: Opens) -> None:
    alice, bob = await friends(tidings, "Alice", "Bob")
    await has_said(tidings, bob, [f"number {number}" for number in range(45)], ago=30)
    page = await (await opens(alice)).opens("/feed")
    assert len(await shown(page)) == 30
    async with tidings.points.drops("messages/page_by_authors", viewer=alice.id):
        await page.locator("#older").scroll_into_view_if_needed()
        await expect(page.locator("#away")).to_contain_text("Messages cannot be reached")
        await expect(page.locator("a#older")).to_be_visible()
    await reads_on(page, 44)
    await expect(page.locator("#away")).to_have_count(0)


async def test_a_refusal_in_the_background_is_told_in_its_own_words(tidings: Whole, opens: Opens) -> None:
    alice, _ = await friends(tidings, "Alice", "Bob")
    carol = await tidings.joins("Carol")
    window = await opens(alice)
    window.expects("409")
    page = await window.opens(f"/people/{carol.id}")
    said = '<main id="main"><div class="problem"><strong>Too many friends</strong></div></main>'
    await page.route("**/stand", lambda route: route.fulfill(status=409, content_type="text/html", body=said))
    await page.get_by_role("button", name="Ask to be friends").press("Enter")
    await expect(page.locator("#said")).to_have_text("Too many friends")


# What is written.


async def test_what_was_typed_stays_when_a_service_is_back(tidings: Whole, opens: Opens) -> None:
    (alice,) = await friends(tidings, "Alice")
    window = await opens(alice)
    async with tidings.points.drops("notifications/unread", viewer=alice.id):
        page = await window.opens("/settings")
        missing = page.locator("#main > .missing")
        await expect(missing).to_be_visible()
        await page.get_by_label("About you").fill("I had typed a lot")
        await page.locator("h1").click()  # nothing has the focus
    await expect(missing).to_have_count(0)
    await expect(page.get_by_label("About you")).to_have_value("I had typed a lot")


async def test_a_draft_comes_back_for_those_whom_it_was_for(tidings: Whole, opens: Opens) -> None:
    alice, bob = await friends(tidings, "Alice", "Bob")
    page = await (await opens(alice)).opens("/write")
    await page.locator("details.extra summary").click()
    await page.get_by_label("Only some").check()
    await page.get_by_label("Who", exact=True).fill(f"@{bob.handle}")
    await page.get_by_label("Name of the place").fill("the old mill")
    await page.locator("#text").fill("for one of you")
    await page.goto("/feed")
    await page.goto("/write")
    await expect(page.locator("#text")).to_have_value("for one of you")
    await expect(page.get_by_label("Only some")).to_be_checked()
    await expect(page.get_by_label("Who", exact=True)).to_have_value(f"@{bob.handle}")
    await expect(page.get_by_label("Name of the place")).to_be_visible()
    await expect(page.get_by_label("Name of the place")).to_have_value("the old mill")


async def test_what_was_changed_after_a_lost_answer_can_still_be_posted(tidings: Whole, opens: Opens) -> None:
    (alice,) = await friends(tidings, "Alice")
    window: Window = await opens(alice)
    window.expects("ERR_FAILED|409")
    page = await window.opens("/write")
    lost: list[Any] = []

    async def loses_an_answer(route: Route) -> None:
        if lost or route.request.method != "POST":
            await route.continue_()
            return
        lost.append(await route.fetch(max_redirects=0))
        await route.abort()

    await page.route("**/write", loses_an_answer)
    await page.locator("#text").fill("with a tipo")
    await page.locator("#post").click()
    await expect(page.get_by_text("It was not sent. What you wrote is kept.")).to_be_visible()
    await page.locator("#text").fill("with no typo")
    await page.locator("#post").click()
    await expect(page.locator(".problem")).to_contain_text("An earlier version was posted already")
    await expect(page.locator("#text")).to_have_value("with no typo")
    await page.locator("#post").click()
    await page.wait_for_url("**/messages/*")
    said = (await alice.get("/v1/messages", params={"author": alice.id})).ok()["messages"]
    assert [one["message"]["text"] for one in said] == ["with no typo", "with a tipo"]

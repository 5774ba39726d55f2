"""What was typed is never lost, and posted once, however often it is sent."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from tests.browser.conftest import Opens
from tests.browser.windows import Window
from tests.harness.people import Person
from tests.harness.pictures import picture
from tests.harness.system import Whole

pytestmark = pytest.mark.parametrize("tidings", ["near"], indirect=True)

FAILED = "It was not sent. What you wrote is kept."


def sheet(page: Page) -> Any:
    return page.get_by_label("What do you want to say?")


def answer(page: Page) -> Any:
    return page.locator("#reply")


async def texts_of(person: Person) -> list[str]:
    found = (await person.get("/v1/messages", params={"author": person.id})).ok()["messages"]
    return [one["message"]["text"] for one in found]


async def test_a_draft_is_there_again_and_gone_once_it_is_posted(tidings: Whole, opens: Opens) -> None:
    alice = await tidings.joins("Alice")
    page = await (await opens(alice)).opens("/write")
    await sheet(page).fill("half a thou")
    await page.goto("/feed")
    await page.goto("/write")
    await expect(sheet(page)).to_have_value("half a thou")
    await sheet(page).press("End")
    await sheet(page).press_sequentially("ght")
    await page.reload()
    await expect(sheet(page)).to_have_value("half a thought")
    await page.locator("#post").click()
    await page.wait_for_url("**/messages/*")
    await page.goto("/write")
    await expect(sheet(page)).to_have_value("")
    assert await texts_of(alice) == ["half a thought"]


async def test_answers_and_edits_have_drafts_of_their_own(tidings: Whole, opens: Opens) -> None:
    alice = await tidings.joins("Alice")
    said = await alice.posts("as it was")
    page = await (await opens(alice)).opens(f"/messages/{said['id']}")
    await answer(page).fill("an answer")
    await page.goto(f"/messages/{said['id']}/edit")
    await page.get_by_label("What it says").fill("as it could be")
    await page.goto("/write")
    await expect(sheet(page)).to_have_value("")
    await page.goto(f"/messages/{said['id']}/edit")
    await expect(page.get_by_label("What it says")).to_have_value("as it could be")
    await page.get_by_role("button", name="Save").click()
    await page.wait_for_url(f"**/messages/{said['id']}")
    await expect(answer(page)).to_have_value("an answer")
    await page.goto(f"/messages/{said['id']}/edit")
    await expect(page.get_by_label("What it says")).to_have_value("as it could be")
    assert await texts_of(alice) == ["as it could be"]


async def test_what_failed_says_so_is_kept_and_posted_once(tidings: Whole, opens: Opens) -> None:
    alice = await tidings.joins("Alice")
    window = await opens(alice)
    window.expects("ERR_FAILED")
    page = await window.opens("/write")
    tries = 0

    async def lose(route: Route) -> None:
        """The first try does not arrive; of the second, the answer is lost."""
        nonlocal tries
        tries += 1
        if tries == 2:
            await route.fetch(max_redirects=0)
        if tries <= 2:
            await route.abort()
        else:
            await route.continue_()

    await window.context.route("**/write", lose)
    await sheet(page).fill("said once")
    await page.locator("#post").click()
    for tried in (1, 2):
        await expect(page.get_by_text(FAILED)).to_be_visible()
        await expect(sheet(page)).to_have_value("said once")
        again = page.get_by_role("button", name="Try again")
        await expect(again).to_be_focused()
        assert tries == tried
        assert await texts_of(alice) == ["said once"][: tried - 1]
        await again.click()
    await page.wait_for_url("**/messages/*")
    await expect(page.locator("article").first).to_contain_text("said once")
    assert await texts_of(alice) == ["said once"]


async def test_what_is_refused_can_be_mended_and_leaves_no_draft(tidings: Whole, opens: Opens) -> None:
    alice = await tidings.joins("Alice")
    window = await opens(alice)
    window.expects("422")
    page = await window.opens("/write")
    await sheet(page).fill("x" * 5001)
    await page.locator("#post").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    await expect(sheet(page)).to_be_focused()
    await expect(sheet(page)).to_have_value("x" * 5001)
    await sheet(page).fill("shorter")
    await page.locator("#post").click()
    await page.wait_for_url("**/messages/*")
    await page.goto("/write")
    await expect(sheet(page)).to_have_value("")
    assert await texts_of(alice) == ["shorter"]


async def test_a_picture_on_its_way_goes_along(tidings: Whole, opens: Opens) -> None:
    alice = await tidings.joins("Alice")
    window = await opens(alice)
    window.expects("ERR_FAILED")
    page = await window.opens("/write")
    fails = True

    async def slow(route: Route) -> None:
        nonlocal fails
        if fails:
            fails = False
            await route.abort()
        else:
            await sheet(page).press("Control+Enter")  # while it is on its way
            await route.continue_()

    await window.context.route("**/v1/media", slow)
    await sheet(page).fill("look at this")
    file: Any = {"name": "wall.png", "mimeType": "image/png", "buffer": picture(300, 200)}
    await page.locator("#upload").set_input_files(file)
    await expect(page.locator("#attached .wrong")).to_have_text(FAILED)
    await page.locator("#attached").get_by_role("button", name="Try again").click()
    await page.wait_for_url("**/messages/*")
    await expect(page.locator(".picture")).to_have_count(1)
    [said] = (await alice.get("/v1/messages", params={"author": alice.id})).ok()["messages"]
    assert len(said["message"]["media"]) == 1


async def test_who_signs_out_leaves_no_drafts_and_nobody_sees_those_of_others(tidings: Whole, opens: Opens) -> None:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    window = await opens(alice)
    page = await window.opens("/write")
    await sheet(page).fill("not for Bob")
    await window.comes_as(bob)
    await page.goto("/write")
    await expect(sheet(page)).to_have_value("")
    await window.comes_as(alice)
    await page.goto("/write")
    await expect(sheet(page)).to_have_value("not for Bob")
    await leaves(window, page)
    assert await drafts(page) == []


async def test_who_signs_out_on_a_phone_leaves_no_drafts(tidings: Whole, opens: Opens) -> None:
    alice = await tidings.joins("Alice")
    window = await opens(alice, viewport={"width": 390, "height": 844})
    page = await window.opens("/write")
    await sheet(page).fill("half a thought")
    await page.goto("/settings")
    await page.locator("#sessions li", has_text="this one").get_by_role("button").click()
    await expect(page.get_by_text("What your friends said last.", exact=True)).to_be_visible()
    assert await drafts(page) == []


async def leaves(window: Window, page: Page) -> None:
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_text("What your friends said last.", exact=True)).to_be_visible()


async def drafts(page: Page) -> list[str]:
    found: list[str] = await page.evaluate("Object.keys(localStorage).filter(key => key.startsWith('draft'))")
    return found

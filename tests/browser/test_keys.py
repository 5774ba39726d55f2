"""All of it by keyboard alone: nothing here touches a mouse, and wherever the focus is can be seen."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Opens
from tests.browser.reading import counts, is_listening, shown
from tests.browser.windows import DESKTOP
from tests.harness.people import PASSWORD
from tests.harness.system import Whole

pytestmark = pytest.mark.parametrize("tidings", ["near"], indirect=True)

FOCUSED = """() => {
  const one = document.activeElement;
  if (!one || one === document.body) return null;
  const box = one.getBoundingClientRect(), style = getComputedStyle(one);
  const seen = one.checkVisibility({visibilityProperty: true, opacityProperty: true})
    && box.width > 1 && box.height > 1 && box.right > 0 && box.bottom > 0
    && box.left < innerWidth && box.top < innerHeight;
  const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  const name = (one.getAttribute("aria-label") || one.labels?.[0]?.textContent || one.textContent || "").trim();
  return {name, tag: one.tagName.toLowerCase(), id: one.id, seen, ring};
}"""


@dataclass(frozen=True)
class Focused:
    name: str
    tag: str
    id: str
    seen: bool
    ring: bool


async def focused(page: Page) -> Focused | None:
    found = await page.evaluate(FOCUSED)
    return Focused(**found) if found else None


async def tabs_to(page: Page, name: str, *, most: int = 90) -> None:
    """Press Tab until what has the focus is called that. Each stop on the way has to be seen."""
    stops = []
    for _ in range(most):
        await page.keyboard.press("Tab")
        one = await focused(page)
        if one is None:
            continue  # the browser's own
        stops.append(one.name)
        assert one.seen, one
        assert one.ring, one
        if one.name.startswith(name):
            return
    raise AssertionError(f"no {name!r} among {stops}")


async def test_a_day_by_keyboard(tidings: Whole, opens: Opens) -> None:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    await alice.befriends(bob)
    older, newer = await bob.posts("the older one"), await bob.posts("the newer one")
    window = await opens(viewport=DESKTOP)
    page = await window.opens("/")
    keys = page.keyboard

    await tabs_to(page, "Skip to the content")
    await tabs_to(page, "Sign in")
    await keys.press("Enter")
    await page.wait_for_url("**/signin")
    await tabs_to(page, "Handle")
    await keys.type(alice.handle)
    await tabs_to(page, "Password")
    await keys.type(PASSWORD)
    await keys.press("Enter")
    await expect(page.get_by_role("heading", name="Timeline")).to_be_visible()

    # Write: a name is completed, some see it, a place is told.
    await keys.press("n")
    await page.wait_for_url("**/write")
    await expect(page.get_by_label("What do you want to say?")).to_be_focused()
    await keys.type("Good morning, @" + bob.handle[:12])
    await expect(page.locator("#names [aria-selected=true]")).to_contain_text(bob.handle)
    await keys.press("Enter")
    await expect(page.get_by_label("What do you want to say?")).to_have_value(f"Good morning, @{bob.handle} ")
    await keys.type("n? j. k/")  # keys are letters here
    await tabs_to(page, "Who sees it, and where you are")
    await keys.press("Enter")
    await tabs_to(page, "Friends")
    await keys.press("ArrowDown")
    await expect(page.get_by_label("Everybody here")).to_be_checked()
    await tabs_to(page, "Latitude")
    await keys.type("51.5")
    await tabs_to(page, "Longitude")
    await keys.type("-0.17")
    await tabs_to(page, "Name of the place")
    await keys.type("The museum")
    await tabs_to(page, "How exactly")
    await keys.press("ArrowUp")
    await tabs_to(page, "Post")
    await keys.press("Enter")
    await page.wait_for_url("**/messages/*")
    await expect(page.locator("article").first).to_contain_text("The museum")
    mine = page.url.rpartition("/")[2]

    # Read: j and k, what is new, a reaction, a reply.
    await tabs_to(page, "Feed")
    await keys.press("Enter")
    await page.wait_for_url("**/feed")
    await is_listening(page)
    assert await shown(page) == [mine, newer["id"], older["id"]]
    for key, there in (("j", mine), ("j", newer["id"]), ("j", older["id"]), ("j", older["id"]), ("k", newer["id"])):
        await keys.press(key)
        assert await page.evaluate("document.activeElement.dataset.id") == there
        assert (one := await focused(page)) is not None
        assert one.seen
        assert one.ring
    latest = await bob.posts("the latest")
    await counts(page, 1)
    await keys.press(".")
    assert await page.evaluate("document.activeElement.dataset.id") == latest["id"]
    await tabs_to(page, "Add a reaction")
    await keys.press("Enter")
    await tabs_to(page, "❤️, 0")
    await keys.press("Enter")
    given = page.get_by_role("button", name="❤️, 1")
    await expect(given).to_have_attribute("aria-pressed", "true")
    await expect(given).to_be_focused()
    await keys.press("Enter")  # taken back: its button is in the menu again, and the message has the focus
    await expect(given).to_have_count(0)
    await expect(page.locator(f"#m-{latest['id']}")).to_be_focused()
    await tabs_to(page, "Add a reaction")
    await keys.press("Enter")
    await keys.press("Escape")
    await expect(page.locator("details[open]")).to_have_count(0)
    assert (one := await focused(page)) is not None
    assert one.name == "Add a reaction"
    await keys.press("r")
    await page.wait_for_url(f"**/messages/{latest['id']}#reply")
    answer = page.locator("#reply")
    await expect(answer).to_be_focused()
    await keys.type("and good night")
    async with page.expect_event("load"):
        await keys.press("Control+Enter")
    await expect(page.locator("#items")).to_contain_text("and good night")
    await expect(answer).to_have_value("")
    await keys.press("j")
    await keys.press("r")  # on its own page, too
    await expect(answer).to_be_focused()

    # Edit and delete what is one's own.
    await page.goto(f"/messages/{mine}")
    await keys.press("j")
    await tabs_to(page, "More")
    await keys.press("Enter")
    await tabs_to(page, "Edit")
    await keys.press("Enter")
    await page.wait_for_url("**/edit")
    await tabs_to(page, "What it says")
    await keys.press("Control+A")
    await keys.type("Good evening")
    await keys.press("Control+Enter")
    await page.wait_for_url(f"**/messages/{mine}")
    await expect(page.locator("article").first).to_contain_text("Good evening")
    await tabs_to(page, "edited")
    await tabs_to(page, "More")
    await keys.press("Enter")
    await tabs_to(page, "Delete")
    await keys.press("Enter")
    await page.wait_for_url("**/delete")
    await tabs_to(page, "Delete it")
    await keys.press("Enter")
    await expect(page.get_by_role("heading", name="Timeline")).to_be_visible()

    # Help, search, part, leave.
    await keys.press("?")
    await page.wait_for_url("**/help")
    await keys.press("/")
    await page.wait_for_url("**/friends#q")
    await expect(page.get_by_label("Find people")).to_be_focused()
    await keys.type("@" + bob.handle)
    await keys.press("Enter")
    await page.wait_for_url("**/friends?q=*")
    await tabs_to(page, "Bob")
    await keys.press("Enter")
    await page.wait_for_url(f"**/people/{bob.id}")
    await tabs_to(page, "Mute")
    await keys.press("Enter")
    await expect(page.get_by_role("button", name="Unmute")).to_be_visible()
    await tabs_to(page, "Unfriend")
    await keys.press("Enter")
    await page.wait_for_url("**/stand")
    await tabs_to(page, "End it")
    await keys.press("Enter")
    await expect(page.get_by_role("button", name="Ask to be friends")).to_be_visible()
    await tabs_to(page, "Settings")
    await keys.press("Enter")
    await page.wait_for_url("**/settings")
    await tabs_to(page, "Delete the account")
    await keys.press("Enter")
    await page.wait_for_url("**/settings/delete")
    await tabs_to(page, "To be sure, type your handle")
    await keys.type(alice.handle)
    await keys.press("Enter")
    await expect(page.get_by_role("heading", name="Your account is deleted")).to_be_visible()


async def test_single_keys_can_be_turned_off(tidings: Whole, opens: Opens) -> None:
    alice = await tidings.joins("Alice")
    page = await (await opens(alice)).opens("/help")
    await tabs_to(page, "Use these keys in this browser")
    await page.keyboard.press("Space")
    await page.keyboard.press("n")
    await page.goto("/feed")
    await page.keyboard.press("?")
    await page.keyboard.press("n")
    assert await page.evaluate("location.pathname") == "/feed"
    await page.goto("/help")
    await tabs_to(page, "Use these keys in this browser")
    await page.keyboard.press("Space")
    await page.goto("/feed")
    await page.keyboard.press("n")
    await page.wait_for_url("**/write")

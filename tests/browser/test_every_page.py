"""Every page of the contract, light and dark: axe finds nothing, and whatever one presses is large enough."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

import axe_playwright_python
import pytest
from playwright.async_api import Page, ViewportSize, expect

from tests.browser.conftest import Opens
from tests.browser.said import has_said
from tests.browser.windows import DESKTOP, PHONE, Window
from tests.harness.people import Person
from tests.harness.system import Whole
from tidings.contracts import web
from tidings.platform.contract import Contract
from tidings.platform.ids import uuid7

near = pytest.mark.parametrize("tidings", ["near"], indirect=True)

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
LOOKS: tuple[tuple[Literal["light", "dark"], ViewportSize], ...] = (("light", DESKTOP), ("dark", PHONE))
AXE = (files(axe_playwright_python) / "axe.min.js").read_text()
RUN = """async tags => (await axe.run(document, {runOnly: tags, resultTypes: ["violations"]})).violations.flatMap(
  one => one.nodes.map(node => `${one.id}: ${node.html.slice(0, 160)}: ${node.failureSummary.slice(0, 300)}`))"""
PAGES = {route.name.removeprefix("web/") for route in Contract.of(web).routes if route.method == "GET"}
SMALL = """() => [...document.querySelectorAll(
    'main :is(a, button, input, select, textarea, summary), nav a, .pill, .top a')].flatMap(one => {
  if (!one.checkVisibility({visibilityProperty: true}) || one.closest('.hear, .text') || one.type === 'hidden')
    return [];
  if (one.matches('p > a, li > a, dd > a') && [...one.parentNode.childNodes].some(
      n => n.nodeType === 3 && n.textContent.trim())) return []; // within a sentence
  const target = one.matches('[type=radio], [type=checkbox]') ? one.closest('label') : one;
  const box = target.getBoundingClientRect();
  return box.width < 43.9 || box.height < 43.9
    ? [`${one.outerHTML.slice(0, 90)}: ${Math.round(box.width)} x ${Math.round(box.height)}`] : [];
})"""


@dataclass
class Town:
    """Who is there, and what they said; each page of theirs has something on it."""

    alice: Person
    bob: Person
    said: str
    edited: str
    invite: str


async def town(tidings: Whole) -> Town:
    alice, bob, carol, dan, eve, finn = [
        await tidings.joins(name) for name in ("Alice", "Bob", "Carol", "Dan", "Eve", "Finn")
    ]
    await alice.befriends(bob, carol)
    for path in (f"/v1/blocks/{eve.id}", f"/v1/mutes/{carol.id}", f"/v1/friends/{finn.id}"):
        await alice.put(path)
    await dan.put(f"/v1/friends/{alice.id}")
    await alice.patch("/v1/users/me", {"bio": "Writes *notes*, see https://example.org"})
    pictures = [{"media_id": await alice.uploads(alt=alt), "alt": alt} for alt in ("a loom", "")]
    place = {"latitude": 51.5, "longitude": -0.17, "name": "The museum", "decimals": 1}
    edited = await alice.posts("before", media=pictures, place=place)
    await alice.patch(f"/v1/messages/{edited['id']}", {"text": "after, for @bob #looms"})
    said = await bob.posts("what do you say? https://example.org/a/long/path", audience="public")
    await bob.post(f"/v1/messages/{edited['id']}/replies", {"text": "an answer"})
    await bob.put(f"/v1/messages/{edited['id']}/reactions/🎉")
    await alice.post(f"/v1/messages/{said['id']}/replies", {"text": "this"})
    await has_said(tidings, bob, [f"one of many {number}" for number in range(40)], ago=3600)
    invite = (await alice.post("/v1/invites")).ok()["code"]
    return Town(alice, bob, said["id"], edited["id"], invite)


def addresses(there: Town) -> dict[str, list[str]]:
    """Where each page is met by somebody who is signed in."""
    return {
        "home": ["/"],
        "help_page": ["/help"],
        "feed": ["/feed", f"/feed?at={there.said}"],
        "message": [f"/messages/{there.edited}", f"/messages/{there.said}"],
        "history": [f"/messages/{there.edited}/history"],
        "write_page": ["/write", f"/write?reply_to={there.said}"],
        "edit_page": [f"/messages/{there.edited}/edit"],
        "person": [f"/people/{there.bob.id}", f"/people/{there.alice.id}"],
        "by_handle": [f"/@{there.bob.handle}"],
        "friends": ["/friends", "/friends?q=bob", "/friends?q=nobody%20at%20all"],
        "hidden": ["/settings/hidden"],
        "notifications": ["/notifications"],
        "settings": ["/settings"],
        "delete_page": ["/settings/delete"],
    }


def for_strangers(there: Town) -> dict[str, list[str]]:
    return {
        "home": ["/"],
        "help_page": ["/help"],
        "sign_in_page": ["/signin", "/signin?link=tdl_something"],
        "join_page": ["/join", f"/join?invite={there.invite}"],
        "set_up_page": ["/setup", "/setup?link=tdl_something"],
        "reset_page": ["/reset", "/reset?link=tdl_something"],
        "gone": ["/gone"],
    }


def test_every_page_of_the_contract_is_looked_at() -> None:
    there = Town(Person(None, "", "", "", ""), Person(None, "", "", "", ""), "", "", "")  # type: ignore[arg-type]
    assert addresses(there).keys() | for_strangers(there).keys() == PAGES


@near
async def test_axe_finds_nothing_on_any_page(tidings: Whole, opens: Opens) -> None:
    there = await town(tidings)
    found: list[str] = []
    for person, pages in ((there.alice, addresses(there)), (None, for_strangers(there))):
        window = await opens(person)
        window.expects("404|410")
        for path in [*(path for paths in pages.values() for path in paths), f"/messages/{uuid7(0)}"]:
            await window.opens(path)
            found += await troubles(window.page, path)
    assert not found, "\n".join(found)


@near
async def test_axe_finds_nothing_in_what_pages_become(tidings: Whole, opens: Opens) -> None:
    there = await town(tidings)
    window = await opens(there.alice)
    window.expects("422|401")
    found: list[str] = []
    for name, make in BECOMES.items():
        await make(window, there)
        found += await troubles(window.page, name)
    stranger = await opens()
    stranger.expects("422|401")
    for path, button in {"/signin": "Sign in", "/join": "Make the account"}.items():
        page = await stranger.opens(path)
        for field in await page.locator("main input:visible").all():
            await field.fill("?")
        await page.get_by_role("button", name=button).click()
        await expect(page.get_by_role("alert")).to_be_visible()
        found += await troubles(page, f"{path}, refused")
    assert not found, "\n".join(found)


NUMBER_CONTROLS = """() => {
  const groups = new Set();
  let number = 0;
  for (const one of document.querySelectorAll("details")) one.open = true;
  for (const one of document.querySelectorAll(":is(a[href], button, input, select, textarea, summary)")) {
    if (!one.checkVisibility({visibilityProperty: true}) || one.disabled || one.ariaHidden === "true") continue;
    if (one.type === "radio") { // Tab leads to one of a group, arrows to the others
      if (groups.has(one.name)) continue;
      groups.add(one.name);
    }
    one.dataset.control = one.type === "radio" ? `radio ${one.name}` : number;
    number += 1;
    if (one.type === "radio")
      for (const other of document.getElementsByName(one.name)) other.dataset.control = one.dataset.control;
  }
  window.reached = {};
  document.addEventListener("focusin", ({target}) => {
    const style = getComputedStyle(target), box = target.getBoundingClientRect();
    const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
    const seen = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
    window.reached[target.dataset.control] = ring && seen;
  });
  return number;
}"""
LEFT = """() => [...document.querySelectorAll("[data-control]")]
  .filter(one => one.checkVisibility() && !window.reached[one.dataset.control])
  .map(one => one.outerHTML.slice(0, 120))"""


@near
async def test_every_control_of_every_page_is_reached_by_keyboard_and_seen(tidings: Whole, opens: Opens) -> None:
    there = await town(tidings)
    unreached: list[str] = []
    for person, pages in ((there.alice, addresses(there)), (None, for_strangers(there))):
        window = await opens(person)
        window.expects("404|410")
        for path in [paths[0] for paths in pages.values()]:
            page = await window.opens(path)
            controls = await page.evaluate(NUMBER_CONTROLS)
            assert controls > 2, path
            for _ in range(2):  # the feed goes on while one does
                for _ in range(controls + 5):  # the browser's own are among the stops
                    await page.keyboard.press("Tab")
                if not (left := await page.evaluate(LEFT)):
                    break
            unreached += [f"{path}: {control}" for control in left]
    assert not unreached, "\n".join(unreached)


async def _menus(window: Window, there: Town) -> None:
    page = await window.opens(f"/messages/{there.edited}")
    await page.get_by_label("Add a reaction").first.click()
    await expect(page.locator(".choices button").first).to_be_visible()


async def _own_menu(window: Window, there: Town) -> None:
    page = await window.opens(f"/messages/{there.edited}")
    await page.get_by_label("More", exact=True).first.click()
    await expect(page.get_by_role("link", name="Edit", exact=True)).to_be_visible()


async def _friends_menu(window: Window, there: Town) -> None:
    page = await window.opens("/friends")
    await page.get_by_label("What to do about Bob").click()
    await expect(page.get_by_role("button", name="Unfriend")).to_be_visible()


async def _sure(window: Window, there: Town) -> None:
    await _friends_menu(window, there)
    await window.page.get_by_role("button", name="Unfriend").click()
    await expect(window.page.get_by_role("button", name="End it")).to_be_visible()


async def _delete(window: Window, there: Town) -> None:
    await _own_menu(window, there)
    await window.page.get_by_role("button", name="Delete").click()
    await expect(window.page.get_by_role("button", name="Delete it")).to_be_visible()


async def _sheet(window: Window, there: Town) -> None:
    page = await window.opens("/write")
    await page.get_by_text("Who sees it, and where you are").click()
    await page.get_by_label("What do you want to say?").press_sequentially("@bo")
    await expect(page.get_by_role("option").first).to_be_visible()


async def _refused(window: Window, there: Town) -> None:
    page = await window.opens("/write")
    await page.get_by_label("What do you want to say?").fill("")
    await page.locator("#post").click()
    await expect(page.get_by_role("alert")).to_be_visible()


async def _pill(window: Window, there: Town) -> None:
    page = await window.opens(f"/feed?at={there.edited}")
    await expect(page.locator("#pill")).to_be_visible()


async def _failed(window: Window, there: Town) -> None:
    page = await window.opens(f"/messages/{there.edited}")
    window.expects("ERR_FAILED|htmx:")
    await window.context.route("**/react", lambda route: route.abort())
    await page.locator(".reaction").first.click()
    await expect(page.get_by_text("That did not work just now. Try again in a moment.")).to_be_visible()


BECOMES: dict[str, Callable[[Window, Town], Awaitable[None]]] = {
    "a menu of reactions": _menus,
    "a menu of one's own message": _own_menu,
    "a menu of a friend": _friends_menu,
    "are you sure?": _sure,
    "delete this message?": _delete,
    "a sheet with names": _sheet,
    "a sheet that was refused": _refused,
    "a feed with news": _pill,
    "what did not work": _failed,
}


async def troubles(page: Page, where: str) -> list[str]:
    """What axe finds, and what is too small to press, in each look."""
    await page.evaluate(AXE)
    found: list[str] = []
    for scheme, size in LOOKS:
        await page.emulate_media(color_scheme=scheme)
        await page.set_viewport_size(size)
        here = [*await page.evaluate(RUN, TAGS), *(f"too small: {one}" for one in await page.evaluate(SMALL))]
        found += [f"{where}, {scheme}: {one}" for one in here]
    return found

"""What a page shows of the feed, and where in it the reader is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from playwright.async_api import Page, expect

SHOWN = "nodes => nodes.map(node => node.dataset.id)"
PLACE = """() => {
  const one = [...document.querySelectorAll("#items > .message")].find(o => o.getBoundingClientRect().bottom > 80);
  return [one.dataset.id, Math.round(one.getBoundingClientRect().top), Math.round(scrollY)];
}"""


@dataclass(frozen=True)
class Place:
    """The first message in sight, where it stands in the window, and how far the page is scrolled."""

    message: str
    top: int
    scrolled: int


async def place(page: Page) -> Place:
    return Place(*await page.evaluate(PLACE))


async def top_of(page: Page, message: str) -> int:
    """Where a message stands in the window."""
    top = "id => Math.round(document.getElementById('m-' + id).getBoundingClientRect().top)"
    found: int = await page.evaluate(top, message)
    return found


async def shown(page: Page) -> list[str]:
    """The ids of the messages on the page, from the top, once all of it has come."""
    await page.wait_for_load_state("domcontentloaded")
    found: list[str] = await page.locator("#items > .message").evaluate_all(SHOWN)
    return found


async def is_listening(page: Page) -> None:
    """Its browser's stream is open, and what came before that has been read."""
    await page.wait_for_function("() => localStorage.getItem('stream')")


async def scrolls_to(page: Page, message: str) -> Place:
    """Until that message is the first in sight, and the address says so."""
    await page.evaluate(
        "id => scrollTo(0, document.getElementById('m-' + id).getBoundingClientRect().top + scrollY - 60)", message
    )
    await page.wait_for_url(f"**/feed?at={message}")
    return await place(page)


async def reads_on(page: Page, more_than: int) -> None:
    """Scroll on until there are more messages than that."""
    await page.wait_for_function(
        """many => {
          scrollTo(0, document.documentElement.scrollHeight);
          return document.querySelectorAll("#items > .message").length > many;
        }""",
        arg=more_than,
    )


def pill(page: Page) -> Any:
    return page.locator("#pill")


async def counts(page: Page, number: int) -> None:
    """The pill says that so many are new."""
    await expect(pill(page)).to_have_text(f"{number} new")

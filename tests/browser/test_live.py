"""What happens elsewhere comes to the open page: at once, once, and only for whom it is."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Error, Page, Route, expect

from tests.browser.conftest import Opens
from tests.browser.reading import counts, is_listening, shown
from tests.harness.people import Person
from tests.harness.system import Whole
from tests.harness.waiting import until

pytestmark = pytest.mark.parametrize("tidings", ["near"], indirect=True)

HIDES = 5000  # ms


async def friends(tidings: Whole, *names: str) -> list[Person]:
    people = [await tidings.joins(name) for name in names]
    await people[0].befriends(*people[1:])
    return people


async def test_two_tabs_share_one_stream_and_the_second_takes_over(tidings: Whole, opens: Opens) -> None:
    alice, bob = await friends(tidings, "Alice", "Bob")
    first = await (window := await opens(alice)).opens("/feed")
    await is_listening(first)
    second = await window.new_page()
    await second.goto("/feed")
    await bob.posts("for both")
    await asyncio.gather(counts(first, 1), counts(second, 1))
    assert len(window.asked("/v1/stream")) == 1

    await first.close()
    await bob.posts("for the one that is left")
    await counts(second, 2)
    assert len(window.asked("/v1/stream")) == 2
    assert "last_event_id=" in window.asked("/v1/stream")[1].url


async def test_nothing_is_lost_between_the_page_and_its_stream(tidings: Whole, opens: Opens) -> None:
    alice, bob = await friends(tidings, "Alice", "Bob")
    window = await opens(alice)
    held, go = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        held.set()
        await go.wait()
        await route.continue_()

    await window.context.route("**/v1/stream*", hold)
    await window.page.goto("/feed", wait_until="domcontentloaded")
    for number, page in enumerate(("the first page", "the next one"), 1):
        await held.wait()
        await bob.posts(f"before {page} listens")
        go.set()
        await counts(window.page, 1)
        held.clear()
        go.clear()
        if number == 1:
            await window.page.goto("/feed", wait_until="domcontentloaded")
    await window.context.unroute_all(behavior="wait")


async def test_the_timeline_shows_edits_and_what_was_said_before(tidings: Whole, opens: Opens) -> None:
    alice, bob, carol = await friends(tidings, "Alice", "Bob", "Carol")
    earlier = await bob.posts("an earlier one")
    latest = await bob.posts("the latest")
    await carol.posts("something else")
    page = await (await opens(alice)).opens("/")
    await is_listening(page)
    entry = page.locator(f"#items > [data-author='{bob.id}']")
    await expect(entry).to_contain_text("the latest")

    (await bob.patch(f"/v1/messages/{latest['id']}", {"text": "the latest, mended"})).ok()
    await expect(entry).to_contain_text("mended")
    (await bob.delete(f"/v1/messages/{latest['id']}")).ok()
    await expect(entry).to_contain_text("an earlier one")
    (await bob.delete(f"/v1/messages/{earlier['id']}")).ok()
    await expect(entry).to_have_count(0)
    await expect(page.locator("#items")).to_contain_text("something else")


async def test_the_focus_stays_when_what_is_focused_changes(tidings: Whole, opens: Opens) -> None:
    alice, bob = await friends(tidings, "Alice", "Bob")
    said = await bob.posts("as it was")
    page = await (await opens(alice)).opens("/feed")
    await is_listening(page)
    await page.keyboard.press("j")
    (await bob.patch(f"/v1/messages/{said['id']}", {"text": "as it is"})).ok()
    await expect(page.locator("#items")).to_contain_text("as it is")
    assert await page.evaluate("document.activeElement.dataset.id") == said["id"]


async def test_a_reply_of_one_s_own_is_there_and_has_the_focus(tidings: Whole, opens: Opens) -> None:
    alice, bob = await friends(tidings, "Alice", "Bob")
    said = await bob.posts("what do you say?")
    page = await (await opens(alice)).opens(f"/messages/{said['id']}")
    for text in ("I say yes", "and once more"):
        await page.locator("#reply").fill(text)
        await page.locator("#reply").press("Control+Enter")
        await expect(page.locator("#items")).to_contain_text(text)
        await expect(page.locator("#items > .message").last).to_be_focused()
        await expect(page.locator("#reply")).to_have_value("")


async def test_each_notification_stands_once_and_a_request_comes_by_itself(tidings: Whole, opens: Opens) -> None:
    alice, bob = await friends(tidings, "Alice", "Bob")
    carol = await tidings.joins("Carol")
    mine = await alice.posts("what do you say?")
    window = await opens(alice)
    page = await window.opens("/notifications")
    people = await window.new_page()
    await people.goto("/friends")
    await is_listening(page)
    for answer in ("one", "two", "three"):
        (await bob.post(f"/v1/messages/{mine['id']}/replies", {"text": answer})).ok()
    await expect(page.locator("#items")).to_contain_text("three")
    told = (await alice.get("/v1/notifications")).ok()["notifications"]
    await expect(page.locator("#items > li")).to_have_count(len(told))

    (await carol.put(f"/v1/friends/{alice.id}")).ok()
    await expect(people.locator("#people")).to_contain_text(carol.handle)
    await expect(people.get_by_role("button", name="Accept")).to_be_visible()


async def test_a_persons_page_stays_in_order(tidings: Whole, opens: Opens) -> None:
    alice, bob = await friends(tidings, "Alice", "Bob")
    first, second = await bob.posts("first"), await bob.posts("second")
    page = await (await opens(alice)).opens(f"/people/{bob.id}")
    await is_listening(page)
    await bob.posts("third")  # is not put below the others
    for replies in ("1 reply", "2 replies"):
        (await bob.post(f"/v1/messages/{first['id']}/replies", {"text": "one more thing"})).ok()
        await expect(page.locator(f"#m-{first['id']}")).to_contain_text(replies)
    assert await shown(page) == [second["id"], first["id"]]


@pytest.mark.parametrize("end", ["unfriend", "block"])
async def test_parting_hides_at_once(tidings: Whole, opens: Opens, end: str) -> None:
    alice, bob = await friends(tidings, "Alice", "Bob")
    secret = f"between us {bob.handle}"
    picture = await bob.uploads(alt=secret)
    said = await bob.posts(secret, media=[{"media_id": picture, "alt": secret}])
    mine = await alice.posts("mine")
    window = await opens(alice)
    window.expects("404")  # its page is gone
    paths = ["/", "/feed", f"/messages/{said['id']}", f"/people/{bob.id}"]
    if end == "block":  # who is no friend any more still stands to what they answered you
        (await bob.post(f"/v1/messages/{mine['id']}/replies", {"text": secret})).ok()
        paths.append(f"/messages/{mine['id']}")
    pages = [window.page, *[await window.new_page() for _ in paths[1:]]]
    for page, path in zip(pages, paths, strict=True):
        await page.goto(path)
        await expect(page.get_by_text(secret).first).to_be_visible()
    await is_listening(pages[0])
    asks = [*paths, "/v1/timeline", "/v1/feed", f"/v1/messages/{said['id']}", f"/v1/messages?author={bob.id}"]
    asks += [f"/v1/messages?ids={said['id']}", f"/messages/{said['id']}/history", "/notifications", "/friends"]

    over = "/v1/friends/" if end == "unfriend" else "/v1/blocks/"
    await bob.ask("DELETE" if end == "unfriend" else "PUT", over + alice.id)

    gone = [asyncio.create_task(hides(page, secret)) for page in pages]
    assert [path for path in asks if secret in await body(pages[0], path)] == []
    status = "async path => (await fetch(path)).status"
    assert await pages[0].evaluate(status, f"/v1/media/{picture}/full?message={said['id']}") == 404
    await asyncio.gather(*gone)


async def body(page: Page, path: str) -> str:
    found: str = await page.evaluate("async path => (await fetch(path)).text()", path)
    return found


async def hides(page: Page, text: str) -> None:
    await expect(page.get_by_text(text)).to_have_count(0, timeout=HIDES)
    assert text not in await markup(page)


async def markup(page: Page) -> str:
    """All of it. A page that is gone is loaded anew, and has none meanwhile."""

    async def there() -> str | None:
        try:
            return await page.content()
        except Error as error:
            if "navigating" not in error.message:
                raise
            return None

    return await until(there, what="a page that has been loaded") or ""


async def test_who_is_signed_out_elsewhere_is_shown_nothing_any_more(tidings: Whole, opens: Opens) -> None:
    alice, bob = await friends(tidings, "Alice", "Bob")
    await bob.posts("for friends only")
    window = await opens(alice)
    window.expects("401")
    feed = await window.opens("/feed")
    write = await window.new_page()
    await write.goto("/write")
    await write.get_by_label("What do you want to say?").fill("half a thou")
    await is_listening(feed)
    (await alice.delete("/v1/sessions")).ok()
    await feed.wait_for_url("**/signin?next=*")
    await write.wait_for_url("**/signin?next=%2Fwrite")
    assert "for friends only" not in await markup(feed)

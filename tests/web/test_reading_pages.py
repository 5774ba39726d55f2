"""Pages that are read, sheets that are written on, and refusals that a browser meets."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.harness.people import Person
from tests.harness.system import Whole
from tests.web.browsing import Browser, Page, browsing

pytestmark = pytest.mark.parametrize("tidings", ["near"], indirect=True)

OFFERED = ["👍", "❤️", "😂", "😮", "😢", "🎉"]


async def _replies(browser: Browser, said: str, number: int) -> Page:
    key = (await browser.get(f"/messages/{said}")).hidden("key")
    return (await browser.send("/write", text=f"number {number:02}", reply_to=said, key=key, do="post")).ok()


async def test_a_reply_of_one_s_own_is_shown_at_once_however_many_there_are(
    browser: Browser, alice: Person
) -> None:
    said = (await alice.posts("Say something"))["id"]
    page = await _replies(browser, said, 0)
    assert page.address.startswith(f"/messages/{said}?at=") and "number 00" in page.text
    for number in range(1, 51):
        (await alice.post(f"/v1/messages/{said}/replies", {"text": f"number {number:02}"})).ok()
    page = await _replies(browser, said, 51)
    reply = page.address.partition("?at=")[2].partition("#")[0]
    assert f'id="m-{reply}"' in page.html and "number 51" in page.text and "number 00" not in page.text
    assert "From the first reply" in page.text
    first = await browser.get(f"/messages/{said}")
    assert "number 00" in first.text and "number 51" not in first.text and "From the first reply" not in first.text
    found = (await alice.get(f"/v1/messages/{said}/replies", params={"limit": 1})).ok()["messages"][0]["message"]
    early = await browser.get(f"/messages/{said}?at={found['id']}")  # of the first page, which is whole then
    assert "number 00" in early.text and "From the first reply" not in early.text


async def test_who_gave_every_reaction_is_offered_no_more(browser: Browser, alice: Person) -> None:
    said = (await alice.posts("Well?"))["id"]
    for left in range(len(OFFERED), 0, -1):
        page = await browser.get(f"/messages/{said}")
        assert "Add a reaction" in page.html and page.html.count('class="reaction"') == len(OFFERED), left
        await browser.post(f"/messages/{said}/react", emoji=OFFERED[left - 1])
    page = await browser.get(f"/messages/{said}")
    assert "Add a reaction" not in page.html and page.html.count('aria-pressed="true"') == len(OFFERED)


async def test_a_browser_is_refused_by_a_page_and_a_program_by_a_problem(tidings: Whole) -> None:
    async def asks(method: str, path: str, accept: str, **headers: str) -> tuple[int, str, str]:
        sent = {"accept": accept, **headers}
        answer = await tidings.client.ask(method, path, headers=sent)
        return answer.status, answer.headers["content-type"], answer.raw.decode()

    html = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"
    for method, path, headers, status, words in (
        ("POST", "/feed", {}, 405, "GET"),
        ("GET", "/", {"host": "evil.example"}, 421, "allowed_hosts"),
        ("POST", "/signin", {"origin": "https://evil.example"}, 403, "other sites"),
        ("GET", "/nowhere", {}, 404, "/"),
    ):
        told = await asks(method, path, "*/*", **headers)
        assert told[:2] == (status, "application/problem+json") and words in told[2]
        told = await asks(method, path, html, **headers)
        assert told[:2] == (status, "text/html; charset=utf-8") and "<h1" in told[2], path


async def test_a_refusal_s_page_is_in_the_reader_s_language(tidings: Whole) -> None:
    async with browsing(tidings.system.url, accept="text/html", accept_language="de") as browser:
        page = await browser.get("/nowhere")
        assert page.status == 404 and 'lang="de"' in page.html


# Sheets.


async def _said(person: Person) -> list[str]:
    found = (await person.get("/v1/messages", params={"author": person.id})).ok()["messages"]
    return [one["message"]["text"] for one in found]


async def test_nothing_is_left_out_of_a_post_unsaid(browser: Browser, alice: Person) -> None:
    too_many = [("media", str(uuid4())) for _ in range(11)]
    page = await browser.send_pairs("/write", *too_many, ("text", "eleven"), ("key", "k1"))
    assert (
        page.status == 422
        and "Up to 10 pictures, with up to 1,500 characters for each." in page.text
        and page.html.count('name="media"') == 11
    )
    told = [("media", str(uuid4())), ("alts", "x" * 1501), ("text", "a long story"), ("key", "k1")]
    page = await browser.send_pairs("/write", *told)
    assert page.status == 422 and "up to 1,500 characters for each" in page.text and "x" * 1501 in page.html
    for half in ({"place": "the old mill"}, {"latitude": "51.5"}, {"longitude": "-0.1", "place": "somewhere"}):
        page = await browser.send("/write", text="half a place", key="k2", **half)
        assert page.status == 422 and "Fill in both degrees" in page.text, half
        assert "half a place" in page.html and all(f'value="{value}"' in page.html for value in half.values())
        assert '<details class="extra" open>' in page.html
    assert await _said(alice) == []
    page = await browser.send("/write", text="a whole place", latitude="51.5", longitude="-0.1", key="k3")
    assert page.status == 200 and await _said(alice) == ["a whole place"]


@pytest.mark.parametrize("length", [5_001, 60_000])
async def test_what_is_too_long_is_on_the_page_again(browser: Browser, alice: Person, length: int) -> None:
    long = "word " * (length // 5 + 1)
    page = await browser.send("/write", text=long, key="k")
    assert page.status == 422 and long in page.html and "Up to 5,000 characters." in page.text
    page = await browser.send("/settings/profile", name="Alice", bio=long)
    assert page.status == 422 and long.strip() in page.html
    said = (await alice.posts("short"))["id"]
    page = await browser.post(f"/messages/{said}/edit", text=long, version="1")
    assert page.status == 422 and long in page.html
    assert await _said(alice) == ["short"]


async def test_a_sheet_that_was_posted_before_is_posted_again_only_when_one_says_so(
    browser: Browser, alice: Person
) -> None:
    key = (await browser.get("/write")).hidden("key")
    await browser.send("/write", text="the first", key=key)
    page = await browser.send("/write", text="the second", key=key)
    assert page.status == 409 and "An earlier version was posted already" in page.text
    assert "the second" in page.html and page.hidden("key") != key
    assert await _said(alice) == ["the first"]
    await browser.send("/write", text="the second", key=page.hidden("key"))
    assert await _said(alice) == ["the second", "the first"]

"""Rows 20 and 21: whatever people write, in whichever field, a page of ours says it and does nothing else."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import pytest

from tests.harness.people import PASSWORD, Person
from tests.harness.pictures import picture
from tests.harness.system import Whole
from tests.security.markup import strays
from tests.security.visitor import Page, Visitor, signed_in
from tidings.contracts import users

near = pytest.mark.parametrize("tidings", ["near"], indirect=True)

VECTORS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg/onload=alert(1)>',
    "' onmouseover='alert(1)",
    '" autofocus onfocus="alert(1)',
    '<b hx-get="/v1/users/me" hx-trigger="load">b</b>',
    '<div data-hx-post="/signout" data-live="feed">',
    "{{9*9}}{% raw %}${9*9}#{9*9}",
    "</title><script>alert(2)</script>",
    "</textarea><script>alert(3)</script>",
    "<!--",
    "]]><![CDATA[",
    "<?php",
    "&lt;script&gt;&#x3c;b&#x3e;&#60;i&#62;",
    "<iframe srcdoc='<script>alert(4)</script>'>",
    "<base href=//evil.example/>",
    '<meta http-equiv="refresh" content="0;url=//evil.example">',
    "<style>*{display:none}</style>",
    '<a href="javascript:alert(5)">a</a>',
    "<form action=//evil.example><input name=q>",
    "\\u003cscript\\u003e",
    "`alert(6)`",
)
NAMES = (  # 80 characters at most
    '<script>alert(1)</script>{{9*9}}"><svg/onload=x>',
    "</title></h1><b hx-get='/signout' onclick=x data-hx-get=x>%(name)s{name}",
    '"><img src=x onerror=alert(1)>&lt;b&gt;',
    "</button></textarea><!--' onfocus='x",
)

EMOJI = ('"><svg>{{9*9}}', "<script>{{9*9}}<", "'\"`&<>{{1}}")  # 16 characters at most, no blanks


@dataclass
class Texts:
    """What people say in each field: hostile, or plain and otherwise alike."""

    hostile: bool
    used: list[str] = field(default_factory=list)

    def long(self, most: int) -> str:
        """As many vectors as there is room for."""
        text = ""
        for vector in VECTORS:
            if len(text) + len(vector) < most:
                text += vector + " "
        return self._given(text.strip())

    def name(self, number: int) -> str:
        return self._given(NAMES[number])

    def one(self, text: str) -> str:
        return self._given(text)

    def _given(self, text: str) -> str:
        text = text if self.hostile else "harmless words"
        self.used.append(text)
        return text


@dataclass
class World:
    """People who know each other, as one of them sees them in a browser."""

    alice: Person
    bob: Person
    carol: Person
    dave: Person
    browser: Visitor
    mine: str
    theirs: str
    texts: Texts

    async def pages(self) -> dict[str, Page]:
        """Every page that shows something of what anybody wrote."""
        opens, sends = self.browser.opens, self.browser.sends
        bobs = f"/people/{self.bob.id}"
        return {
            "timeline": await opens("/"),
            "feed": await opens("/feed"),
            "feed from a message": await opens(f"/feed?at={self.mine}"),
            "message": await opens(f"/messages/{self.mine}"),
            "another's message": await opens(f"/messages/{self.theirs}"),
            "history": await opens(f"/messages/{self.mine}/history"),
            "edit": await opens(f"/messages/{self.mine}/edit"),
            "delete": await sends(f"/messages/{self.mine}/delete"),
            "oneself": await opens(f"/people/{self.alice.id}"),
            "a friend": await opens(bobs),
            "who asks": await opens(f"/people/{self.carol.id}"),
            "friends": await opens("/friends"),
            "found": await opens("/friends?q=" + quote(self.texts.name(1)[:40])),
            "end it": await sends(f"{bobs}/stand", do="unfriend"),
            "block": await sends(f"{bobs}/stand", do="block"),
            "settings": await opens("/settings"),
            "hidden": await opens("/settings/hidden"),
            "leave": await opens("/settings/delete"),
            "notifications": await opens("/notifications"),
            "write": await opens("/write"),
            "reply": await opens(f"/write?reply_to={self.theirs}"),
        }


async def world(tidings: Whole, texts: Texts) -> World:
    """Said by the API where Bob, Carol and Dave speak, and by forms where Alice does."""
    alice, bob, carol, dave = [await tidings.joins(name) for name in ("Alice", "Bob", "Carol", "Dave")]
    for number, person in enumerate((bob, carol, dave)):
        profile = {"name": texts.name(number), "bio": texts.long(500)}
        (await person.patch("/v1/users/me", profile)).ok()
    await alice.befriends(bob, dave)
    (await carol.put(f"/v1/friends/{alice.id}")).ok()
    label = texts.one(VECTORS[2])
    (
        await tidings.client.ask(
            "POST", "/v1/sessions", json={"handle": alice.handle, "password": PASSWORD, "label": label}
        )
    ).ok()
    browser = await signed_in(tidings.client, alice, PASSWORD)

    profile = [("name", texts.name(3)), ("bio", texts.long(500))]
    assert (await browser.sends_file("/settings/profile", *profile)).status == 303
    await browser.sends("/settings/invites", key=secrets.token_hex(8))

    # Alice attaches a picture under a hostile name, and posts with a place.
    said, alt = texts.long(5000), texts.long(1500)
    file_name = texts.one("../../<img src=x onerror=alert(1)>.svg")
    place = [("latitude", "38.72"), ("longitude", "-9.14"), ("place", texts.one(VECTORS[0] + VECTORS[4]))]
    sheet = [("text", said), ("alt", alt), *place, ("do", "attach"), ("key", "k")]
    attached = await browser.sends_file("/write", *sheet, content=picture(), name=file_name)
    assert attached.status == 200, attached.text
    assert strays(attached.document) == []
    (media,) = [one.get("value") for one in attached.document.all("input") if one.get("name") == "media"]
    (alts,) = [one.get("value") for one in attached.document.all("input") if one.get("name") == "alts"]
    assert alts == alt
    sheet = [("text", said), ("media", media), ("alts", alts), *place, ("key", "k")]
    posted = await browser.sends_file("/write", *sheet)
    assert posted.status == 303, posted.text
    mine = posted.location.rpartition("/")[2]
    before = f"{said[:4000]} before"
    (await alice.patch(f"/v1/messages/{mine}", {"text": before})).ok()
    assert (
        await browser.sends(f"/messages/{mine}/edit", text=said, media=media, alts=alt, version="2")
    ).status == 303

    hers = await bob.uploads(alt=texts.long(1500), name=file_name)
    theirs = await bob.posts(
        f"{texts.long(4900)} @{alice.handle}",
        media=[{"media_id": hers, "alt": texts.long(1500)}],
        mentions=[alice.id],
        place={"latitude": 1.5, "longitude": 2.5, "name": texts.one(VECTORS[3] + VECTORS[7])},
    )
    # A reaction may be any few characters.
    for plain, emoji in zip("abc", EMOJI, strict=True):
        chosen = emoji if texts.hostile else plain
        (await bob.put(f"/v1/messages/{mine}/reactions/{quote(chosen, safe='')}")).ok()
        (await bob.put(f"/v1/messages/{theirs['id']}/reactions/{quote(chosen, safe='')}")).ok()
    (await bob.post(f"/v1/messages/{mine}/replies", {"text": texts.long(5000)})).ok()
    (await alice.put(f"/v1/mutes/{dave.id}")).ok()
    eve = await tidings.joins("Eve")
    (await eve.patch("/v1/users/me", {"name": texts.name(1)})).ok()
    (await alice.put(f"/v1/blocks/{eve.id}")).ok()
    await asyncio.sleep(2.1)  # until then a page may have a way to older messages that come late
    return World(alice, bob, carol, dave, browser, mine, theirs["id"], texts)


@near
async def test_row_20_what_people_write_is_text_in_every_page_that_shows_it(tidings: Whole) -> None:
    """Each page of a hostile world has the very elements and attributes of one where all is harmless."""
    harmless = await (await world(tidings, Texts(hostile=False))).pages()
    hostile_world = await world(tidings, Texts(hostile=True))
    hostile = await hostile_world.pages()
    for name, page in hostile.items():
        assert page.status == harmless[name].status == 200, (name, page.text)
        document = page.document
        assert strays(document) == [], name
        if name != "found":  # who is found by it is not the same
            assert document.shape == harmless[name].document.shape, name
        assert "81" not in re.sub(r"[0-9a-f-]{12,}|\d{3,}|{{9\*9}}", "", document.text), name
    # It is all there to be read, character by character.
    said = hostile["message"].document
    assert " ".join(VECTORS) in said.text
    assert hostile_world.texts.name(3) in said.text
    assert {hostile_world.texts.long(1500)} <= {one.get("alt") for one in said.all("img")}
    assert hostile_world.texts.name(3) in said.all("title")[0].text
    assert VECTORS[0] + VECTORS[4] in said.text
    emoji = {one.get("value") for one in said.all("input") if one.get("name") == "emoji"}
    assert emoji >= set(EMOJI)
    settings = hostile["settings"].document
    assert VECTORS[2] in settings.text
    assert settings.all("textarea")[0].text.strip() == hostile_world.texts.long(500)
    edit = hostile["edit"].document
    assert edit.all("textarea")[0].text.strip() == " ".join(VECTORS)
    for name in ("friends", "notifications", "hidden", "end it", "block"):
        assert any(one in hostile[name].document.text for one in NAMES), name


@near
async def test_row_20_what_was_typed_comes_back_as_text(tidings: Whole) -> None:
    """A form that was refused is shown again, and an address is shown in what it asks for."""
    alice = await tidings.joins("Alice")
    browser, stranger = await signed_in(tidings.client, alice, PASSWORD), Visitor(tidings.client)
    typed = " ".join(VECTORS)

    async def shown(text: str) -> Iterator[tuple[str, Page]]:
        mine = (await alice.posts("mine"))["id"]
        addressed, short = quote(text[:1900]), text[:1900]
        answers = {
            **{
                f"{path}?{name}=": await stranger.opens(f"{path}?{name}={addressed}")
                for path, name in (
                    *(("/signin", "next"), ("/signin", "link"), ("/join", "invite")),
                    *(("/setup", "link"), ("/reset", "link"), ("/help", "next")),
                )
            },
            "a name of a parameter": await browser.opens(f"/feed?{addressed}=1"),
            "a cursor": await browser.opens(f"/feed?cursor={addressed[:200]}"),
            "search": await browser.opens(f"/friends?q={addressed}"),
            "search by handle": await browser.opens(f"/friends?q=@{addressed}"),
            "a text to write": await browser.opens(f"/write?text={addressed}"),
            "an answer to": await browser.opens(f"/write?reply_to={addressed}"),
            "a handle": await browser.opens(f"/@{quote(text[:60], safe='')}"),
            "an id": await browser.opens(f"/people/{quote(text[:60], safe='')}"),
            "a deletion": await stranger.opens(f"/gone?gid={addressed[:60]}"),
            "sign in": await stranger.sends("/signin", handle=short, password="not the one", next=short),
            "by link": await stranger.sends("/signin", link=short, next=short),
            "join": await stranger.sends("/join", handle=short, name=short, password="x", invite=short, key=short),
            "set up": await stranger.sends("/setup", link=short, handle=short, name=short, password="x"),
            "reset": await stranger.sends("/reset", link=short, password="x"),
            "no such field": await stranger.sends("/signin", (short[:90], "x")),
            "profile": await browser.sends_file("/settings/profile", ("name", short), ("bio", short)),
            "preferences": await browser.sends("/settings/preferences", language=short),
            "session": await browser.sends("/settings/sessions", session_id=short),
            "invite": await browser.sends("/settings/invites", invite_id=short),
            "leave": await browser.sends("/settings/delete", handle=short),
            "mark": await browser.sends("/notifications", until=short),
            "marker": await browser.sends("/feed/marker", at=short),
            "stand": await browser.sends(f"/people/{alice.id}/stand", do=short),
            "react": await browser.sends(f"/messages/{mine}/react", emoji=short),
            "where to go": await browser.sends(f"/messages/{mine}/delete", next=short),
            "edit": await browser.sends(f"/messages/{mine}/edit", text=text * 5, version=short),
            "only": await browser.sends_file("/write", ("text", "x"), ("audience", "only"), ("only", short)),
            "a picture": await browser.sends_file("/write", ("text", text), ("media", short)),
            "a sheet": await browser.sends_file(
                *("/write", ("text", text), ("do", "attach"), ("place", short), ("latitude", short)),
                *(("longitude", short), ("decimals", short), ("only", short), ("audience", short), ("key", short)),
            ),
            "no picture": await browser.sends_file(
                "/write", ("text", text), ("alt", short), ("do", "attach"), content=b"<svg/>", name=short[:80]
            ),
        }
        return iter(answers.items())

    plain = dict(await shown(("harmless words " * len(typed))[: len(typed)].strip()))
    seen = 0
    for name, page in await shown(typed):
        assert page.status < 500, (name, page.raw)
        if not page.answer.headers.get("content-type", "").startswith("text/html"):
            assert page.status in (303, 404), (name, page.status)
            continue
        document = page.document
        assert strays(document) == [], name
        assert "81" not in re.sub(r"[0-9a-f-]{12,}|\d{3,}|{{9\*9}}", "", document.text), name
        if page.status == plain[name].status:
            assert document.shape == plain[name].document.shape, name
            seen += 1
    assert seen > 20


@near
async def test_row_20_a_header_is_text_too(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    browser = await signed_in(tidings.client, alice, PASSWORD)
    plain = (await browser.opens("/settings")).document.shape
    for vector in VECTORS:
        page = await browser.opens(
            "/settings",
            **{"accept-language": vector, "user-agent": vector, "referer": vector, "x-forwarded-host": vector},
        )
        assert page.status == 200
        assert page.document.shape == plain
        assert "evil.example" not in page.text


# Row 21.

BAD = (
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\tscript:alert(1)",
    "javascript://example.com/%0aalert(1)",
    "data:text/html,<script>alert(1)</script>",
    "data:text/html;base64,PHNjcmlwdD4=",
    "vbscript:msgbox(1)",
    "file:///etc/passwd",
    "blob:https://example.com/x",
    "intent://example.com#Intent;end",
    "//evil.example/",
    "https://bank.example\u202e/moc.live//:sptth",
    "https://bank.exa\u200bmple/",
    "https://bank.example\u2066/\u2069",
    "https://bank.example/\ufeff",
    "bank.example/https://evil.example/",
    "bank.example@https://evil.example/",
)
GOOD = {
    "https://bank.example@evil.example/login": ("https://evil.example/login", "evil.example/login"),
    "https://bank.example:443@evil.example": ("https://evil.example", "evil.example"),
    "https://bank.example%2f@evil.example/": ("https://evil.example/", "evil.example"),
    "https://evil.example\\@bank.example/": ("https://bank.example/", "bank.example"),
    "https://bücher.example/x": ("https://xn--bcher-kva.example/x", "xn--bcher-kva.example/x"),
    "https://bаnk.example/": ("https://xn--bnk-6cd.example/", "xn--bnk-6cd.example"),
    "https://BANK.example/A": ("https://bank.example/A", "bank.example/A"),
    "(https://a.example/b).": ("https://a.example/b", "a.example/b"),
    "“https://a.example/c”,": ("https://a.example/c", "a.example/c"),
    "https://a.example/d?!": ("https://a.example/d", "a.example/d"),
    "<https://a.example/e>": ("https://a.example/e", "a.example/e"),
}


def links(page: Page) -> list[tuple[str, str]]:
    """What leads out of this server."""
    return [
        (one.get("href"), one.text) for one in page.document.all("a") if not re.match(r"/(?!/)|#", one.get("href"))
    ]


@near
async def test_row_21_only_addresses_of_the_web_are_links_and_each_shows_its_host(tidings: Whole) -> None:
    alice, bob = await tidings.joins("Alice"), await tidings.joins("Bob")
    await alice.befriends(bob)
    browser = await signed_in(tidings.client, alice, PASSWORD)
    for sender in ("bio", "message"):
        for texts, expected in ((BAD, []), (tuple(GOOD), list(GOOD.values()))):
            for at in range(0, len(texts), 6):
                some = texts[at : at + 6]
                if sender == "bio":
                    (await bob.patch("/v1/users/me", {"bio": "\n".join(some)})).ok()
                    pages = [await browser.opens(f"/people/{bob.id}")]
                else:
                    said = await bob.posts("\n".join(some))
                    pages = [await browser.opens(path) for path in (f"/messages/{said['id']}", "/")]
                for page in pages:
                    assert page.status == 200
                    assert strays(page.document) == []
                    found = links(page)
                    assert found == expected[at : at + 6], some
                    for address, words in found:
                        assert words.startswith(urlsplit(address).netloc)
                (await bob.patch("/v1/users/me", {"bio": ""})).ok()
                if sender == "message":
                    (await bob.delete(f"/v1/messages/{said['id']}")).ok()


AWAY = (
    *(
        "//evil.example",
        "///evil.example",
        "////evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\\/evil.example",
    ),
    *(
        "https://evil.example",
        "https:evil.example",
        "https:/evil.example",
        "HTTPS://evil.example",
        "http:\\\\evil.example",
    ),
    *(
        "javascript:alert(1)",
        "data:text/html,x",
        "evil.example",
        "@evil.example",
        ".evil.example",
        "?x",
        "#x",
        " //evil",
    ),
    *(
        "/\t/evil.example",
        "/\n/evil.example",
        "/\r\nset-cookie: a=b",
        "\t//evil.example",
        "/\u2028/evil",
        "/\x7f/evil",
    ),
    *("", "\u200b//evil.example", "/\u202e/evil.example"),
)
STAYING = {
    "/feed": "/feed",
    "/friends?q=a&cursor=b": "/friends?q=a&cursor=b",
    "/settings#profile": "/settings#profile",
    "/%2f%2fevil.example": "/%2f%2fevil.example",  # a path to everybody who reads it
    "/%5cevil.example": "/%5cevil.example",
    "/%09/evil.example": "/%09/evil.example",
    "/@日本": "/@%E6%97%A5%E6%9C%AC",
    "/x?y=https://evil.example": "/x?y=https://evil.example",
}


def is_here(location: str) -> bool:
    """Whichever way a browser reads the address, it goes to a path of this server."""
    assert location.isascii() and location.isprintable(), location
    return re.match(r"/(?![/\\])", location) is not None and "\\" not in location


@near
async def test_row_21_no_address_of_ours_leads_on_to_another_site(tidings: Whole) -> None:
    alice, bob = await tidings.joins("Alice"), await tidings.joins("Bob")
    browser = Visitor(tidings.client)
    for wanted in (*AWAY, *STAYING):
        expected = STAYING.get(wanted, "/")
        # As a link that somebody was sent: the form that it opens, and where that leads.
        opened = await browser.opens("/signin?next=" + quote(wanted, safe=""))
        assert opened.status == 200
        assert strays(opened.document) == []
        (held,) = [one.get("value") for one in opened.document.all("input") if one.get("name") == "next"]
        for sent in dict.fromkeys((held, wanted)):
            page = await browser.sends("/signin", handle=alice.handle, password=PASSWORD, next=sent)
            assert (page.status, page.location) == (303, expected), (wanted, page.raw)

        mine = (await alice.posts("mine"))["id"]
        answers = [
            await browser.sends(f"/messages/{mine}/react", emoji="x", next=wanted),
            await browser.sends(f"/people/{bob.id}/stand", do="mute", next=wanted),
            await browser.sends(f"/messages/{mine}/delete", sure="1", next=wanted),
        ]
        for answer in answers:
            assert answer.status == 303, (wanted, answer.raw)
            assert is_here(answer.location), (wanted, answer.location)
            assert answer.location == expected or wanted == ""
        asking = await browser.sends(f"/people/{bob.id}/stand", do="block", next=wanted)
        assert strays(asking.document) == []
    link = await tidings.operator.call(users.sign_in_link, users.ByHandle(handle=alice.handle))
    page = await browser.sends("/signin", link=link.secret, next="//evil.example")
    assert (page.status, page.location) == (303, "/")


@near
async def test_row_21_who_has_to_sign_in_first_comes_back_to_where_they_were(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    for asked in (
        "/settings",
        "/friends?q=a%26b",
        "/@%E6%97%A5",
        "/messages/x?next=//evil.example",
        "//evil.example/",
    ):
        stranger = Visitor(tidings.client)
        sent = await stranger.opens(asked)
        if sent.status == 404:
            continue
        assert sent.status == 303
        assert re.fullmatch(r"/signin(\?next=%2F(?!%2F|%5C)[\w.%~-]*)?", sent.location), sent.location
        form = await stranger.opens(sent.location)
        (held,) = [one.get("value") for one in form.document.all("input") if one.get("name") == "next"]
        back = await stranger.sends("/signin", handle=alice.handle, password=PASSWORD, next=held)
        assert back.status == 303
        assert is_here(back.location)
        assert back.location.startswith(asked.partition("?")[0])

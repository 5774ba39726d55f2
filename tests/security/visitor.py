"""A browser without scripts, as tests need one: it keeps cookies, says where a form comes from, and reads pages."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookies import Morsel, SimpleCookie
from typing import Any
from urllib.parse import urlencode

from tests.harness.people import Answer, Client, Person

FORM = "application/x-www-form-urlencoded"
VOID = frozenset({"base", "br", "embed", "hr", "img", "input", "link", "meta"})


@dataclass(frozen=True)
class Element:
    """An element with its attributes, in their order, and the text that is directly or deeper in it."""

    name: str
    attributes: tuple[tuple[str, str | None], ...]
    texts: list[str] = field(default_factory=list, compare=False)

    def get(self, attribute: str) -> str:
        return dict(self.attributes).get(attribute) or ""

    @property
    def text(self) -> str:
        return "".join(self.texts)


class Document(HTMLParser):
    """A page, parsed: all of its elements, and all of its text. Fails on what browsers would have to mend."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self.doctype = ""
        self._open: list[Element] = []
        self.feed(html)
        self.close()
        assert self._open == [], [one.name for one in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), (tag, attrs)
        element = Element(tag, tuple(attrs))
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, tuple(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, tag
        assert self._open[-1].name == tag, (tag, [one.name for one in self._open])
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.texts.append(data)

    def handle_decl(self, decl: str) -> None:
        self.doctype += decl

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def handle_pi(self, data: str) -> None:
        raise AssertionError(f"a processing instruction: {data}")

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(f"a declaration: {data}")

    def all(self, name: str) -> list[Element]:
        return [one for one in self.elements if one.name == name]

    @property
    def text(self) -> str:
        return self.elements[0].text if self.elements else ""

    @property
    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        """Names of elements and of their attributes: what of a page is markup, without what it says."""
        return [(one.name, tuple(name for name, _ in one.attributes)) for one in self.elements]


@dataclass(frozen=True)
class Page:
    """An answer to a browser."""

    answer: Answer

    @property
    def status(self) -> int:
        return self.answer.status

    @property
    def raw(self) -> bytes:
        return self.answer.raw

    @property
    def text(self) -> str:
        return self.answer.raw.decode()

    @property
    def location(self) -> str:
        return str(self.answer.headers.get("location", ""))

    @property
    def document(self) -> Document:
        return Document(self.text)

    @property
    def cookies(self) -> dict[str, Morsel[str]]:
        """What it sets, by name, with all flags."""
        found: dict[str, Morsel[str]] = {}
        for line in self.answer.headers.getall("set-cookie", []):
            found |= SimpleCookie(line)
        return found


@dataclass
class Visitor:
    """Somebody with a browser. Forms are sent as from our own page, unless other headers are given."""

    client: Client
    cookies: dict[str, str] = field(default_factory=dict)

    @property
    def named(self) -> str:
        """The name of the session's cookie over plain HTTP."""
        return f"tidings-session-{self.client.base.rpartition(':')[2]}"

    @property
    def session(self) -> str | None:
        return self.cookies.get(self.named)

    async def opens(self, path: str, **headers: str) -> Page:
        return await self.asks("GET", path, headers=headers)

    async def sends(self, path: str, /, *more: tuple[str, str], **fields: str) -> Page:
        """A form; `more` are fields that come again, or whose names are none in Python."""
        body = io.BytesIO(urlencode([*fields.items(), *more]).encode())
        return await self.asks("POST", path, headers={"content-type": FORM, **self.own}, data=body)

    async def sends_file(
        self, path: str, *fields: tuple[str, str], content: bytes = b"", name: str = "", type_: str = "image/png"
    ) -> Page:
        """A form with a file, as a browser writes it (RFC 7578); without a name, nobody has chosen one."""
        boundary = b"----a-boundary-of-this-form"
        body = b""
        for field_name, value in fields:
            body += b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (
                boundary,
                field_name.encode(),
                value.encode(),
            )
        body += b'--%b\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n' % (
            boundary,
            name.encode(),
        )
        body += b"Content-Type: %b\r\n\r\n%b\r\n--%b--\r\n" % (
            (type_ if name else "application/octet-stream").encode(),
            content,
            boundary,
        )
        sent = {"content-type": f"multipart/form-data; boundary={boundary.decode()}", **self.own}
        return await self.asks("POST", path, headers=sent, data=body)

    async def asks(self, method: str, path: str, *, headers: dict[str, str], **more: Any) -> Page:
        sent = dict(headers)
        if self.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = await self.client.ask(method, path, headers=sent, allow_redirects=False, **more)
        page = Page(answer)
        for name, morsel in page.cookies.items():
            if morsel["max-age"] == "0":
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = morsel.value
        return page

    @property
    def own(self) -> dict[str, str]:
        """What a browser says of a form of our own page."""
        return {"origin": self.client.base, "sec-fetch-site": "same-origin"}


async def signed_in(client: Client, person: Person, password: str) -> Visitor:
    """A browser in which that person is signed in."""
    visitor = Visitor(client)
    page = await visitor.sends("/signin", handle=person.handle, password=password)
    assert page.status == 303, page.text
    assert visitor.session
    return visitor

"""A browser as far as pages need one: it keeps cookies, sends forms, and says where it comes from."""

from __future__ import annotations

import html
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.harness.people import PASSWORD, Person


@dataclass(frozen=True)
class Page:
    """What is shown, and under which address."""

    status: int
    address: str  # path and query, and the fragment that a redirect named
    html: str
    location: str | None
    trace: str

    @property
    def text(self) -> str:
        """What can be read, with single spaces."""
        words = re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", self.html, flags=re.DOTALL)
        return " ".join(html.unescape(words).split())

    def ok(self) -> Page:
        assert self.status < 400, (self.status, self.text)
        return self

    def hidden(self, name: str) -> str:
        """The value of the first hidden field of that name."""
        found = re.search(rf'<input type="hidden" name="{name}" value="([^"]*)"', self.html)
        assert found is not None, f"no hidden {name} on {self.address}"
        return html.unescape(found[1])

    def buttons(self) -> list[str]:
        """What the buttons of the page's own part say."""
        main = self.html.partition("<main")[2].partition("</main>")[0]
        found = re.findall(r"<button[^>]*>(.*?)</button>", main, flags=re.DOTALL)
        shown = (re.sub(r'<span class="hear">.*?</span>|<[^>]*>', "", one) for one in found)
        return [words for one in shown if (words := html.unescape(one).strip())]


@dataclass
class Browser:
    """Of one person at most. `asked` counts its requests: each has a trace of its own."""

    session: aiohttp.ClientSession
    base: str
    asked: int = 0
    headers: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str, *, follow: bool = True) -> Page:
        return await self._ask("GET", path, follow=follow)

    async def post(self, path: str, *, follow: bool = True, file: bytes | None = None, **form: str) -> Page:
        """Send a form; with a `file`, as multipart."""
        data: Any = form
        if file is not None:
            data = aiohttp.FormData()
            for name, value in form.items():
                data.add_field(name, value)
            data.add_field("file", file, filename="picture.png", content_type="image/png")
        return await self._ask("POST", path, follow=follow, data=data)

    async def send(self, path: str, *, follow: bool = True, **form: str) -> Page:
        """Send a form of a page that takes files, without one."""
        return await self.send_pairs(path, *form.items(), follow=follow)

    async def send_pairs(self, path: str, *pairs: tuple[str, str], follow: bool = True) -> Page:
        """The same, with names that come more than once."""
        with aiohttp.MultipartWriter("form-data") as parts:
            for name, value in pairs:
                parts.append(value).set_content_disposition("form-data", name=name)
        return await self._ask("POST", path, follow=follow, data=parts)

    async def signs_in(self, person: Person, password: str = PASSWORD) -> Browser:
        page = await self.post("/signin", handle=person.handle, password=password)
        assert page.address == "/", (page.status, page.text)
        return self

    async def _ask(self, method: str, path: str, *, follow: bool, **more: Any) -> Page:
        self.asked += 1
        trace = secrets.token_hex(16)
        sent = {"origin": self.base, "traceparent": f"00-{trace}-{secrets.token_hex(8)}-01", **self.headers}
        async with self.session.request(
            method, self.base + path, headers=sent, allow_redirects=follow, **more
        ) as response:
            address = str(response.real_url.relative())
            shown = await response.text()
            return Page(response.status, address, shown, response.headers.get("location"), trace)


@asynccontextmanager
async def browsing(base: str, person: Person | None = None, **headers: str) -> AsyncIterator[Browser]:
    """Within the block, a browser with nothing kept, or with somebody signed in; `headers` go with all it asks."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        browser = Browser(session, base, headers={name.replace("_", "-"): value for name, value in headers.items()})
        if person is not None:
            await browser.signs_in(person)
        yield browser

"""Rows 13, 14, 18, 19, 22 and 23, for browsers: cookies, forms of other sites, and what a page may do."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from tests.api.conventions import NOBODY, PAGES, ROUTES, filled
from tests.harness.people import PASSWORD, Person
from tests.harness.system import Whole, whole
from tests.harness.waiting import until
from tests.security.conftest import Wary
from tests.security.markup import strays
from tests.security.visitor import FORM, Document, Page, Visitor, signed_in
from tidings.contracts import users
from tidings.edge.cookies import Cookies
from tidings.platform.clock import now_ms, rfc3339
from tidings.platform.contract import Admission
from tidings.platform.settings import Settings
from tidings.web.assets import ASSETS

near = pytest.mark.parametrize("tidings", ["near"], indirect=True)
NEW_PASSWORD = "another horse, another battery"
TOKEN = re.compile(r"tds_[A-Za-z0-9_-]{43}")


def visitor(tidings: Whole) -> Visitor:
    return Visitor(tidings.client)


async def session_of(tidings: Whole, token: str) -> str | None:
    """The id of the session that a token opens, if it opens one."""
    answer = await tidings.client.ask("GET", "/v1/sessions", token=token)
    if answer.status == 401:
        return None
    (current,) = [one["id"] for one in answer.ok()["sessions"] if one["current"]]
    return str(current)


# Row 13.


@near
async def test_row_13_signing_in_makes_a_new_session_whatever_the_browser_held(tidings: Whole) -> None:
    alice, mallory = await tidings.joins("Alice"), await tidings.joins("Mallory")
    made_up = "tds_" + "a" * 43
    for fixed in (made_up, mallory.token, alice.token, "", "x"):
        browser = visitor(tidings)
        browser.cookies[browser.named] = fixed
        page = await browser.sends("/signin", handle=alice.handle, password=PASSWORD)
        assert (page.status, page.location) == (303, "/")
        assert browser.session is not None and TOKEN.fullmatch(browser.session)
        assert browser.session != fixed
        assert await session_of(tidings, browser.session) not in (None, await session_of(tidings, alice.token))
        assert (await browser.opens(f"/people/{alice.id}")).status == 200
    # Whoever fixed one has gained nothing by it: it opens nothing of Alice's, and what the browser held has ended.
    for former in (made_up, mallory.token, alice.token):
        assert await session_of(tidings, former) is None


@near
async def test_row_13_a_session_is_taken_from_no_other_place_than_its_cookie(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    browser = visitor(tidings)
    for path in (f"/settings?session={alice.token}", f"/settings?token={alice.token}", f"/settings;{alice.token}"):
        assert (await browser.opens(path)).status in (303, 404, 422)
    named = browser.named
    for name in ("session", "tidings-session", f"{named}0", "__Host-tidings-session", named.upper()):
        other = Visitor(tidings.client, {name: alice.token})
        assert (await other.opens("/settings")).status == 303, name
    page = await browser.sends("/signin", ("session", alice.token), handle=alice.handle, password="not this one")
    assert page.status == 422  # a field that the form does not have
    assert browser.session is None


@near
async def test_row_13_every_way_in_makes_a_new_session(tidings: Whole) -> None:
    mallory = await tidings.joins("Mallory")

    async def by_joining(browser: Visitor) -> Page:
        handle = f"new_{secrets.token_hex(5)}"
        return await browser.sends("/join", handle=handle, name="New", password=PASSWORD)

    async def by_link(browser: Visitor) -> Page:
        alice = await tidings.joins("Alice")
        link = await tidings.operator.call(users.sign_in_link, users.ByHandle(handle=alice.handle))
        assert (await browser.opens(f"/signin?link={link.secret}")).status == 200  # to look at it uses nothing up
        return await browser.sends("/signin", link=link.secret)

    for way in (by_joining, by_link):
        browser = visitor(tidings)
        browser.cookies[browser.named] = mallory.token
        page = await way(browser)
        assert (page.status, page.location) == (303, "/")
        assert browser.session not in (None, mallory.token)
        seen = (await tidings.client.ask("GET", "/v1/users/me", token=browser.session)).ok()
        assert seen["id"] != mallory.id


@near
async def test_row_13_a_new_password_makes_a_new_session_and_ends_all_others(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    browser = await signed_in(tidings.client, alice, PASSWORD)
    other = await signed_in(tidings.client, alice, PASSWORD)
    before, held = browser.session or "", await session_of(tidings, browser.session or "")
    page = await browser.sends("/settings/password", current=PASSWORD, new=NEW_PASSWORD)
    assert page.status == 303
    assert browser.session not in (None, before)
    assert await session_of(tidings, browser.session or "") not in (None, held)
    for dead in (before, other.session or "", alice.token):
        assert await session_of(tidings, dead) is None
    assert (await other.opens("/settings")).location.startswith("/signin")
    stale = Visitor(tidings.client, {browser.named: before})
    assert (await stale.opens("/settings")).location.startswith("/signin")
    assert (await browser.opens("/settings")).status == 200
    # A wrong one changes nothing.
    kept = browser.session
    page = await browser.sends("/settings/password", current=PASSWORD, new="yet another password")
    assert page.status >= 400
    assert browser.session == kept
    assert browser.named not in page.cookies


@near
async def test_row_13_signing_out_ends_the_session_itself(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    for path, fields in (("/signout", {}), ("/settings/sessions", {"sure": "1"})):
        browser = await signed_in(tidings.client, alice, PASSWORD)
        held = browser.session or ""
        page = await browser.sends(path, **fields)
        assert (page.status, browser.session) == (303, None)
        assert await session_of(tidings, held) is None
    assert await session_of(tidings, alice.token) is None  # everywhere


@near
async def test_row_13_a_reset_ends_what_the_browser_held(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    browser = await signed_in(tidings.client, alice, PASSWORD)
    held = browser.session or ""
    link = await tidings.operator.call(users.reset_link, users.ByHandle(handle=alice.handle))
    page = await browser.sends("/reset", link=link.secret, password=NEW_PASSWORD)
    assert (page.status, page.location, browser.session) == (303, "/signin", None)
    assert await session_of(tidings, held) is None


# Row 14.


@pytest.fixture(scope="module")
async def over_tls() -> AsyncIterator[Whole]:
    """Behind a proxy that people reach by https."""
    async with whole("near", public_url="https://tidings.example") as system:
        yield system


@near
async def test_row_14_cookies_over_plain_http_are_for_this_server_alone(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    browser, port = visitor(tidings), tidings.system.url.rpartition(":")[2]
    signed = await browser.sends("/signin", handle=alice.handle, password=PASSWORD)
    settings, out = await browser.opens("/settings"), await browser.sends("/signout")
    assert signed.cookies.keys() & {f"tidings-session-{port}"}
    assert settings.cookies.keys() == {f"tidings-seen-{port}"}
    for page in (signed, settings, out):
        for name, cookie in page.cookies.items():
            assert re.fullmatch(rf"tidings-(session|seen|seen-\d)-{port}", name)
            assert cookie["httponly"] is True
            assert cookie["samesite"].lower() == "lax"
            assert (cookie["path"], cookie["domain"], cookie["secure"]) == ("/", "", "")
            assert cookie["max-age"].isdecimal()
    held = signed.cookies[f"tidings-session-{port}"]
    assert TOKEN.fullmatch(held.value)
    assert 3600 < int(held["max-age"]) <= 400 * 86_400
    forgotten = out.cookies[f"tidings-session-{port}"]
    assert (forgotten.value, forgotten["max-age"]) == ("", "0")


async def test_row_18_over_tls_a_page_that_came_without_it_is_another_site(over_tls: Whole) -> None:
    alice = await over_tls.joins("Alice")
    browser = visitor(over_tls)
    body = f"handle={alice.handle}&password={PASSWORD.replace(' ', '+')}".encode()
    for origin, status in (("http://tidings.example", 403), ("https://tidings.example", 303)):
        headers = {"content-type": FORM, "host": "tidings.example", "origin": origin}
        assert (await browser.asks("POST", "/signin", headers=headers, data=body)).status == status, origin


async def test_row_14_cookies_over_tls_are_bound_to_the_host(over_tls: Whole) -> None:
    alice = await over_tls.joins("Alice")
    browser = visitor(over_tls)
    own = {"host": "tidings.example", "origin": "https://tidings.example"}

    async def send(path: str, body: bytes) -> Page:
        form = {"content-type": FORM, **own}
        return await browser.asks("POST", path, headers=form, data=body)

    signed = await send("/signin", f"handle={alice.handle}&password={PASSWORD.replace(' ', '+')}".encode())
    assert (signed.status, signed.location) == (303, "/")
    settings = await browser.opens("/settings", **own)
    assert settings.status == 200
    out = await send("/signout", b"")
    assert out.status == 303
    for page in (signed, settings, out):
        assert page.cookies
        for name, cookie in page.cookies.items():
            assert re.fullmatch(r"__Host-tidings-(session|seen|seen-\d)", name)
            assert cookie["httponly"] is True
            assert cookie["secure"] is True
            assert cookie["samesite"].lower() == "lax"
            assert (cookie["path"], cookie["domain"]) == ("/", "")
    assert out.cookies["__Host-tidings-session"]["max-age"] == "0"
    # What any neighbour on the host could have set over plain HTTP is no session.
    for name in ("tidings-session-443", "tidings-session-80", "tidings-session", "Host-tidings-session"):
        plain = Visitor(over_tls.client, {name: alice.token})
        assert (await plain.opens("/settings", **own)).status == 303


def test_row_14_tls_without_a_proxy_is_seen_by_itself() -> None:
    scope = {
        "type": "http", "method": "GET", "scheme": "https", "path": "/", "query_string": b"",
        "headers": [(b"host", b"tidings.example:8443")], "server": ("127.0.0.1", 8443),
    }  # fmt: skip
    response = Response()
    Cookies(Settings()).admit(HttpRequest(scope), response, Admission(token="tds_x"))
    (cookie,) = response.headers.getlist("set-cookie")
    assert cookie == "__Host-tidings-session=tds_x; HttpOnly; Path=/; SameSite=lax; Secure"


@near
async def test_row_14_nothing_but_cookies_is_kept_in_the_browser(tidings: Whole) -> None:
    """No page and no address carries a token, which scripts, histories and logs of proxies would see."""
    alice = await tidings.joins("Alice")
    browser = await signed_in(tidings.client, alice, PASSWORD)
    for path in ("/", "/feed", "/settings", "/write", "/friends", "/help"):
        page = await browser.opens(path)
        assert page.status == 200
        assert TOKEN.search(page.text) is None
        assert (
            TOKEN.search(str({k: v for k, v in page.answer.headers.items() if k.lower() != "set-cookie"})) is None
        )


# Row 18.


@dataclass
class Place:
    """Somebody signed in in a browser, with something that could be changed."""

    tidings: Whole
    me: Person
    browser: Visitor
    friend: Person
    asker: Person
    mine: str
    theirs: str

    async def state(self) -> list[bytes]:
        """All of one's own that a form could change."""
        paths = (
            *("/v1/users/me", "/v1/users/me/preferences", "/v1/sessions", "/v1/invites", "/v1/media"),
            *("/v1/friends", "/v1/friend-requests?direction=incoming", "/v1/friend-requests?direction=outgoing"),
            *("/v1/blocks", "/v1/mutes", "/v1/notifications", f"/v1/messages?author={self.me.id}"),
            f"/v1/messages/{self.theirs}/reactions",
        )
        return [re.sub(rb'"next_cursor":"[^"]*"', b"", (await self.me.get(path)).raw) for path in paths]


@pytest.fixture
async def place(tidings: Whole) -> Place:
    me, friend, asker = [await tidings.joins(name) for name in ("Alice", "Bob", "Carol")]
    await me.befriends(friend)
    (await asker.put(f"/v1/friends/{me.id}")).ok()
    mine, theirs = (await me.posts("mine"))["id"], (await friend.posts("theirs", audience="public"))["id"]
    (await friend.post(f"/v1/messages/{mine}/replies", {"text": f"an answer to @{me.handle}"})).ok()
    browser = await signed_in(tidings.client, me, PASSWORD)

    async def all_told() -> bool:
        told = (await me.get("/v1/notifications")).ok()["notifications"]
        return {"friend_request", "friend_acceptance", "reply"} <= {one["kind"] for one in told}

    await until(all_told)  # what comes later is no change of the form's
    return Place(tidings, me, browser, friend, asker, mine, theirs)


Filled = Callable[[Place], Awaitable[tuple[str, dict[str, str]]]]


def fields(path: str = "", **given: str) -> Filled:
    """A form that does something; `{}` in it is filled with what is there."""

    async def fill(place: Place) -> tuple[str, dict[str, str]]:
        there = {
            "mine": place.mine,
            "theirs": place.theirs,
            "asker": place.asker.id,
            "handle": place.me.handle,
            "fresh": f"fresh_{secrets.token_hex(5)}",
            "now": rfc3339(now_ms()),
            "reset": "",
        }
        if "{reset}" in "".join(given.values()):
            link = await place.tidings.operator.call(users.reset_link, users.ByHandle(handle=place.me.handle))
            there["reset"] = link.secret
        return path.format_map(there), {name: value.format_map(there) for name, value in given.items()}

    return fill


FORMS: dict[str, Filled] = {
    "sign_in": fields("/signin", handle="{handle}", password=PASSWORD),
    "sign_out": fields("/signout"),
    "join": fields("/join", handle="{fresh}", name="Fresh", password=PASSWORD),
    "set_up": fields("/setup", link="x" * 43, handle="{fresh}", name="Fresh", password=PASSWORD),
    "reset": fields("/reset", link="{reset}", password=NEW_PASSWORD),
    "mark_feed": fields("/feed/marker", at="{mine}"),
    "write": fields("/write", text="not by her"),
    "edit": fields("/messages/{mine}/edit", text="not by her"),
    "withdraw": fields("/messages/{mine}/delete", sure="1"),
    "react": fields("/messages/{theirs}/react", emoji="❤️"),
    "stand": fields("/people/{asker}/stand", do="accept"),
    "mark_read": fields("/notifications", until="{now}"),
    "change_profile": fields("/settings/profile", name="Not Alice", bio="not by her"),
    "change_password": fields("/settings/password", current=PASSWORD, new=NEW_PASSWORD),
    "change_preferences": fields("/settings/preferences", language="en"),
    "end_session": fields("/settings/sessions", sure="1"),
    "change_invites": fields("/settings/invites", key="a-key"),
    "delete_me": fields("/settings/delete", handle="{handle}"),
}
POSTED = [route for route in PAGES if route.method not in ("GET", "HEAD")]
OWN, OWN_BY_TLS = "(own)", "(own by tls)"
FOREIGN: list[dict[str, str]] = [
    {},
    {"referer": OWN + "/settings"},
    {"origin": "https://evil.example"},
    {"origin": "https://evil.example", "sec-fetch-site": "same-origin"},
    {"origin": "null"},
    {"origin": ""},
    {"origin": OWN + ".evil.example"},
    {"origin": "http://127.0.0.1:1"},
    {"origin": OWN_BY_TLS},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-user": "?1"},
]


def test_row_18_every_form_of_the_contract_is_tried() -> None:
    assert FORMS.keys() == {route.name.partition("/")[2] for route in POSTED}
    assert all(route.method == "POST" for route in POSTED)


def named_by(place: Place, told: dict[str, str]) -> dict[str, str]:
    own = place.tidings.system.url
    return {
        name: value.replace(OWN, own).replace(OWN_BY_TLS, own.replace("http:", "https:"))
        for name, value in told.items()
    }


def encoded(route: Any, given: dict[str, str]) -> tuple[str, bytes]:
    """Content type and body of a form."""
    if route.upload is None:
        return FORM, "&".join(f"{k}={_quoted(v)}" for k, v in given.items()).encode()
    parts = "".join(
        f'--xx\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in given.items()
    )
    return "multipart/form-data; boundary=xx", f"{parts}--xx--\r\n".encode()


def _quoted(value: str) -> str:
    return "".join(f"%{byte:02x}" for byte in value.encode())


@near
@pytest.mark.parametrize("route", POSTED, ids=lambda route: route.name)
async def test_row_18_a_form_of_another_site_changes_nothing(place: Place, route: Any) -> None:
    path, given = await FORMS[route.name.partition("/")[2]](place)
    assert re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route.path), path)
    content_type, body = encoded(route, given)
    before, held = await place.state(), dict(place.browser.cookies)
    for told in FOREIGN:
        foreign = named_by(place, told)
        for more in ({}, {"hx-request": "true", "hx-current-url": place.tidings.system.url}):
            headers = {"content-type": content_type, **foreign, **more}
            for browser in (
                place.browser,
                visitor(place.tidings),
            ):  # signed in, and a stranger: one is not signed in
                answer = await browser.asks("POST", path, headers=headers, data=body)
                assert answer.status == 403, (headers, answer.raw)
                assert browser.named not in answer.cookies
    assert place.browser.cookies.keys() >= held.keys()
    assert place.browser.session == held[place.browser.named]
    assert await place.state() == before
    # The same from our own page has its effect: it is the origin that was refused.
    done = await place.browser.asks(
        "POST", path, headers={"content-type": content_type, **place.browser.own}, data=body
    )
    assert done.status == (410 if route.name == "web/set_up" else 303), done.text


@near
@pytest.mark.parametrize("named", [{"origin": OWN}, {"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}])
async def test_row_18_either_header_of_our_own_page_is_enough(tidings: Whole, named: dict[str, str]) -> None:
    alice = await tidings.joins("Alice")
    browser = visitor(tidings)
    headers = {name: value.replace(OWN, tidings.system.url) for name, value in named.items()}
    body = f"handle={alice.handle}&password={_quoted(PASSWORD)}".encode()
    headers["content-type"] = FORM
    assert (await browser.asks("POST", "/signin", headers=headers, data=body)).status == 303


@near
async def test_row_18_no_request_of_the_api_is_believed_by_its_cookie_alone(place: Place) -> None:
    """JSON that comes with a browser's session: every unsafe route of the contracts."""
    before, tried = await place.state(), 0
    values = {"user_id": place.asker.id, "message_id": place.mine, "emoji": "x"}
    for route in ROUTES:
        if route.method == "GET" or route.who != "member":
            continue
        path = filled(route.path, **values)
        upload = route.upload is not None
        content_type = "multipart/form-data; boundary=xx" if upload else "application/json"
        body = (
            encoded(route, {"alt": "x"})[1] if upload else (b'{"text": "x"}' if route.method != "DELETE" else b"")
        )
        for told in FOREIGN:
            headers = named_by(place, told)
            for more in ({}, {"hx-request": "true"}):
                sent = {"content-type": content_type, **headers, **more}
                answer = await place.browser.asks(route.method, path, headers=sent, data=body)
                assert (answer.status, answer.answer.body["code"]) == (403, "cross_site"), (route.name, sent)
                tried += 1
    assert tried > 500
    assert await place.state() == before
    own = {"content-type": "application/json", **place.browser.own}
    done = await place.browser.asks("POST", "/v1/messages", headers=own, data=b'{"text": "by her"}')
    assert done.status == 201


@near
async def test_row_18_to_look_at_a_page_changes_nothing(place: Place) -> None:
    """An address in a picture or a link of another site is asked for by GET, with the cookie."""
    before = await place.state()
    link = await place.tidings.operator.call(users.sign_in_link, users.ByHandle(handle=place.friend.handle))
    for route in PAGES:
        path = filled(route.path, user_id=place.asker.id, message_id=place.mine, handle=place.asker.handle)
        for query in ("", "?do=block&sure=1", f"?link={link.secret}", "?key=k&emoji=x&text=x"):
            answer = await place.browser.opens(path + query, **{"sec-fetch-site": "cross-site"})
            assert answer.status in (200, 303, 404, 405, 410, 422), (path, query)
            assert place.browser.named not in answer.cookies
    assert await place.state() == before
    assert (await visitor(place.tidings).sends("/signin", link=link.secret)).status == 303


# Row 19.


@near
async def test_row_19_no_page_and_no_asset_is_for_scripts_of_others(place: Place) -> None:
    paths = [route.path for route in PAGES if route.method == "GET" and "{" not in route.path]
    for origin in ("https://evil.example", "null", place.tidings.system.url):
        for path in (*paths, *(asset.path for asset in ASSETS.values()), "/v1/users/me"):
            for method in ("GET", "OPTIONS"):
                asked = {"origin": origin, "access-control-request-method": "POST"}
                answer = await place.browser.asks(method, path, headers=asked)
                told = [name for name in answer.answer.headers if name.lower().startswith("access-control")]
                assert told == [], (method, path)


async def test_row_19_a_configured_origin_never_acts_as_whom_a_browser_knows(wary: Wary) -> None:
    """With a token it is let in; with a cookie, which its scripts may not send, it is any other site."""
    alice = await wary.joins("Alice")
    browser = await signed_in(wary.client, alice, PASSWORD)
    theirs = {"origin": "https://app.example"}
    read = await browser.opens("/v1/users/me", **theirs)
    assert "access-control-allow-credentials" not in read.answer.headers
    page = await browser.opens("/settings", **theirs)
    assert "access-control-allow-credentials" not in page.answer.headers
    for site in ({}, {"sec-fetch-site": "same-site"}, {"sec-fetch-site": "cross-site"}):
        for more in ({}, {"hx-request": "true"}):
            form = {"content-type": FORM, **theirs, **site, **more}
            for path in ("/settings/invites", "/signout", "/signin"):
                assert (await browser.asks("POST", path, headers=form, data=b"")).status == 403
            json = {"content-type": "application/json", **theirs, **site, **more}
            sent = await browser.asks("POST", "/v1/messages", headers=json, data=b'{"text": "not by her"}')
            assert sent.status == 403
            with_token = {**json, "authorization": f"Bearer {alice.token}"}
            sent = await Visitor(wary.client).asks(
                "POST", "/v1/messages", headers=with_token, data=b'{"text": "x"}'
            )
            assert sent.status == 201
    assert (await alice.get("/v1/invites")).ok()["invites"] == []
    said = (await alice.get("/v1/messages", params={"author": alice.id})).ok()["messages"]
    assert {one["message"]["text"] for one in said} == {"x"}


# Row 22.


def directives(policy: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for part in policy.split(";"):
        name, *sources = part.split()
        assert name not in found, policy
        found[name] = sources
    return found


def check_policy(page: Page, *, at: str) -> None:
    """The policy of any answer; of HTML, what is in it, too."""
    (policy,) = page.answer.headers.getall("content-security-policy")
    told = directives(policy)
    assert "unsafe" not in policy, (at, policy)
    assert told["default-src"] == ["'none'"], (at, policy)
    assert told["frame-ancestors"] == ["'none'"], (at, policy)
    assert told["base-uri"] == ["'none'"], (at, policy)
    allowed = {"'self'", "'none'", "data:", "blob:"}
    for name, sources in told.items():
        assert set(sources) <= (allowed if name == "img-src" else {"'self'", "'none'"}), (at, policy)
    assert page.answer.headers["x-content-type-options"] == "nosniff", at
    assert page.answer.headers["referrer-policy"] in ("same-origin", "no-referrer"), at
    if page.status < 300 and page.answer.headers.get("content-type", "").startswith("text/html"):
        assert told.get("form-action") in (["'self'"], ["'none'"]), at
    if page.answer.headers.get("content-type", "").startswith("text/html"):
        assert strays(page.document) == [], at
        assert page.answer.headers["content-type"] == "text/html; charset=utf-8", at


@near
async def test_row_22_every_page_of_the_contract_has_the_policy_and_nothing_inline(place: Place) -> None:
    picture = await place.me.uploads(alt="a picture")
    said = await place.me.posts("with a picture", media=[{"media_id": picture, "alt": "what it shows"}])
    (await place.me.patch(f"/v1/messages/{said['id']}", {"text": "changed https://example.com @bob_1"})).ok()
    (await place.friend.put(f"/v1/messages/{said['id']}/reactions/❤️")).ok()
    (await place.me.put(f"/v1/mutes/{place.asker.id}")).ok()
    there = {"message_id": said["id"], "user_id": place.friend.id, "handle": place.friend.handle}
    shown = 0
    for route in PAGES:
        if route.method != "GET":
            continue
        path = filled(route.path, **there)
        for browser in (place.browser, visitor(place.tidings)):
            for query in ("", "?link=x", "?invite=x", "?colour=red", "?cursor=x"):
                page = await browser.opens(path + query)
                assert page.status in (200, 303, 400, 410, 422), (path, query, page.text)
                check_policy(page, at=path + query)
                shown += page.status == 200
    assert shown > 30


@near
async def test_row_22_what_is_no_page_has_a_policy_too(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    browser, stranger = place.browser, visitor(place.tidings)
    form = {"content-type": FORM}
    pages = {
        "not found": (await browser.opens(f"/messages/{NOBODY}"), 404),
        "no such person": (await browser.opens("/@nobody_here"), 404),
        "no such path": (await browser.opens("/nowhere"), 404),
        "no id": (await browser.opens("/people/<script>"), 422),
        "not with this method": (await browser.sends("/feed"), 405),
        "cross-site": (await browser.asks("POST", "/signout", headers=form, data=b""), 403),
        "another site's": (await browser.asks("POST", "/signout", headers={"origin": "null"}, data=b""), 403),
        "not a form": (await browser.asks("POST", "/signout", headers=browser.own, data=b"{}"), 400),
        "no such type": (await browser.asks("POST", "/settings/invites", headers=browser.own, data=b"x"), 415),
        "too large": (await browser.sends("/settings/password", current="x" * 2_000_000), 413),
        "twice": (await browser.sends("/settings/password", ("current", "a"), ("current", "b")), 422),
        "sign in first": (await stranger.opens("/settings"), 303),
        "spent": (await stranger.opens("/setup?link=x"), 410),
        "another host's": (await stranger.opens("/", host="evil.example"), 421),
        "problem": (await stranger.opens("/problems/not_found"), 200),
        "no such problem": (await stranger.opens("/problems/<script>"), 404),
        "docs": (await stranger.opens("/docs"), 200),
        "entrance": (await stranger.opens("/v1"), 200),
        "openapi": (await stranger.opens("/v1/openapi.json"), 200),
        "style": (await stranger.opens("/style.css"), 200),
        "health": (await stranger.opens("/livez"), 200),
        "api": (await browser.opens("/v1/timeline"), 200),
        "api, refused": (await stranger.opens("/v1/timeline"), 401),
        **{asset.name: (await stranger.opens(asset.path), 200) for asset in ASSETS.values()},
        "no such asset": (await stranger.opens("/static/x/<script>"), 404),
    }
    process = place.tidings.system.process
    assert process is not None

    async def breaks(*_: object) -> None:
        raise RuntimeError("<script>alert(1)</script>")

    with monkeypatch.context() as patched:
        patched.setattr(process.servings["web"], "answer", breaks)
        pages["fault"] = (await browser.opens("/help"), 500)
    for name, (page, status) in pages.items():
        assert page.status == status, (name, page.raw[:300])
        check_policy(page, at=name)
        assert b"<script>" not in page.raw, name


def test_row_22_the_rules_find_what_is_planted() -> None:
    """What judges the pages would see each of these."""
    good = "<!doctype html><html><body><p>x</p>{}</body></html>"
    assert strays(Document(good.format(""))) == []
    for planted in (
        "<script>alert(1)</script>",
        '<script src="/static/x/other.js"></script>',
        "<style>p{}</style>",
        '<p style="color:red"></p>',
        '<img src="/v1/avatars/x" onerror="x">',
        '<img src="https://evil.example/x.png">',
        '<a href="javascript:alert(1)">x</a>',
        '<a href="//evil.example">x</a>',
        '<a href="https://evil.example">x</a>',
        '<form action="https://evil.example"></form>',
        '<form action="/nowhere"></form>',
        '<button formaction="/signout"></button>',
        '<p hx-get="/v1/users/me"></p>',
        '<p hx-on:click="x"></p>',
        '<p data-hx-get="/signout"></p>',
        "<iframe></iframe>",
        '<base href="/">',
        '<meta http-equiv="refresh" content="0;url=//evil.example">',
    ):
        assert strays(Document(good.format(planted))), planted


# Row 23.


@near
async def test_row_23_a_picture_that_a_browser_opens_by_itself_is_in_a_sandbox(place: Place) -> None:
    picture = await place.me.uploads(alt="<script>alert(1)</script>", name="x.svg")
    said = await place.me.posts("with a picture", media=[{"media_id": picture}])
    page = (await place.browser.opens(f"/messages/{said['id']}")).document
    sources = {one.get("src") for one in page.all("img")} | {
        one.get("href") for one in page.all("a") if one.get("href").startswith("/v1/")
    }
    opened = [one for one in sources if one.startswith("/v1/")]
    assert any("/full" in one for one in opened) and any("/preview" in one for one in opened)
    assert any(one.startswith("/v1/avatars/") for one in opened)
    for address in opened:
        answer = (await place.browser.opens(address)).answer
        assert answer.status == 200
        policy = directives(answer.headers["content-security-policy"])
        assert policy["default-src"] == ["'none'"]
        assert policy["sandbox"] == []
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["content-type"].startswith("image/")
        assert b"<script" not in answer.raw
    export = (await place.browser.opens("/v1/users/me/export")).answer
    assert export.headers["content-disposition"].startswith("attachment;")
    assert export.headers["x-content-type-options"] == "nosniff"

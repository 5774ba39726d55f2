"""What a browser keeps for us: its session for as long as that lasts, and for some seconds what it has seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http.cookies import Morsel, SimpleCookie

import pytest
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from tests.harness.people import PASSWORD, SEEN
from tests.harness.system import Whole
from tests.security.visitor import Visitor, signed_in
from tidings.edge.cookies import SLOTS, WRITTEN_FOR, Cookies
from tidings.edge.seen_tokens import SeenTokens
from tidings.platform.clock import stamp_ns
from tidings.platform.contract import Admission
from tidings.platform.http.problems import BadRequest
from tidings.platform.seen import Seen
from tidings.platform.settings import Settings

near = pytest.mark.parametrize("tidings", ["near"], indirect=True)


def asking(host: str = "127.0.0.1:8470", scheme: str = "http", **cookies: str) -> HttpRequest:
    told = "; ".join(f"{name}={value}" for name, value in cookies.items()).encode()
    headers = [(b"host", host.encode()), (b"cookie", told)]
    scope = {
        "type": "http",
        "method": "GET",
        "scheme": scheme,
        "path": "/",
        "query_string": b"",
        "headers": headers,
    }
    return HttpRequest({**scope, "server": ("127.0.0.1", 1)})


def kept(response: Response) -> dict[str, Morsel[str]]:
    found: dict[str, Morsel[str]] = {}
    for line in response.headers.getlist("set-cookie"):
        found |= SimpleCookie(line)
    return found


@pytest.mark.parametrize(
    ("settings", "host", "scheme", "name"),
    [
        (Settings(), "127.0.0.1:8470", "http", "tidings-session-8470"),
        (Settings(), "localhost:1", "http", "tidings-session-1"),
        (Settings(), "localhost", "http", "tidings-session-80"),
        (Settings(), "[::1]:8470", "http", "tidings-session-8470"),
        (Settings(), "x.example", "https", "__Host-tidings-session"),
        (Settings(public_url="https://x.example"), "x.example", "http", "__Host-tidings-session"),
        (Settings(public_url="http://x.example:8470"), "x.example:8470", "http", "tidings-session-8470"),
    ],
)
def test_a_cookie_is_named_after_what_may_set_it(settings: Settings, host: str, scheme: str, name: str) -> None:
    cookies, response = Cookies(settings), Response()
    cookies.admit(asking(host, scheme), response, Admission(token="tds_x"))
    assert kept(response).keys() == {name}
    assert cookies.token(asking(host, scheme, **{name: "tds_x"})) == "tds_x"
    assert cookies.token(asking(host, scheme, **{f"{name}9": "tds_x", "tidings-session": "y"})) is None


def test_a_session_is_kept_for_as_long_as_it_lasts() -> None:
    response = Response()
    until = datetime.now(UTC) + timedelta(days=30)
    Cookies(Settings()).admit(asking(), response, Admission(token="tds_x", expires_at=until))
    (cookie,) = kept(response).values()
    assert abs(int(cookie["max-age"]) - 30 * 86_400) < 5
    response = Response()
    Cookies(Settings()).admit(asking(), response, Admission(token=None))
    (cookie,) = kept(response).values()
    assert (cookie.value, cookie["max-age"]) == ("", "0")


def test_what_was_seen_takes_one_place_and_what_was_written_one_of_several() -> None:
    cookies, names = Cookies(Settings()), set()
    for _ in range(200):
        response = Response()
        cookies.remember(asking(), response, "sealed", wrote=True)
        (cookie,) = kept(response).values()
        assert cookie["max-age"] == str(WRITTEN_FOR)
        names.add(cookie.key)
    assert names == {f"tidings-seen-{slot}-8470" for slot in range(SLOTS)}
    response = Response()
    cookies.remember(asking(), response, "sealed", wrote=False)
    assert kept(response).keys() == {"tidings-seen-8470"}
    response = Response()
    cookies.remember(asking(), response, "", wrote=True)  # freshness is off
    assert kept(response) == {}
    there = {name: name for name in names} | {"tidings-seen-8470": "x", "tidings-seen-9-8470": "no", "seen": "no"}
    assert set(cookies.seen(asking(**there))) == names | {"x"}


def test_a_token_in_a_cookie_that_is_not_ours_is_passed_over() -> None:
    """Another server of the same host may have set it: a browser cannot help it, as a client with a header can."""
    tokens = SeenTokens(b"a secret", ("friends", "users"), strict=True)
    other = SeenTokens(b"another secret", ("friends", "users"), strict=True)
    client = Seen()
    client.shown("users", stamp_ns())
    good, theirs = tokens.sealed(client), other.sealed(client)
    stamps = client.known().stamps
    assert tokens.opened(None, [theirs, "nonsense", "", "x" * 10_000, good]).known().stamps == stamps
    assert tokens.opened(good, []).known().stamps == stamps
    assert tokens.opened(None, [theirs]).known().stamps == {}
    with pytest.raises(BadRequest):
        tokens.opened(theirs, [good])


@near
async def test_a_page_shows_what_its_browser_has_just_written(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    browser = await signed_in(tidings.client, alice, PASSWORD)
    for number in range(10):
        posted = await browser.sends_file("/write", ("text", f"said {number}"), ("key", f"k{number}"))
        assert posted.status == 303
        assert any(name.startswith("tidings-seen-") for name in posted.cookies)
        assert f"said {number}" in (await browser.opens("/feed")).text
    # Broken by somebody else, they break nothing.
    for name in list(browser.cookies):
        if "seen" in name:
            browser.cookies[name] = "nonsense"
    assert (await browser.opens("/feed")).status == 200


@near
async def test_only_browsers_are_given_cookies(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    for answer in (
        await alice.get("/v1/timeline"),
        await alice.post("/v1/messages", {"text": "x"}),
        await tidings.client.ask("POST", "/v1/sessions", json={"handle": alice.handle, "password": PASSWORD}),
        await tidings.client.ask("GET", "/livez"),
        await tidings.client.ask("GET", "/docs"),
    ):
        assert answer.status < 300
        assert "set-cookie" not in answer.headers
    browser = await signed_in(tidings.client, alice, PASSWORD)
    page = await browser.opens("/v1/timeline")  # its scripts ask, too
    assert page.cookies.keys() == {f"tidings-seen-{tidings.system.url.rpartition(':')[2]}"}
    assert page.answer.headers[SEEN]
    avatar = await browser.opens(f"/v1/avatars/{alice.id}")
    assert avatar.answer.headers["cache-control"].startswith("public")
    assert avatar.cookies == {}  # what others may be given from a cache says nothing of anybody
    assert SEEN not in avatar.answer.headers


@near
async def test_a_dead_session_is_a_stranger_to_pages_for_anyone(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    browser = await signed_in(tidings.client, alice, PASSWORD)
    stale = Visitor(tidings.client, dict(browser.cookies))
    await browser.sends("/signout")
    for token in (stale.session or "", "nonsense", "tds_short"):
        stale.cookies[stale.named] = token
        assert (await stale.opens("/help")).status == 200
        assert alice.handle not in (await stale.opens("/")).text
        page = await stale.opens("/settings")
        assert (page.status, page.location) == (303, "/signin?next=%2Fsettings")
        assert (await stale.opens("/v1/users/me")).status == 401

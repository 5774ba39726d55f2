"""What every request and answer has in common: problems, methods, parameters, texts, times and pages."""

from __future__ import annotations

import asyncio
import html
import io
import json
import re
import secrets
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.api.conventions import DOCUMENT, FORM_PATHS, NOBODY, OWN_PATHS, PAGES, filled, operations, resolved
from tests.harness.people import PASSWORD, Answer, Person
from tests.harness.system import Whole
from tidings.platform.http.problems import known_refusals

pytestmark = pytest.mark.parametrize("tidings", ["near"], indirect=True)

PROBLEM = {"type", "title", "status", "detail", "code", "trace_id"}
STREAM = "/v1/stream"  # has no end: tests/journeys/test_stream.py reads it
GETS = [path for method, path, _ in operations() if method == "GET" and path != STREAM]


def is_problem(answer: Answer, status: int, code: str) -> dict[str, Any]:
    """The answer is a whole problem (RFC 9457), under the client's trace if it named one."""
    body: dict[str, Any] = answer.body
    assert (answer.status, body["code"]) == (status, code), answer.raw
    assert answer.headers["content-type"] == "application/problem+json"
    assert "no-store" in answer.headers["cache-control"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert body.keys() >= PROBLEM
    assert body.keys() <= PROBLEM | {"errors", "service"}
    assert (body["status"], body["type"]) == (status, f"/problems/{code}")
    assert re.fullmatch(answer.trace or "[0-9a-f]{32}", body["trace_id"])
    assert body["detail"].endswith((".", "?", "!"))
    return body


async def test_every_kind_of_refusal_is_a_problem_under_the_senders_trace(tidings: Whole) -> None:
    alice, client = await tidings.joins("Alice"), tidings.client
    is_problem(await client.ask("GET", "/v1/timeline", traced=True), 401, "unauthenticated")
    is_problem(await alice.get("/nowhere", traced=True), 404, "no_such_path")
    is_problem(await alice.get(f"/v1/messages/{NOBODY}", traced=True), 404, "not_found")
    is_problem(await alice.delete("/v1/timeline"), 405, "method_not_allowed")
    is_problem(await alice.post("/v1/messages", data="{", headers=as_json()), 400, "bad_request")
    is_problem(
        await alice.post("/v1/messages", data="x", headers={"content-type": "text/plain"}),
        415,
        "unsupported_media_type",
    )
    is_problem(await alice.get("/v1/timeline", headers={"host": "evil.example"}, traced=True), 421, "wrong_host")
    is_problem(
        await alice.post("/v1/messages", {"text": "x"}, headers={"origin": "https://evil.example"}),
        403,
        "cross_site",
    )
    is_problem(await alice.get("/v1/timeline", params={"cursor": "x"}, traced=True), 400, "bad_cursor")
    is_problem(await alice.get("/problems/nonsense", traced=True), 404, "no_such_path")
    huge = await alice.post("/v1/messages", data=io.BytesIO(b" " * 1_048_577), headers=as_json())
    is_problem(huge, 413, "too_large")


async def test_problem_types_lead_to_a_page_that_explains_them(tidings: Whole) -> None:
    for code, refusal in known_refusals().items():
        page = await tidings.client.ask("GET", f"/problems/{code}")
        assert page.status == 200, code
        assert refusal.title in html.unescape(page.raw.decode())


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"text": 1}, "/text"),
        ({"text": "x" * 5001}, "/text"),
        ({"text": "x", "media": [{"media_id": "poem"}]}, "/media/0/media_id"),
        ({"text": "x", "media": [{"media_id": str(NOBODY), "alt": "x" * 1501}]}, "/media/0/alt"),
        ({"text": "x", "place": {"latitude": 91, "longitude": 0}}, "/place/latitude"),
        ({"text": "x", "mentions": [str(NOBODY), "me"]}, "/mentions/1"),
        ({"text": "x", "place": {"latitude": 1}}, "/place"),
        ({"text": "a\u0000b"}, "/text"),
        ({"text": "x", "place": {"latitude": 1, "longitude": 1, "name": "\u0000"}}, "/place/name"),
        ({"text": "x", "media": [{"media_id": str(NOBODY), "alt": "\u0000"}]}, "/media/0/alt"),
    ],
)
async def test_errors_point_at_the_field(tidings: Whole, body: Any, pointer: str) -> None:
    alice = await tidings.joins("Alice")
    problem = is_problem(await alice.post("/v1/messages", body), 422, "invalid")
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert problem["errors"][0]["detail"].endswith(".")


@pytest.mark.parametrize(
    "body",
    [
        {"text": "x", "colour": "red"},
        {"text": "x", "place": {"latitude": 1, "longitude": 1, "height": 2}},
        {"text": "x", "media": [{"media_id": str(NOBODY), "height": 2}]},
    ],
)
async def test_unknown_fields_are_refused_by_name(tidings: Whole, body: Any) -> None:
    alice = await tidings.joins("Alice")
    problem = is_problem(await alice.post("/v1/messages", body), 422, "invalid")
    assert re.search("colour|height", problem["errors"][0]["detail"])


async def test_parameters_are_known_single_and_in_range(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    for query, pointer in (
        ("colour=red", "?colour"),
        ("limit=5&limit=6", "?limit"),
        ("limit=101", "?limit"),
        ("limit=0", "?limit"),
        ("limit=many", "?limit"),
        ("has=%00", "?has"),
        ("body=x", "?body"),
    ):
        problem = is_problem(await alice.get(f"/v1/timeline?{query}", traced=True), 422, "invalid")
        assert [error["pointer"] for error in problem["errors"]] == [pointer], query
    is_problem(await alice.get("/v1/users?q=%ff", traced=True), 400, "bad_request")
    is_problem(await alice.get("/v1/messages/nonsense", traced=True), 422, "invalid")
    is_problem(await alice.get(f"/v1/users/{alice.id}?user_id={NOBODY}", traced=True), 422, "invalid")


async def test_a_list_comes_with_commas_or_repeated(tidings: Whole) -> None:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    for query in (f"ids={alice.id},{bob.id}", f"ids={alice.id}&ids={bob.id}"):
        found = (await alice.get(f"/v1/users?{query}")).ok()["users"]
        assert [one["id"] for one in found] == [alice.id, bob.id]
    many = ",".join([alice.id] * 101)
    is_problem(await alice.get(f"/v1/users?ids={many}", traced=True), 422, "invalid")


async def test_text_that_no_store_can_keep_is_refused_in_any_spelling(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    for raw in (
        rb'{"text": "\u0000"}',
        b'{"text": "\x00"}',
        rb'{"text": "\ud800"}',
        rb'{"text": "\udc00\ud800"}',
        rb'{"text": "\uD83D"}',
        b'{"text": "\xed\xa0\x80"}',
        b'{"text": "\xff"}',
    ):
        answer = await alice.post("/v1/messages", data=raw, headers=as_json())
        assert answer.status in (400, 422), raw
        is_problem(answer, answer.status, {400: "bad_request", 422: "invalid"}[answer.status])
    whole = await alice.post("/v1/messages", data=rb'{"text": "\ud83d\ude00"}', headers=as_json())
    assert whole.ok()["text"] == "\N{GRINNING FACE}"
    is_problem(await alice.put(f"/v1/messages/{NOBODY}/reactions/%00"), 422, "invalid")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"1",
        b'"x"',
        b"{",
        b'{"text": "x"} {}',
        b'{"text": NaN}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
async def test_a_body_that_is_no_object_of_that_kind_is_refused(tidings: Whole, raw: bytes) -> None:
    alice = await tidings.joins("Alice")
    answer = await alice.post("/v1/messages", data=raw, headers=as_json())
    assert answer.status in (400, 422)
    is_problem(answer, answer.status, {400: "bad_request", 422: "invalid"}[answer.status])


async def test_content_types(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    raw = b'{"text": "x"}'

    async def status(method: str, path: str, content_type: str, **headers: str) -> int:
        sent = {"content-type": content_type, **headers}
        return (await tidings.client.ask(method, path, token=alice.token, data=raw, headers=sent)).status

    assert await status("POST", "/v1/messages", "application/json") == 201
    assert await status("POST", "/v1/messages", "Application/JSON; charset=UTF-8") == 201
    for refused in (
        "application/merge-patch+json",
        "text/json",
        "application/json; charset=latin-1",
        "application/octet-stream",
    ):
        assert await status("POST", "/v1/messages", refused) == 415, refused
    assert await status("POST", "/v1/messages", "application/json", **{"content-encoding": "gzip"}) == 415
    message = await alice.posts("y")
    for patch in ("application/json", "application/merge-patch+json"):
        assert await status("PATCH", f"/v1/messages/{message['id']}", patch) == 200
    bodiless = await alice.put(f"/v1/mutes/{NOBODY}", {"x": 1})
    is_problem(bodiless, 400, "bad_request")


async def test_a_merge_patch_changes_what_it_names(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    (await alice.patch("/v1/users/me", {"bio": "a line"})).ok()
    assert (await alice.patch("/v1/users/me", {"name": "Al"})).ok()["bio"] == "a line"
    assert (await alice.patch("/v1/users/me", {})).ok()["name"] == "Al"
    assert (await alice.patch("/v1/users/me", {"bio": None})).ok()["bio"] == ""
    is_problem(await alice.patch("/v1/users/me", {"name": None}), 422, "invalid")

    said = await alice.posts("here", place={"latitude": 1.5, "longitude": 2.5}, tags=["a"])
    path = f"/v1/messages/{said['id']}"
    assert (await alice.patch(path, {"text": "there"})).ok()["place"]["latitude"] == 1.5
    without = (await alice.patch(path, {"place": None})).ok()
    assert (without["place"], without["text"], without["tags"]) == (None, "there", ["a"])


def _times(schema: dict[str, Any], value: Any) -> list[str]:
    """Every value that the document calls a time."""
    schema = resolved(schema)
    found: list[str] = []
    for option in schema.get("anyOf", ()):
        found += _times(option, value)
    if isinstance(value, dict):
        for name, inner in value.items():
            found += _times(schema.get("properties", {}).get(name, {}), inner)
            if name.endswith("_at") and inner is not None:
                found.append(inner)
    if isinstance(value, list):
        for inner in value:
            found += _times(schema.get("items", {}), inner)
    if schema.get("format") == "date-time" and value is not None:
        found.append(value)
    return found


async def test_times_are_rfc_3339_in_utc_with_milliseconds(tidings: Whole) -> None:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    await alice.befriends(bob)
    message = await bob.posts("hello")
    (await alice.put(f"/v1/messages/{message['id']}/reactions/+1")).ok()
    (await bob.patch(f"/v1/messages/{message['id']}", {"text": "hello there"})).ok()
    (await alice.post("/v1/invites")).ok()
    seen = 0
    for path in GETS:
        if "{" in path and "message_id" not in path:
            continue
        answer = await alice.get(filled(path, message_id=message["id"]), params=WANTED.get(path))
        schema = DOCUMENT["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        for time in _times(schema, answer.ok()):
            seen += 1
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time), (path, time)
    assert seen >= 8


WANTED = {"/v1/users": {"q": "a"}, "/v1/messages": {"author": str(NOBODY)}}


OWN = {"/v1/users/{user_id}/export": {"user_id": "me"}}  # answers nobody else


async def _deletion(tidings: Whole) -> str:
    """One that took its time, and is over."""
    leaving = await tidings.joins("Leaving")
    async with tidings.points.holds("before messages/prepare_removal", viewer=leaving.id):
        address: str = (await leaving.delete("/v1/users/me")).headers["location"]
    async with asyncio.timeout(10):
        while (await tidings.client.ask("GET", address)).body["state"] == "deciding":
            await asyncio.sleep(0.05)
    return address.rpartition("/")[2]


async def _gets(tidings: Whole) -> list[tuple[Person, str, str]]:
    """Every GET of the document and the edge, as requests that succeed."""
    alice = await tidings.joins("Alice")
    bob = await tidings.joins("Bob")
    await alice.befriends(bob)
    message = await alice.posts("hello")
    given = {
        "message_id": message["id"],
        "user_id": bob.id,
        "gid": await _deletion(tidings),
        "media_id": await alice.uploads(),
    }
    asked = [
        (
            alice,
            filled(path, **given | OWN.get(path, {}))
            + "".join(f"?{name}={value}" for name, value in WANTED.get(path, {}).items()),
        )
        for path in GETS
    ]
    return [
        (person, path, path) for person, path in [*asked, *((alice, path) for path in (*OWN_PATHS, *FORM_PATHS))]
    ]


async def test_head_answers_like_get_without_the_body(tidings: Whole) -> None:
    plain = {"accept-encoding": "identity"}  # a form has a key of its own: packed, it is now longer, now shorter
    for alice, path, _ in await _gets(tidings):
        changing = {"date", "tidings-seen", "set-cookie"} | (
            {"etag", "link", "content-length"} if path == "/v1/feed" else set()
        )  # its cursors know the time
        got = await alice.get(path, headers=plain)
        assert got.status == 200, (path, got.raw)
        head = await tidings.client.ask("HEAD", path, token=alice.token, headers=plain)
        assert (head.status, head.raw) == (got.status, b""), path
        assert [one.partition("=")[0] for one in head.headers.getall("set-cookie", [])] == [
            one.partition("=")[0] for one in got.headers.getall("set-cookie", [])
        ], path
        gets, heads = (
            {name.lower(): value for name, value in one.headers.items() if name.lower() not in changing}
            for one in (got, head)
        )
        assert heads == gets, path
    # Refusals too.
    assert (await tidings.client.ask("HEAD", "/v1/timeline")).status == 401
    assert (await alice.client.ask("HEAD", f"/v1/messages/{NOBODY}", token=alice.token)).status == 404


async def test_every_path_names_its_methods(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    every = {path: {method.upper() for method in methods} for path, methods in DOCUMENT["paths"].items()}
    every |= {path: {"GET"} for path in OWN_PATHS}
    for route in PAGES:
        every.setdefault(route.path, set()).add(route.method)
    for path, methods in every.items():
        allowed = methods | ({"HEAD"} if "GET" in methods else set())
        for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} - allowed:
            answer = await tidings.client.ask(method, filled(path), token=alice.token)
            assert answer.status == 405, (method, path)
            assert set(answer.headers["allow"].split(", ")) == allowed, (method, path)
            if method != "HEAD":
                is_problem(answer, 405, "method_not_allowed")


async def test_link_headers_say_what_next_cursor_says(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    crowd = await tidings.crowd(alice, 5)
    said = [await alice.posts(f"hello {number}", tags=["t"]) for number in range(4)]
    for number in range(4):
        (await alice.post(f"/v1/messages/{said[0]['id']}/replies", {"text": f"reply {number}"})).ok()
    for one in crowd[:3]:
        (await alice.put(f"/v1/mutes/{one}")).ok()
    handle = (await alice.get("/v1/users", params={"ids": str(crowd[0])})).ok()["users"][0]["handle"]
    for path in (
        "/v1/timeline?limit=1",
        "/v1/feed?limit=2",
        "/v1/friends?limit=2",
        "/v1/mutes?limit=2",
        f"/v1/users/{alice.id}/friends?limit=2",
        f"/v1/users?q={handle.rpartition('_')[0]}&limit=2",
        f"/v1/messages?author={alice.id}&limit=2&tag=t",
        f"/v1/messages/{said[0]['id']}/replies?limit=2",
    ):
        first = await alice.get(path)
        cursor = first.ok()["next_cursor"]
        links = {
            relation: target for target, relation in re.findall(r'<([^>]*)>; rel="(\w+)"', first.headers["link"])
        }
        target = urlsplit(links["next"])
        assert target.path in ("", urlsplit(path).path), path
        query = parse_qs(target.query)
        assert query.pop("cursor") == [cursor], path
        assert query.items() >= parse_qs(urlsplit(path).query).items(), path
        onward = await alice.get(f"{urlsplit(path).path}?{target.query}")
        assert onward.status == 200, path
        assert onward.raw != first.raw
        if "prev" in links:
            assert parse_qs(urlsplit(links["prev"]).query)["cursor"] == [first.body["previous_cursor"]]


async def test_me_is_oneself_where_the_document_says_so(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    await alice.posts("hello")
    for method, path, operation in operations():
        described = [one for one in operation["parameters"] if one["name"] == "user_id" and one["in"] == "path"]
        if not described:
            continue
        knows = {"const": "me"} in described[0]["schema"].get("anyOf", ())
        if method == "GET":
            answer = await alice.get(filled(path, user_id="me"))
            assert answer.status == (200 if knows else 422), path
    assert (await alice.get("/v1/users/me")).raw == (await alice.get(f"/v1/users/{alice.id}")).raw


async def test_bulk_reads_leave_out_the_unknown_and_the_forbidden_alike(tidings: Whole) -> None:
    alice, bob, blocker = [await tidings.joins(name) for name in ("Alice", "Bob", "Blocker")]
    (await blocker.put(f"/v1/blocks/{alice.id}")).ok()
    hidden, public = await bob.posts("for friends"), await bob.posts("for all", audience="public")

    async def found(path: str, ids: list[str]) -> bytes:
        answer = await alice.get(path, params={"ids": ",".join(ids)})
        assert answer.status == 200
        return answer.raw

    assert await found("/v1/users", [bob.id, blocker.id]) == await found("/v1/users", [bob.id, str(NOBODY)])
    with_hidden = await found("/v1/messages", [public["id"], hidden["id"]])
    assert with_hidden == await found("/v1/messages", [public["id"], str(NOBODY)])
    assert [one["message"]["id"] for one in json.loads(with_hidden)["messages"]] == [public["id"]]


async def test_a_handle_ends_where_it_ends(tidings: Whole) -> None:
    """A last newline passes the `$` of many a pattern."""
    handle = f"eve_{secrets.token_hex(5)}"
    body = {"handle": handle + "\n", "name": "Eve", "password": PASSWORD}
    problem = is_problem(await tidings.client.ask("POST", "/v1/users", json=body), 422, "invalid")
    assert problem["errors"][0]["pointer"] == "/handle"
    alice = await tidings.joins("Alice")
    is_problem(await alice.post("/v1/messages", {"text": "x", "tags": ["a\n"]}), 422, "invalid")
    is_problem(await alice.get("/v1/timeline?near=1,2%0a&within_km=5", traced=True), 422, "invalid")


def as_json() -> dict[str, str]:
    return {"content-type": "application/json"}


async def test_an_address_or_headers_without_end_are_a_problem_too(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    for path, headers in (("/v1/timeline?cursor=" + "x" * 66_000, {}), ("/v1/timeline", {"x-long": "y" * 66_000})):
        answer = await alice.get(path, headers=headers)
        assert (answer.status, answer.body["code"]) == (431, "headers_too_large")
        assert answer.headers["content-type"] == "application/problem+json"

"""Rows 18, 19, 31-35, 38 and 42: what comes over HTTP is not believed."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import UUID, uuid4

import msgspec
import psutil
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.api.conventions import FORM_PATHS, NOBODY, OWN_PATHS, filled, operations, resolved
from tests.harness.system import Whole
from tests.security.conftest import Wary
from tests.security.listening import ear
from tidings.edge.guard import client_address
from tidings.platform.contract import BadCursor
from tidings.platform.cursors import Cursors

near = pytest.mark.parametrize("tidings", ["near"], indirect=True)
JSON = {"content-type": "application/json"}


@near
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
    ],
)
async def test_row_18_pages_of_other_sites_change_nothing(tidings: Whole, headers: dict[str, str]) -> None:
    alice = await tidings.joins("Alice")
    answer = await alice.post("/v1/messages", {"text": "x"}, headers=headers)
    assert (answer.status, answer.body["code"]) == (403, "cross_site")
    assert (await alice.delete("/v1/users/me", headers=headers)).status == 403
    form = {"content-type": "application/x-www-form-urlencoded", **headers}
    for path in FORM_PATHS:
        assert (await tidings.client.ask("POST", path, data=b"link=x", headers=form)).status == 403
    assert (await alice.get("/v1/messages", params={"author": alice.id})).ok()["messages"] == []


@near
async def test_row_18_ones_own_pages_and_programs_may(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    own = tidings.system.url
    for headers in ({"origin": own, "sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}, {}):
        assert (await alice.post("/v1/messages", {"text": "x"}, headers=headers)).status == 201


@near
async def test_row_19_no_origin_is_let_in_by_default(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {"origin": tidings.system.url}):
        for method in ("GET", "OPTIONS"):
            asked = {**headers, "access-control-request-method": "POST"} if method == "OPTIONS" else headers
            answer = await tidings.client.ask(method, "/v1/users/me", token=alice.token, headers=asked)
            assert not [name for name in answer.headers if name.lower().startswith("access-control")]


async def test_row_19_a_configured_origin_is_let_in_without_credentials(wary: Wary) -> None:
    alice = await wary.joins("Alice")
    allowed = await alice.get("/v1/users/me", headers={"origin": "https://app.example"})
    assert allowed.headers["access-control-allow-origin"] == "https://app.example"
    assert "access-control-allow-credentials" not in allowed.headers
    for evil in ("https://evil.example", "https://app.example.evil.example", "http://app.example", "null"):
        answer = await alice.get("/v1/users/me", headers={"origin": evil})
        assert "access-control-allow-origin" not in answer.headers
        preflight = await wary.client.ask(
            "OPTIONS", "/v1/messages", headers={"origin": evil, "access-control-request-method": "POST"}
        )
        assert "access-control-allow-origin" not in preflight.headers
        assert (await alice.post("/v1/messages", {"text": "x"}, headers={"origin": evil})).status == 403
    sent = await alice.post("/v1/messages", {"text": "x"}, headers={"origin": "https://app.example"})
    assert sent.status == 201


@near
async def test_row_31_unknown_content_types_are_refused_for_every_body(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    for method, path, operation in operations():
        if "requestBody" not in operation:
            continue
        for content_type in (
            "text/plain",
            "application/xml",
            "multipart/form-data; boundary=x",
            "application/x-www-form-urlencoded",
            "",
        ):
            if content_type.partition(";")[0] in operation["requestBody"]["content"]:
                continue
            headers = {"content-type": content_type}
            answer = await tidings.client.ask(method, filled(path), token=alice.token, data=b"{}", headers=headers)
            assert (answer.status, answer.body["code"]) == (415, "unsupported_media_type"), (method, path)
    own = {**JSON, "origin": tidings.system.url}
    for path in FORM_PATHS:
        answer = await tidings.client.ask("POST", path, data=b"{}", headers=own)
        assert answer.status == 415


@near
async def test_row_31_an_announced_size_is_refused_before_a_byte_of_it(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    reader, writer = await _connected(tidings)
    head = _head(
        "POST", "/v1/messages", alice.token, "content-type: application/json", "content-length: 99999999999"
    )
    writer.write(head)
    status, body = await _answer(reader)
    assert (status, body["code"]) == (413, "too_large")
    writer.close()


@near
@pytest.mark.parametrize("path", ["/v1/messages", "/setup"])
async def test_row_31_an_endless_body_is_cut_while_it_streams_and_fills_no_memory(
    tidings: Whole, path: str
) -> None:
    alice = await tidings.joins("Alice")
    content_type = "application/json" if path.startswith("/v1") else "application/x-www-form-urlencoded"
    client = await ear(int(tidings.system.url.rpartition(":")[2]))
    lines = (f"content-type: {content_type}", "sec-fetch-site: same-origin", "transfer-encoding: chunked")
    client.says(_head("POST", path, alice.token, *lines))
    before = psutil.Process().memory_info().rss
    sent, block = 0, b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    while not client.closed.is_set() and sent < 100_000_000:
        client.says(block)
        sent += len(block)
        await asyncio.sleep(0.001)
    status, raw = await client.page()
    assert status == 413
    assert (b'"too_large"' in raw) if path.startswith("/v1") else raw.startswith(b"<!doctype html>")
    assert client.closed.is_set()
    assert sent < 30_000_000
    assert psutil.Process().memory_info().rss - before < 60_000_000


@near
async def test_row_31_a_client_that_sends_too_much_hears_so_in_whole(tidings: Whole) -> None:
    """Its answer is not lost in a connection that breaks, and the connection goes on."""
    alice = await tidings.joins("Alice")
    client = await ear(int(tidings.system.url.rpartition(":")[2]))
    size = 1_500_000
    client.says(
        _head("POST", "/v1/messages", alice.token, "content-type: application/json", f"content-length: {size}")
    )
    for _ in range(size // 50_000):
        client.says(b" " * 50_000)
        await asyncio.sleep(0)
    assert (await client.answer())[0] == 413
    client.heard = b""
    client.says(_head("GET", "/livez", ""))
    assert (await client.answer())[0] == 200
    client.transport.abort()


@near
async def test_row_31_nesting_without_end_breaks_nothing(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    for raw in (b'{"text":' * 50_000, b"[" * 500_000, b'{"media":[{"kind":' + b"[" * 300_000):
        answer = await alice.post("/v1/messages", data=raw, headers=JSON)
        assert answer.status in (400, 422)


OPERATORS = ({"$ne": ""}, {"$gt": ""}, {"$where": "1"}, ["' OR 1=1 --"], True, 1.5)


@near
async def test_row_32_operators_where_text_belongs_are_refused(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    tried = 0
    for method, path, operation in operations():
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" not in content:  # fields of a form are texts, whatever is in them
            continue
        schema = resolved(content["application/json"]["schema"])
        for name, part in schema["properties"].items():
            if resolved(part).get("type") != "string":
                continue
            for operator in OPERATORS:
                body = dict.fromkeys(schema.get("required", ()), "x" * 8) | {name: operator}
                answer = await tidings.client.ask(
                    method, filled(path, user_id=alice.id), token=alice.token, json=body
                )
                assert answer.status == 422, (method, path, name, operator)
                tried += 1
    assert tried > 30


@near
@pytest.mark.parametrize(
    "wild", ["*", ">", "users.>", "$", "{}", "' OR '1'='1", "1;DROP TABLE accounts", "../../x", "%00", "me.*"]
)
async def test_row_32_wildcards_in_ids_are_no_ids(tidings: Whole, wild: str) -> None:
    alice = await tidings.joins("Alice")
    sent = wild if "%" in wild else wild.replace("/", "%2f")
    for method, path, _ in operations():
        if "{" not in path:
            continue
        names = re.findall(r"\{(\w+)\}", path)
        answer = await tidings.client.ask(method, filled(path, **{names[0]: sent}), token=alice.token, json=None)
        assert answer.status in (404, 422, 415), (method, path, answer.raw)
    for query in ("/v1/users?ids=", "/v1/messages?ids=", "/v1/messages?author="):
        answer = await alice.get(query + sent.replace(";", "%3b").replace("'", "%27"))
        assert answer.status == 422, query
    sought = await alice.get("/v1/users", params={"q": wild if wild != "%00" else "%"})
    assert sought.status == 200
    assert alice.id not in sought.raw.decode()


@near
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\u2028", "\x85"])
async def test_row_33_line_ends_stay_inside_values(
    tidings: Whole, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    alice = await tidings.joins("Alice")
    caplog.set_level(logging.DEBUG)
    evil = f"x{end}set-cookie: evil=1{end}{end}<script>"
    answers = [
        await alice.get("/v1/users", params={"q": evil}),
        await alice.get("/v1/messages", params={"author": str(NOBODY), "tag": "evil"}),
        await alice.get("/v1/timeline", params={"cursor": evil}),
        await alice.get("/v1/timeline", params={evil: "1"}),
        await alice.put(f"/v1/messages/{NOBODY}/reactions/{_escaped(evil)}"),
        await alice.get(f"/{_escaped(evil)}"),
        await alice.get(f"/problems/{_escaped(evil)}"),
        await alice.get(f"/setup?link={_escaped(evil)}"),
        await alice.patch("/v1/users/me", {"bio": evil}),
        await alice.post("/v1/messages", {"text": evil}, headers={"idempotency-key": "k"}),
    ]
    for answer in answers:
        assert [line for line in answer.headers.getall("set-cookie", []) if "evil" in line] == []
        assert not any("evil" in value and "\n" in value for value in answer.headers.values())
        assert answer.status < 500
    assert b"<script>" not in answers[7].raw
    assert [record for record in caplog.records if "evil=1\n" in record.getMessage()] == []


@near
async def test_row_33_line_ends_make_no_second_request(tidings: Whole) -> None:
    """A bare line feed, an obsolete fold, two lengths: where two readers could differ, nothing is read."""
    for lines in (
        ["content-length: 5", "content-length: 6"],
        ["content-length: 5", "transfer-encoding: chunked"],
        ["transfer-encoding: chunked, identity"],
        ["content-length: +5"],
        ["x-a: b\r\n folded: c\x00"],
        ["x y: z"],
    ):
        reader, writer = await _connected(tidings)
        writer.write(_head("POST", "/v1/sessions", "", "content-type: application/json", *lines) + b"{}   ")
        status, body = await asyncio.wait_for(_answer(reader), 5)
        assert status in (400, 422), lines
        assert body["code"] in ("bad_request", "invalid"), lines
        writer.close()


@near
async def test_row_34_what_depends_on_who_asks_is_kept_by_no_shared_cache(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    message = await alice.posts("hello")
    for method, path, operation in operations():
        if method != "GET":
            continue
        address = filled(path, message_id=message["id"], user_id=alice.id)
        query = {"/v1/users": "?q=a", "/v1/messages": f"?author={alice.id}"}.get(path, "")
        answer = await alice.get(address + query)
        if "security" in operation:
            kept = "private, no-store" if answer.status == 200 else "no-store"
            assert answer.headers["cache-control"] == kept, path
        refused = await alice.get(address + "?colour=red")
        assert "no-store" in refused.headers["cache-control"], path
    made = await alice.post("/v1/messages", {"text": "x"})
    assert made.headers["cache-control"] == "private, no-store"
    signed = await tidings.client.ask(
        "POST", "/v1/sessions", json={"handle": alice.handle, "password": "correct horse battery"}
    )
    assert signed.headers["cache-control"] == "private, no-store"
    for path in FORM_PATHS:
        assert (await alice.get(path + "?link=x")).headers["cache-control"] == "private, no-store"
    for path in OWN_PATHS:
        assert "cache-control" in (await alice.get(path)).headers


def _scope(peer: str, forwarded: str | None) -> dict[str, object]:
    headers = [] if forwarded is None else [(b"x-forwarded-for", forwarded.encode())]
    return {"type": "http", "client": (peer, 1), "headers": headers}


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "address"),
    [
        ("198.51.100.7", "203.0.113.9", (), "198.51.100.7"),
        ("198.51.100.7", "203.0.113.9", ("10.0.0.0/8",), "198.51.100.7"),
        ("10.0.0.1", None, ("10.0.0.0/8",), "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9", ("10.0.0.0/8",), "203.0.113.9"),
        ("10.0.0.1", "1.2.3.4, 203.0.113.9", ("10.0.0.0/8",), "203.0.113.9"),
        ("10.0.0.1", "1.2.3.4, 203.0.113.9, 10.0.0.2", ("10.0.0.0/8",), "203.0.113.9"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", ("10.0.0.0/8",), "10.0.0.3"),
        ("10.0.0.1", "203.0.113.9, nonsense", ("10.0.0.0/8",), "10.0.0.1"),
        ("fd00::1", "2001:db8::9", ("fd00::/8",), "2001:db8::9"),
        ("", "203.0.113.9", (), ""),
    ],
)
def test_row_35_a_forwarded_address_counts_as_far_as_own_proxies_wrote_it(
    peer: str, forwarded: str | None, proxies: tuple[str, ...], address: str
) -> None:
    assert client_address(_scope(peer, forwarded), proxies) == address


def test_row_35_a_proxys_own_line_outweighs_a_forged_one_before_it() -> None:
    scope = _scope("10.0.0.1", "203.0.113.9")
    scope["headers"].append((b"x-forwarded-for", b"198.51.100.7"))
    assert client_address(scope, ("10.0.0.0/8",)) == "198.51.100.7"


@near
async def test_row_35_a_forged_address_is_not_written_down(
    tidings: Whole, wary: Wary, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="audit")
    forged = {"x-forwarded-for": "203.0.113.9", "forwarded": "for=203.0.113.9", "x-real-ip": "203.0.113.9"}
    alice, bob = await tidings.joins("Alice"), await wary.joins("Bob")
    for person in (alice, bob):
        assert (await person.put(f"/v1/users/{NOBODY}/suspension", headers=forged)).status == 404
    entries = {
        one.id: next(record.getMessage() for record in caplog.records if one.id in record.getMessage())
        for one in (alice, bob)
    }
    assert "203.0.113.9" not in entries[alice.id]
    assert "127.0.0.1" in entries[alice.id]
    assert "203.0.113.9" in entries[bob.id]  # there, 127.0.0.0/8 is a proxy of ours


class Place(msgspec.Struct, frozen=True, array_like=True):
    at: int
    who: UUID


CURSORS = Cursors(b"a key of the test")
ASKER = UUID("01890000-0000-7000-8000-00000000000a")


@settings(max_examples=300, deadline=None, database=None)
@given(
    place=st.builds(Place, at=st.integers(0, 2**48), who=st.just(NOBODY)),
    how=st.sampled_from(["flip", "cut", "add", "swap", "character", "other"]),
    at=st.integers(0, 10_000),
    text=st.text(max_size=80),
    bits=st.integers(1, 255),
)
def test_row_38_no_cursor_survives_tampering(place: Place, how: str, at: int, text: str, bits: int) -> None:
    cursor = CURSORS.seal(place, asker=ASKER, of="list")
    raw = bytearray(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    if how == "flip":
        raw[at % len(raw)] ^= bits
    elif how == "cut":
        del raw[at % len(raw)]
    elif how == "add":
        raw.insert(at % (len(raw) + 1), bits)
    elif how == "swap":
        other = urlsafe_b64decode(CURSORS.seal(Place(place.at + 1, NOBODY), asker=ASKER, of="list") + "==")
        raw[:16] = other[:16]
    tampered = urlsafe_b64encode(bytes(raw)).rstrip(b"=").decode()
    if how == "character":
        tampered = cursor[: at % len(cursor)] + text + cursor[at % len(cursor) + 1 :]
    elif how == "other":
        tampered = text
    assume(tampered != cursor)
    with pytest.raises(BadCursor):
        CURSORS.open(tampered, Place, asker=ASKER, of="list")


def test_row_38_a_cursor_is_its_askers_its_lists_and_its_services() -> None:
    place = Place(1, NOBODY)
    cursor = CURSORS.seal(place, asker=ASKER, of="list")
    assert CURSORS.open(cursor, Place, asker=ASKER, of="list") == place
    for cursors, asker, of in (
        (CURSORS, uuid4(), "list"),
        (CURSORS, None, "list"),
        (CURSORS, ASKER, "list "),
        (Cursors(b"other"), ASKER, "list"),
    ):
        with pytest.raises(BadCursor):
            cursors.open(cursor, Place, asker=asker, of=of)


@near
async def test_row_38_every_list_refuses_a_cursor_that_is_not_its_own(tidings: Whole) -> None:
    alice, mallory = [await tidings.joins(name) for name in ("Alice", "Mallory")]
    for one in (alice, mallory):
        await tidings.crowd(one, 3)
    said = [(await alice.posts(f"{number}", audience="public"))["id"] for number in range(3)]
    for number in range(3):
        (await alice.post(f"/v1/messages/{said[0]}/replies", {"text": f"{number}"})).ok()
    lists = [
        "/v1/timeline?",
        "/v1/feed?",
        "/v1/friends?",
        f"/v1/messages?author={alice.id}&",
        f"/v1/messages/{said[0]}/replies?",
        "/v1/users?q=f&",
    ]
    cursors = [(await alice.get(f"{path}limit=1")).ok()["next_cursor"] for path in lists]
    assert all(cursors)
    for path, own in zip(lists, cursors, strict=True):
        assert (await alice.get(f"{path}limit=1&cursor={own}")).status == 200, path
        others = [cursor for cursor in cursors if cursor != own]
        tampered = own[:-3] + ("AAA" if own[-3:] != "AAA" else "BBB")
        for cursor in (*others, tampered, own + "A", "=", "%C3%A9"):
            answer = await alice.get(f"{path}limit=1&cursor={cursor}")
            assert answer.status == 400, (path, cursor)
            assert answer.body["code"] == "bad_cursor"
        assert (await alice.get(f"{path}limit=1&cursor=")).status == 422, path
        assert (await mallory.get(f"{path}limit=1&cursor={own}")).status in (400, 404), path


@near
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "",
        "[::2]",
        "169.254.169.254",
        "127.0.0.1@evil.example",
    ],
)
async def test_row_42_another_hosts_name_is_refused_everywhere(tidings: Whole, host: str) -> None:
    alice = await tidings.joins("Alice")
    for path in ("/", "/docs", "/setup", "/livez", "/v1/openapi.json", "/v1/users/me", "/style.css", "/nowhere"):
        reader, writer = await _connected(tidings)
        writer.write(_head("GET", path, alice.token, host=host))
        status, body = await _answer(reader)
        assert (status, body["code"]) == (421, "wrong_host"), path
        writer.close()


@near
async def test_row_42_own_names_are_served_and_two_are_one_too_many(tidings: Whole) -> None:
    for host in ("localhost", "LOCALHOST:1234", "127.0.0.1", "[::1]:80"):
        reader, writer = await _connected(tidings)
        writer.write(_head("GET", "/livez", "", host=host))
        assert (await _answer(reader))[0] == 200, host
        writer.close()
    reader, writer = await _connected(tidings)
    writer.write(_head("GET", "/livez", "", "host: evil.example"))
    assert (await _answer(reader))[0] == 421
    writer.close()


def _escaped(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


def _head(method: str, path: str, token: str, *lines: str, host: str = "127.0.0.1") -> bytes:
    more = "".join(f"{line}\r\n" for line in lines)
    return f"{method} {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n{more}\r\n".encode()


async def _connected(tidings: Whole) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", int(tidings.system.url.rpartition(":")[2]))


async def _answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, object]]:
    """Status and body of one answer with a length."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    length = int(re.search(r"content-length: (\d+)", head, re.IGNORECASE)[1])  # type: ignore[index]
    raw = await reader.readexactly(length)
    return int(head.split(" ")[1]), json.loads(raw)

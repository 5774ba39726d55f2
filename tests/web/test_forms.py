"""Forms of pages as typed asks: what a browser sends of a form is read once, strictly, and nothing else is."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.people import PASSWORD
from tests.harness.pictures import picture
from tests.harness.system import Whole
from tests.security.visitor import FORM, Visitor, signed_in
from tidings.contracts import web
from tidings.edge.asks import Reader
from tidings.platform.contract import Invalid, Uploaded, Visit
from tidings.platform.http.problems import BadRequest, UnsupportedMediaType

near = pytest.mark.parametrize("tidings", ["near"], indirect=True)
VISIT = Visit(origin="http://here.example", address="/")
SIGN_IN, WRITE, MARKER = (Reader.of(route) for route in (web.sign_in, web.write, web.mark_feed))


def read(reader: Reader, body: bytes, content_type: str = FORM) -> Any:
    return reader.read({}, b"", body, content_type, VISIT)


def refused(reader: Reader, body: bytes) -> list[str]:
    with pytest.raises(Invalid) as refusal:
        read(reader, body)
    return [error.pointer for error in refusal.value.errors]


def test_a_form_is_the_body_of_its_ask() -> None:
    asked = read(SIGN_IN, b"handle=ada&password=a+b%20c%C3%BC&next=%2Ffeed")
    assert asked == web.SignIn(visit=VISIT, body=web.SignInForm(handle="ada", password="a b cü", next="/feed"))
    assert read(SIGN_IN, b"").body == web.SignInForm()
    assert read(SIGN_IN, b"handle=&password=").body == web.SignInForm()
    at = UUID(int=7)
    assert read(MARKER, f"at={at}".encode()).body.at == at


def test_a_field_of_one_value_comes_once_and_others_may_repeat() -> None:
    assert refused(SIGN_IN, b"handle=ada&handle=bob") == ["/handle"]
    form = {"media": ["a", "b"], "alts": ["one", ""], "text": ["x"], "only": ["@ada"]}
    body = WRITE.read_form({}, b"", form, None, VISIT).body
    assert (body.media, body.alts, body.text, body.only) == (["a", "b"], ["one", ""], "x", ["@ada"])
    with pytest.raises(Invalid) as refusal:
        WRITE.read_form({}, b"", {"text": ["x", "y"]}, None, VISIT)
    assert [error.pointer for error in refusal.value.errors] == ["/text"]
    assert WRITE.read_form({}, b"", {}, None, VISIT).body == web.WriteForm()


@pytest.mark.parametrize(
    "body",
    [
        b"colour=red",
        b"visit=x",
        b"handle[]=x",
        b"<script>=1",
        b"at=no-id",
        b"at=",
        b"",
        b"handle=%00",
        b"handle=" + b"x" * 2001,
    ],
)
def test_what_the_form_does_not_have_is_refused(body: bytes) -> None:
    assert len(refused(MARKER if body.startswith(b"at") or not body else SIGN_IN, body)) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"handle=%ff",
        b"handle=\xff",
        b"handle=%ed%a0%80",
        "handle=ü".encode(),
        b"&".join(b"a%d=1" % n for n in range(501)),
    ],
)
def test_what_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        read(SIGN_IN, body)


@pytest.mark.parametrize("content_type", ["", "application/json", "text/plain", "multipart/form-data; boundary=x"])
def test_another_content_type_is_refused(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        read(SIGN_IN, b"handle=ada", content_type)


def test_the_visit_comes_from_the_edge_alone() -> None:
    for query in (b"visit=x", b"visit.origin=https://evil.example"):
        with pytest.raises(Invalid):
            SIGN_IN.read({}, query, b"", FORM, VISIT)
    assert read(SIGN_IN, b"").visit == VISIT
    upload = Uploaded(id=UUID(int=1), parts=1, size=3)
    asked = WRITE.read_form({}, b"", {"text": ["x"]}, upload, VISIT)
    assert (asked.upload, asked.visit) == (upload, VISIT)
    with pytest.raises(Invalid):
        WRITE.read_form({}, b"", {"upload": ["x"]}, None, VISIT)


@settings(max_examples=200, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50)
            for name in ("handle", "password", "next", "link")
        },
    )
)
def test_any_text_comes_as_it_was_typed(fields: dict[str, str]) -> None:
    body = read(SIGN_IN, urlencode(fields).encode()).body
    assert {name: getattr(body, name) for name in fields} == fields


# A file that may come along.


@near
async def test_a_form_with_a_file_is_good_without_one(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    browser = await signed_in(tidings.client, alice, PASSWORD)
    kept = (await alice.get("/v1/media")).ok()
    # Nobody chose a file: browsers send a part without a name and without content.
    posted = await browser.sends_file("/write", ("text", "no file"), ("key", "one"))
    assert posted.status == 303, posted.text
    # A file of nothing is none either.
    posted = await browser.sends_file("/write", ("text", "an empty file"), ("key", "two"), name="empty.png")
    assert posted.status == 303, posted.text
    # No part at all, as scripts send it.
    body = b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\nno part\r\n--x--\r\n'
    headers = {"content-type": "multipart/form-data; boundary=x", **browser.own}
    posted = await browser.asks("POST", "/write", headers=headers, data=body)
    assert posted.status == 303, posted.text
    said = (await alice.get("/v1/messages", params={"author": alice.id})).ok()["messages"]
    assert [(one["message"]["text"], one["message"]["media"]) for one in said] == [
        ("no part", []),
        ("an empty file", []),
        ("no file", []),
    ]
    assert (await alice.get("/v1/media")).ok() == kept


@near
async def test_a_file_comes_along_with_repeated_fields(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    browser = await signed_in(tidings.client, alice, PASSWORD)
    pictures = [await alice.uploads(alt=f"picture {n}") for n in range(2)]
    fields = [("text", "three"), ("alt", "the third"), ("key", "k")]
    for number, one in enumerate(pictures):
        fields += [("media", one), ("alts", f"said of {number}")]
    posted = await browser.sends_file("/write", *fields, content=picture(), name="third.png")
    assert posted.status == 303, posted.text
    (said,) = (await alice.get("/v1/messages", params={"author": alice.id})).ok()["messages"]
    media = said["message"]["media"]
    assert [one["alt"] for one in media] == ["said of 0", "said of 1", "the third"]
    assert [one["media_id"] for one in media][:2] == pictures


@near
async def test_two_files_or_another_field_with_one_are_refused(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    browser = await signed_in(tidings.client, alice, PASSWORD)
    headers = {"content-type": "multipart/form-data; boundary=x", **browser.own}
    part = b'--x\r\nContent-Disposition: form-data; name="%b"; filename="a.png"\r\n\r\n%b\r\n'
    for body in (
        part % (b"file", picture()) + part % (b"file", picture()) + b"--x--\r\n",
        part % (b"other", b"x") + b"--x--\r\n",
    ):
        page = await browser.asks("POST", "/write", headers=headers, data=body)
        assert page.status == 422
        assert page.answer.headers["content-type"].startswith("text/html")
    assert (await alice.get("/v1/messages", params={"author": alice.id})).ok()["messages"] == []
    # Where a file has to come, none is still refused.
    missing = b'--x\r\nContent-Disposition: form-data; name="alt"\r\n\r\nx\r\n--x--\r\n'
    answer = await tidings.client.ask(
        "POST", "/v1/media", token=alice.token, data=missing, headers={"content-type": headers["content-type"]}
    )
    assert (answer.status, answer.body["errors"][0]["pointer"]) == (422, "/file")


@near
async def test_a_form_that_is_sent_again_has_its_effect_once(tidings: Whole) -> None:
    """The key goes along with what the page asks for."""
    alice = await tidings.joins("Alice")
    browser = await signed_in(tidings.client, alice, PASSWORD)
    first, second = [await browser.sends_file("/write", ("text", "once"), ("key", "the-same")) for _ in range(2)]
    assert first.status == second.status == 303
    assert first.location == second.location
    other = await browser.sends_file("/write", ("text", "another"), ("key", "the-same"))
    assert other.status == 409
    said = (await alice.get("/v1/messages", params={"author": alice.id})).ok()["messages"]
    assert [one["message"]["text"] for one in said] == ["once"]
    for _ in range(2):
        assert (await browser.sends("/settings/invites", key="the-same")).status == 303
    assert len((await alice.get("/v1/invites")).ok()["invites"]) == 1


@near
async def test_a_form_of_a_person_who_signed_out_meanwhile_is_not_taken(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    browser = await signed_in(tidings.client, alice, PASSWORD)
    other = Visitor(tidings.client, dict(browser.cookies))
    assert (await browser.sends("/signout")).status == 303
    late = await other.sends_file("/write", ("text", "too late"), ("key", "k"))
    assert (late.status, late.location) == (303, "/signin")
    assert (await alice.get("/v1/messages", params={"author": alice.id})).ok()["messages"] == []

"""What people write is shown as they wrote it: nothing in it becomes markup, and a link says where it leads."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidings.web.prose import prose

# What a service lets in as text; a form's line ends are made one by whoever reads it.
LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")
PIECES = st.sampled_from(
    [
        *("https://example.com ", " https://example.com/a?b=1#c ", " @ada ", "<b>", "<i x='1'> https://a.example "),
        *("http://", "https://", "HTTPS://", "javascript:", "data:text/html,", "vbscript:", "//", "/", "\\", "@"),
        *("example.com", "EXAMPLE.com:8080", "user:word@", "bücher.example", "[::1]", "[", "xn--", ".", ":", "..."),
        *("?a=1&b=2", "#part", "%2f", "%", "(", ")", "<", ">", '"', "'", "&", "&amp;", "&#60;", "<br>", "\n", " "),
        *("<script>alert(1)</script>", "<a href=x>", "{{7*7}}", "\u202e", "\u200b", "\ufeff", "@ada", "#tag"),
    ]
)
TEXTS = st.lists(st.one_of(PIECES, st.text(LETTERS, max_size=6)), max_size=12).map("".join)


class Shown(HTMLParser):
    """What a browser makes of it: text and links in their order, a line break as a newline."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[tuple[str | None, str]] = []  # the address of a link, None for text; what it says
        self.elements: set[str] = set()
        self.attributes: list[dict[str, str | None]] = []
        self._open = False
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        if tag == "br":
            assert attrs == []
            self.handle_data("\n")
            return
        assert tag == "a", tag
        assert not self._open
        self._open = True
        self.attributes.append(dict(attrs))
        assert len(dict(attrs)) == len(attrs)
        self.parts.append((dict(attrs)["href"] or "", ""))

    def handle_endtag(self, tag: str) -> None:
        assert (tag, self._open) == ("a", True)
        self._open = False
        self.parts.append((None, ""))

    def handle_data(self, data: str) -> None:
        if not self.parts:
            self.parts.append((None, ""))
        address, said = self.parts[-1]
        self.parts[-1] = (address, said + data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)

    def handle_pi(self, data: str) -> None:
        raise AssertionError(data)

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(data)

    @property
    def text(self) -> str:
        return "".join(said for _, said in self.parts)

    @property
    def links(self) -> list[tuple[str, str]]:
        return [(address, said) for address, said in self.parts if address is not None]


def shown(text: str) -> Shown:
    return Shown(str(prose(text)))


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_any_text_is_shown_as_it_was_written_but_for_its_links(text: str) -> None:
    """Beside links, each character; in place of a link, the address that stood there."""
    found = shown(text)
    assert found.elements <= {"a", "br"}
    there = "".join(
        f"({re.escape(said)})" if address is None or address.startswith("/@") else r"(https?://[^\s<>\"]+)"
        for address, said in found.parts
    )
    matched = re.fullmatch(there, text)
    assert matched is not None, (there, text)
    for attributes in found.attributes:
        if (attributes["href"] or "").startswith("/"):
            assert attributes.keys() == {"href"}
        else:
            assert attributes.keys() == {"href", "rel", "target"}
            assert {"noopener", "noreferrer", "nofollow"} <= set((attributes["rel"] or "").split())


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_a_link_leads_to_the_web_or_to_a_person_and_says_where(text: str) -> None:
    for address, said in shown(text).links:
        assert address.isascii()
        if address.startswith("/"):
            assert re.fullmatch(r"/@[a-z0-9_]{2,30}", address)
            assert said == address[1:]
            continue
        parts = urlsplit(address)
        assert parts.scheme in ("http", "https")
        assert "@" not in parts.netloc
        assert "\\" not in address
        assert parts.hostname
        assert said.startswith(parts.netloc), (address, said)
        assert said[len(parts.netloc) :][:1] in ("", "/", "?", "#", "…"), (address, said)
        assert len(said) <= len(parts.netloc) + 40


@settings(max_examples=100, deadline=None)
@given(st.text(LETTERS.filter(lambda one: one not in "@:"), max_size=200))
def test_a_text_without_a_link_is_its_own_characters(text: str) -> None:
    found = shown(text)
    assert found.text == text
    assert found.links == []


@pytest.mark.parametrize(
    "markup", ["<b>x</b>", "<script>alert(1)</script>", "&lt;", "\"'>", "<!--", "<br>", "{{7*7}}"]
)
def test_markup_is_text_before_between_and_after_links(markup: str) -> None:
    text = f"{markup} https://example.com/x {markup} @ada {markup}"
    found = shown(text)
    assert found.elements == {"a"}
    assert found.text == text.replace("https://", "")
    assert [address for address, _ in found.links] == ["https://example.com/x", "/@ada"]
    inside = shown(f"https://example.com/{markup}")
    assert inside.elements <= {"a"}


def test_line_ends_of_any_sender_are_one_break() -> None:
    assert str(prose("a\r\nb\nc")) == "a<br>b<br>c"


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("https://example.com", ("https://example.com", "example.com")),
        ("https://example.com/", ("https://example.com/", "example.com")),
        ("see http://Example.COM:8080/Path?q=1&r=2#x now", ("http://example.com:8080/Path?q=1&r=2#x", None)),
        ("https://bücher.example/ä", ("https://xn--bcher-kva.example/%C3%A4", "xn--bcher-kva.example/ä")),
        ("https://paypal.com@evil.example/", ("https://evil.example/", "evil.example")),
        ("https://paypal.com:443@evil.example", ("https://evil.example", "evil.example")),
        ("https://evil.example\\@good.example/", ("https://good.example/", "good.example")),
        ("http://[2001:db8::1]:80/x", ("http://[2001:db8::1]:80/x", "[2001:db8::1]:80/x")),
        ("https://example.com/a_(b)", ("https://example.com/a_(b)", "example.com/a_(b)")),
        ("https://example.com/%2e%2e/", ("https://example.com/%2e%2e/", "example.com/%2e%2e/")),
        ("https://раураl.example", ("https://xn--l-7sba6dbr.example", "xn--l-7sba6dbr.example")),
        ("https://example.com/" + "x" * 60, ("https://example.com/" + "x" * 60, "example.com/" + "x" * 38 + "…")),
    ],
)
def test_a_link_shows_its_true_host(text: str, link: tuple[str, str | None]) -> None:
    ((address, said),) = shown(text).links
    assert address == link[0]
    assert link[1] is None or said == link[1]


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("(https://example.com/x)", ")"),
        ("https://example.com/x.", "."),
        ("https://example.com/x, and", ", and"),
        ("https://example.com/x?!", "?!"),
        ("https://example.com/x…", "…"),
        ("“https://example.com/x”", "”"),
        ('"https://example.com/x"', '"'),
        ("<https://example.com/x>", ">"),
        ("[https://example.com/x]:", "]:"),
        ("https://example.com/x'", "'"),
    ],
)
def test_what_belongs_to_the_sentence_is_not_in_the_link(text: str, ends: str) -> None:
    found = shown(text)
    assert found.links == [("https://example.com/x", "example.com/x")]
    assert found.parts[-1] == (None, ends)


@pytest.mark.parametrize(
    "text",
    [
        "javascript:alert(1)",
        "JaVaScRiPt://example.com/%0aalert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:msgbox(1)",
        "file:///etc/passwd",
        "ftp://example.com/",
        "//example.com/",
        "https://",
        "https:///path",
        "https://.example.com",
        "https://@",
        "https://user@",
        "https://[::1",
        "https://example.com:99999/",
        "https://example.com:port/",
        "https://exa%6dple.com/",
        "https://example.com\u202e/moc.live//:sptth",
        "https://exa\u200bmple.com/",
        "https://example.com/\u2066x\u2069",
        "https://example.com/\u200f",
        "https://example.com/\ufeff",
        "https://exa\u00admple.com/",
        "paypal.com/https://evil.example/",
        "paypal.com@https://evil.example/",
        "paypal.com:https://evil.example/",
        "paypal.com.https://evil.example/",
        "paypal.com\\https://evil.example/",
        "ada@example.com",
        "x@ada",
        "@a",
        "@" + "a" * 31,
        "@ada@elsewhere.example",
        "https://elsewhere.example\u202e/@ada",
        "/@ada",
        "@Ada",
    ],
)
def test_what_leads_nowhere_or_hides_where_it_leads_is_no_link(text: str) -> None:
    assert shown(text).links == []
    assert shown(text).text == text


@pytest.mark.parametrize("text", ["@ada", "(@ada)", "@ada, @bob_2", "hello @ada.", "@ada's", "é @ada"])
def test_names_lead_to_people(text: str) -> None:
    found = shown(text)
    assert found.text == text
    assert found.links[0] == ("/@ada", "@ada")

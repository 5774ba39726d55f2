"""What people write as HTML: escaped, with links that show where they lead, and handles that lead on."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, urlsplit

from markupsafe import Markup, escape

# An address begins a word: after anything else but a bracket or a quotation mark, `bank.example/https://evil.example`
# would read as a page of the bank. It ends before a space; what may stand after it in a sentence is cut off below.
_TOKEN: Final = re.compile(
    r"(?P<url>(?<![^\s(\[{<>\"'“”„«»‘‚])https?://[^\s<>\"“”«»]{1,2000})"
    r"|(?<![\w@/.])@(?P<handle>[a-z0-9_]{2,30})(?![\w@]|\.[a-z])"
)
_TAIL: Final = ".,;:!?'\"…)]}>"
_PAIRS: Final = {")": "(", "]": "[", "}": "{"}
# Characters that turn the direction of what follows, or that nobody sees (Unicode UAX #9; CVE-2021-42574).
_UNSEEN: Final = re.compile("[\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\u00ad]")
_LONGEST: Final = 40  # characters of a path that are shown


def prose(text: str) -> Markup:
    """A text of any length, line by line."""
    if "@" not in text and "://" not in text:
        return _lines(str(escape(text)))
    parts: list[str] = []
    at = 0
    for match in _TOKEN.finditer(text):
        if match["url"] is not None:
            url = _ended(match["url"])
            shown = _link(url)
            end = match.start() + len(url)
        else:
            shown = Markup('<a href="/@{0}">@{0}</a>').format(match["handle"])
            end = match.end()
        if shown is None:
            continue
        parts += (str(escape(text[at : match.start()])), str(shown))
        at = end
    parts.append(str(escape(text[at:])))
    return _lines("".join(parts))


def _lines(escaped: str) -> Markup:
    return Markup(escaped.replace("\r\n", "\n").replace("\n", "<br>"))  # noqa: S704 - it is escaped


def _ended(url: str) -> str:
    """Without what belongs to the sentence around it; a bracket that was opened within stays."""
    while url and url[-1] in _TAIL:
        last = url[-1]
        if last in _PAIRS and url.count(_PAIRS[last]) >= url.count(last):
            break
        url = url[:-1]
    return url


def _link(url: str) -> Markup | None:
    """A link whose words begin with its true host; None for what leads nowhere, or hides where it leads."""
    if _UNSEEN.search(url):
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host = host.encode("idna").decode("ascii") if not host.isascii() else host
    except (ValueError, UnicodeError):
        return None
    if (
        parts.scheme not in ("http", "https")
        or not re.fullmatch(r"\[?[a-z0-9.:_-]+\]?", host)
        or host.startswith(".")
    ):
        return None
    place = f"[{host}]" if ":" in host else host
    place += f":{port}" if port is not None else ""
    rest = (parts.path if parts.path != "/" else "") + (f"?{parts.query}" if parts.query else "")
    rest += f"#{parts.fragment}" if parts.fragment else ""
    shown = place + (rest if len(rest) <= _LONGEST else rest[: _LONGEST - 1] + "…")
    # Whoever hides another address in front of the host (user@host) has it left out.
    target = (
        f"{parts.scheme}://{place}"
        + quote(parts.path + (f"?{parts.query}" if parts.query else ""), safe="/?&=%:@!$'()*+,;~-._[]")
        + ("#" + quote(parts.fragment, safe="/?&=%:@!$'()*+,;~-._") if parts.fragment else "")
    )
    return Markup('<a href="{}" rel="nofollow noopener noreferrer ugc" target="_blank">{}</a>').format(
        target, shown
    )

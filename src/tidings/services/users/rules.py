"""Pure decisions about people: how names are read, how they are found, and how long things last."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Final

from tidings.platform.clock import rfc3339

HANDLE_RESERVED: Final = timedelta(days=30)
SET_UP_LASTS: Final = timedelta(hours=24)
RESET_LASTS: Final = timedelta(hours=24)
SIGN_IN_LINK_LASTS: Final = timedelta(minutes=15)
INVITE_LASTS: Final = timedelta(days=7)
LONGEST_ENTRY: Final = 120  # characters


def at(ms: int) -> datetime:
    """Milliseconds since 1970 as a time in UTC."""
    return datetime.fromtimestamp(ms // 1000, UTC) + timedelta(milliseconds=ms % 1000)


def instant(moment: datetime) -> str:
    """RFC 3339, UTC, milliseconds."""
    return rfc3339(round(moment.timestamp() * 1000))


def plain_handle(handle: str) -> str:
    """A handle as people type it, without @ and in lower case."""
    return handle.strip().removeprefix("@").lower()


def tidy_name(name: str) -> str:
    """A name on one line, composed (NFC), without control characters. Empty if nothing of it can be seen."""
    shown = "".join(" " if c.isspace() else c for c in name if c.isspace() or unicodedata.category(c) != "Cc")
    tidy = " ".join(unicodedata.normalize("NFC", shown).split())
    return tidy if any(unicodedata.category(c)[0] in "LNPS" for c in tidy) else ""


def folded(text: str) -> str:
    """Words in one case, without accents or punctuation, with one space between: `Ána-María` is `ana maria`."""
    bare = _bare(_bare(text).casefold())
    words = "".join(c if unicodedata.category(c)[0] in "LNM" else " " for c in bare).split()
    return " ".join(words)[:LONGEST_ENTRY].rstrip()


def search_entries(handle: str, name: str) -> tuple[str, ...]:
    """The texts by whose beginning a person is found: from each word of name and handle to the end."""
    entries: set[str] = set()
    for text in (folded(handle), folded(name)):
        words = text.split()
        entries.update(" ".join(words[start:]) for start in range(len(words)))
    return tuple(sorted(entries))


def _bare(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", text) if unicodedata.category(c) != "Mn")

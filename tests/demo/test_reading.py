"""A timeline in the terminal: readable, honest about what is missing, and unable to steer the terminal."""

from io import StringIO
from typing import Any
from uuid import UUID

import msgspec
import pytest
from rich.console import Console

from tidings.contracts.messages import Media, MediaId, Message, MessageId, Place
from tidings.contracts.timeline import Entry, Explained, Omitted, Timeline
from tidings.contracts.users import UserCard, UserId
from tidings.demo.reading import ago, harmless, notes, timeline_page

NOW_MS = 1_793_556_000_000  # 2026-11-01T18:00:00Z
MEI = UserCard(id=UserId(UUID(int=1)), handle="mei_lin", name="林 雨桐", avatar="/a")
OLA = UserCard(id=UserId(UUID(int=2)), handle="ola", name="Ola [bold]Nowak[/bold]", avatar="/a")


def says(author: UserCard, text: str, **more: Any) -> msgspec.Raw:
    usual: dict[str, Any] = {
        "id": MessageId(UUID(int=9)),
        "author_id": author.id,
        "text": text,
        "media": [],
        "place": None,
        "mentions": [],
        "tags": [],
        "audience": "friends",
        "created_at": "2026-11-01T15:00:00.000Z",
        "edited_at": None,
        "reply_to": None,
        "version": 1,
    }
    return msgspec.Raw(msgspec.json.encode(Message(**usual | more)))


def timeline(*entries: Entry, **more: Any) -> Timeline:
    usual: dict[str, Any] = {"entries": list(entries), "omitted": Omitted(), "unreachable": []}
    return Timeline(**usual | more)


def printed(page: Timeline, width: int = 60, **more: Any) -> str:
    out = StringIO()
    Console(file=out, width=width, force_terminal=False).print(
        timeline_page(page, whose="ana", now_ms=NOW_MS, **more)
    )
    return out.getvalue()


def test_shows_who_when_what_where_and_with_whom() -> None:
    shown = printed(
        timeline(
            Entry(
                author=MEI,
                messages=[
                    says(
                        MEI,
                        "Dumplings with Ola. " * 6,
                        place=Place(latitude=30.57, longitude=104.07, name="Chengdu"),
                        media=[
                            Media(media_id=MediaId(UUID(int=3)), kind="image", width=40, height=30, alt="A bowl")
                        ],
                        mentions=[OLA.id, UserId(UUID(int=77))],
                        edited_at="2026-11-01T16:00:00.000Z",
                    )
                ],
            )
        ),
        people={OLA.id: OLA},
    )
    assert "林 雨桐  @mei_lin  3 hours ago" in shown
    assert "at Chengdu (30.57, 104.07)" in shown
    assert "[picture 40 x 30] A bowl" in shown
    assert "with @ola and 1 more" in shown
    assert "edited" in shown
    lines = [line for line in shown.splitlines() if "Dumplings" in line]
    assert len(lines) > 1
    assert all(line.startswith("  ") and len(line) <= 60 for line in lines)


def test_texts_and_names_are_never_markup() -> None:
    shown = printed(timeline(Entry(author=OLA, messages=[says(OLA, "[red]stop[/red] [link=x]y[/link]")])))
    assert "Ola [bold]Nowak[/bold]" in shown
    assert "[red]stop[/red] [link=x]y[/link]" in shown


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
def test_control_characters_are_shown_instead_of_obeyed(code: int) -> None:
    if chr(code) in "\n\t":
        return
    assert chr(code) not in harmless(f"a{chr(code)}b")


def test_nothing_in_a_message_steers_the_terminal() -> None:
    evil = "\x1b]0;pwned\x07\x1b[2J\x9b31m\r\u202egnp.exe\x00"
    author = UserCard(id=MEI.id, handle="mei\x1b[1m", name=f"Mei{evil}\nfake", avatar="/")
    page = timeline(
        Entry(
            author=author,
            messages=[
                says(
                    MEI,
                    f"hello{evil}",
                    place=Place(latitude=1, longitude=2, name=evil),
                    media=[Media(media_id=MediaId(UUID(int=3)), kind="video", alt=evil)],
                    mentions=[MEI.id],
                )
            ],
        ),
        unreachable=[evil],
        explain=Explained(rules=[evil]),
    )
    shown = printed(page)
    assert not set(shown) & {"\x1b", "\x07", "\x9b", "\r", "\u202e", "\x00"}
    assert "hello␛]0;pwned␇" in shown
    assert "\nfake" not in shown


def test_what_is_missing_is_said_in_plain_words() -> None:
    page = timeline(
        Entry(author=MEI, messages=[]),
        omitted=Omitted(gone=1, muted=2, unavailable=3),
        unreachable=["messages"],
        newer=4,
        next_cursor="x",
        explain=Explained(rules=["Only messages with media."]),
    )
    assert notes(page) == [
        "1 friend left out: the account is gone or not visible to you.",
        "2 friends left out: muted by you.",
        "3 friends left out: not available right now. Try again.",
        "The service messages could not be reached, so what it holds is missing. Try again.",
        "4 friends said something newer since the first page.",
        "There is more: older messages follow on the next page.",
        "Rule: Only messages with media.",
    ]
    shown = printed(page, width=200)
    assert all(note in shown for note in notes(page))
    assert "(no message to show)" in shown


def test_an_empty_timeline_says_so() -> None:
    assert "Nobody has said anything yet." in printed(timeline())
    assert notes(timeline()) == []


@pytest.mark.parametrize(
    ("instant", "words"),
    [
        ("2026-11-01T17:59:30.000Z", "just now"),
        ("2026-11-01T18:00:10.000Z", "just now"),
        ("2026-11-01T17:59:00.000Z", "1 minute ago"),
        ("2026-11-01T16:00:00.000Z", "2 hours ago"),
        ("2026-10-25T18:00:00.000Z", "7 days ago"),
        ("2024-10-25T18:00:00.000Z", "2 years ago"),
    ],
)
def test_times_are_relative(instant: str, words: str) -> None:
    assert ago(instant, NOW_MS) == words

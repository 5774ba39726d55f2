"""A timeline as somebody reads it in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

import msgspec
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from tidings.contracts.messages import Media, Message, Place
from tidings.contracts.timeline import Omitted, Timeline
from tidings.contracts.users import UserCard, UserId

# Overrides and isolates of text direction can make a line read other than it is (Unicode TR 36, 3.2).
DIRECTIONS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
HARMLESS: dict[int, str] = (
    {code: chr(0x2400 + code) for code in range(0x20)}  # the pictures of control characters
    | dict.fromkeys(range(0x80, 0xA0), "\ufffd")
    | {ord(direction): "\ufffd" for direction in DIRECTIONS}
    | {0x7F: "\u2421", ord("\t"): "    ", ord("\n"): "\n", 0x2028: "\n", 0x2029: "\n"}
)
UNITS = ((31_536_000, "year"), (2_592_000, "month"), (86_400, "day"), (3600, "hour"), (60, "minute"))
KINDS = {"image": "picture", "video": "film", "audio": "recording"}


def timeline_page(
    timeline: Timeline, *, whose: str, now_ms: int, people: Mapping[UserId, UserCard] | None = None
) -> RenderableType:
    """The timeline of `@whose`, newest first, for `rich.console.Console.print`.

    `people` are the cards of those who are mentioned; the timeline's own authors are known anyway. Texts are shown
    as they are, never as markup, and nothing in them can steer the terminal.
    """
    known = {entry.author.id: entry.author for entry in timeline.entries} | dict(people or {})
    parts: list[RenderableType] = [Text(f"Timeline of @{harmless_line(whose)}", style="bold"), Text()]
    for entry in timeline.entries:
        messages = [msgspec.json.decode(raw, type=Message) for raw in entry.messages]
        if not messages:
            parts += [_byline(entry.author, ""), Text("  (no message to show)", style="dim"), Text()]
        for message in messages:
            parts.append(_byline(entry.author, ago(message.created_at, now_ms)))
            parts.append(Padding(_said(message, known), (0, 0, 1, 2)))
    if not timeline.entries:
        parts += [Text("Nobody has said anything yet."), Text()]
    parts += [Text(note, style="italic") for note in notes(timeline)]
    return Group(*parts)


def notes(timeline: Timeline) -> list[str]:
    """What is missing and what there is beyond this page, in plain words."""
    found = list(_missing(timeline.omitted))
    for service in timeline.unreachable:
        found.append(
            f"The service {harmless_line(service)} could not be reached, so what it holds is missing. Try again."
        )
    if timeline.newer:
        found.append(f"{_friends(timeline.newer)} said something newer since the first page.")
    if timeline.next_cursor is not None:
        found.append("There is more: older messages follow on the next page.")
    if timeline.explain is not None:
        found += [f"Rule: {harmless_line(rule)}" for rule in timeline.explain.rules]
    return found


def harmless(text: str) -> str:
    """The text with every control character shown instead of obeyed; lines stay lines."""
    return text.replace("\r\n", "\n").translate(HARMLESS)


def harmless_line(text: str) -> str:
    """The same in a single line."""
    return harmless(text).replace("\n", " ")


def ago(instant: str, now_ms: int) -> str:
    """`3 hours ago`, from an RFC 3339 time."""
    seconds = now_ms / 1000 - datetime.fromisoformat(instant).timestamp()
    for size, unit in UNITS:
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' * (count != 1)} ago"
    return "just now"


def _byline(author: UserCard, when: str) -> Text:
    name, handle = harmless_line(author.name), harmless_line(author.handle)
    return Text.assemble((name, "bold"), (f"  @{handle}", "cyan"), (f"  {when}" if when else "", "dim"))


def _said(message: Message, known: Mapping[UserId, UserCard]) -> Text:
    said = Text(harmless(message.text), overflow="fold")
    for note in _remarks(message, known):
        said.append(("\n" if said else "") + note, style="dim")
    return said


def _remarks(message: Message, known: Mapping[UserId, UserCard]) -> Iterator[str]:
    if message.place is not None:
        yield f"at {_where(message.place)}"
    for media in message.media:
        yield _pictured(media)
    named = [f"@{harmless_line(known[person].handle)}" for person in message.mentions if person in known]
    others = len(message.mentions) - len(named)
    if named:
        yield f"with {', '.join(named)}" + (f" and {others} more" if others else "")
    elif others:
        yield f"mentions {others} {'person' if others == 1 else 'people'}"
    if message.edited_at is not None:
        yield "edited"


def _where(place: Place) -> str:
    spot = f"{place.latitude:g}, {place.longitude:g}"
    return f"{harmless_line(place.name)} ({spot})" if place.name else spot


def _pictured(media: Media) -> str:
    size = f" {media.width} x {media.height}" if media.width and media.height else ""
    return f"[{KINDS[media.kind]}{size}]" + (f" {harmless_line(media.alt)}" if media.alt else "")


def _missing(omitted: Omitted) -> Iterator[str]:
    if omitted.gone:
        yield f"{_friends(omitted.gone)} left out: the account is gone or not visible to you."
    if omitted.muted:
        yield f"{_friends(omitted.muted)} left out: muted by you."
    if omitted.unavailable:
        yield f"{_friends(omitted.unavailable)} left out: not available right now. Try again."


def _friends(count: int) -> str:
    return f"{count} friend{'s' * (count != 1)}"

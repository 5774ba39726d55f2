"""The timeline's rules: pure decisions on what was asked, what is shown, and where the next page starts."""

from __future__ import annotations

from uuid import UUID

import msgspec

from tidings.contracts import messages, timeline
from tidings.platform.contract import FieldError, Invalid
from tidings.platform.ids import first_of, ms_of

SETTLED_MS = 2000  # a write ends within 1.5 s of its id: what is older than this is all there
MOST_SEEN = 300  # ids in a cursor


class TimelinePosition(msgspec.Struct, frozen=True, array_like=True):
    """Where page two of a timeline starts: under the last entry shown, as of a moment that is settled."""

    as_of_ms: int
    before: UUID
    newer_shown: list[UUID] = []  # authors whom an earlier page showed with something younger than as_of_ms
    since_ms: int | None = None  # max_age, fixed at page one


class FeedPosition(msgspec.Struct, frozen=True, array_like=True):
    """`before` for older pages; `after` for newer ones, with those of the unsettled tail that were shown."""

    before: UUID | None = None
    after: UUID | None = None
    seen: list[UUID] = []


def asked_rules(ask: timeline.TimelineAsk, now_ms: int) -> messages.Rules:
    """The rules that messages applies. `Invalid` if `near` and `within_km` do not come together or are no place."""
    if (ask.near is None) != (ask.within_km is None):
        missing = "within_km" if ask.within_km is None else "near"
        raise Invalid(
            "near and within_km go together.", errors=(FieldError(f"?{missing}", "Give both or neither."),)
        )
    return messages.Rules(
        since_ms=None if ask.max_age is None else now_ms - ask.max_age * 1000,
        has_media=ask.has == "media",
        near=None if ask.near is None or ask.within_km is None else _near(ask.near, ask.within_km),
    )


def _near(near: str, within_km: float) -> messages.Near:
    latitude, longitude = (float(part) for part in near.split(","))
    if abs(latitude) > 90 or abs(longitude) > 180:
        raise Invalid(
            "near is not a place.",
            errors=(FieldError("?near", "Latitude is -90 to 90, longitude -180 to 180."),),
        )
    return messages.Near(latitude=latitude, longitude=longitude, within_km=within_km)


def list_name(ask: timeline.TimelineAsk) -> str:
    """Which list a timeline cursor belongs to: the same rules, whatever the page size."""
    return f"timeline {ask.per_friend} {ask.max_age} {ask.has} {ask.near} {ask.within_km}"


def in_words(ask: timeline.TimelineAsk) -> list[str]:
    """One's own rules, for `explain=1`."""
    words = ["one entry per friend, by their latest message, newest first"]
    words.append(
        "the latest message of each friend"
        if ask.per_friend == 1
        else f"up to {ask.per_friend} messages of each friend"
    )
    if ask.max_age is not None:
        words.append(f"only messages of the last {ask.max_age} seconds")
    if ask.has == "media":
        words.append("only messages with media")
    if ask.near is not None:
        words.append(f"only messages from within {ask.within_km:g} km of {ask.near}")
    words.append("friends whom you have muted are left out")
    return words


def timeline_next(
    shown: list[tuple[UUID, UUID]], position: TimelinePosition | None, *, read_at_ms: int, since_ms: int | None
) -> TimelinePosition:
    """The position under `shown` (author and newest message id of each entry, in order)."""
    as_of = position.as_of_ms if position else read_at_ms - SETTLED_MS
    newer = list(position.newer_shown) if position else []
    newer += [author for author, newest in shown if ms_of(newest) > as_of]
    return TimelinePosition(as_of_ms=as_of, before=shown[-1][1], newer_shown=newer, since_ms=since_ms)


def feed_from(message: UUID) -> FeedPosition:
    """The page that begins with this message."""
    return FeedPosition(before=UUID(int=min(message.int + 1, 2**128 - 1)))


def feed_older(
    items: list[UUID], position: FeedPosition | None, *, more: bool, read_at_ms: int
) -> FeedPosition | None:
    """Under the last one shown: whatever is younger belongs to the other direction. None at the end."""
    came_up = position is not None and position.after is not None
    if items and (more or came_up):
        return FeedPosition(before=items[-1])
    if position is None or position.before is None:
        return None  # what may yet appear below the only page is taken by the newer cursor
    last = items[-1] if items else position.before
    return FeedPosition(before=last) if last >= first_of(read_at_ms - SETTLED_MS) else None


def feed_newer(items: list[UUID], position: FeedPosition | None, *, more: bool, read_at_ms: int) -> FeedPosition:
    """Above what is settled and shown.

    A write that was open while this page was read may yet appear below ids that were shown; so the cursor never
    passes the settled moment, and what was shown above it is named, that it is not given twice.
    """
    settled = first_of(read_at_ms - SETTLED_MS).int
    numbers = [one.int for one in items]  # which are compared many times as fast
    known, ceiling = set(numbers), None
    if position is not None and position.after is not None:
        floor = position.after.int
        known.update(one.int for one in position.seen)
        # Where a newer page was full, what it left out is younger than all it gave.
        ceiling = numbers[0] if numbers and more else None
    elif position is not None and position.before is not None:
        floor = numbers[-1] if numbers else position.before.int - 1
    elif more:
        floor = numbers[-1]
    else:
        # The only page: nothing leads below it, so what may yet appear there is this cursor's, too.
        floor = min([settled, *numbers[-1:]])
    passed = [one for one in known if one < settled and (ceiling is None or one <= ceiling)]
    after = max([floor, *passed])
    return FeedPosition(after=UUID(int=after), seen=[UUID(int=one) for one in sorted(known) if one > after])


def room_for(position: FeedPosition | None, limit: int, *, now_ms: int) -> int:
    """How many more may be shown: what a cursor has no room to name waits until some of it has settled."""
    if position is None:
        return limit
    settled = first_of(now_ms - SETTLED_MS)
    unsettled = sum(one >= settled for one in position.seen)
    return min(limit, MOST_SEEN - unsettled)

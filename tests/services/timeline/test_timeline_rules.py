"""Where the next page starts, decided without any I/O."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from tidings.contracts import timeline
from tidings.platform.ids import first_of, ms_of, uuid7
from tidings.services.timeline import rules

NOW = 1_700_000_000_000
moments = st.integers(NOW - 10_000, NOW)


def test_a_timelines_later_pages_are_as_of_two_seconds_before_its_first() -> None:
    settled, fresh = uuid7(NOW - 5_000), uuid7(NOW - 100)
    authors = [UUID(int=1), UUID(int=2)]
    place = rules.timeline_next(
        [(authors[0], fresh), (authors[1], settled)], None, read_at_ms=NOW, since_ms=NOW - 60_000
    )
    assert place == rules.TimelinePosition(
        as_of_ms=NOW - 2_000, before=settled, newer_shown=[authors[0]], since_ms=NOW - 60_000
    )
    later = rules.timeline_next([(authors[1], settled)], place, read_at_ms=NOW + 9_000, since_ms=None)
    assert (later.as_of_ms, later.newer_shown) == (place.as_of_ms, place.newer_shown)


@given(st.lists(moments, min_size=1, max_size=30, unique=True), moments, st.booleans())
def test_a_newer_cursor_names_whatever_it_has_shown_of_the_unsettled_tail(
    at: list[int], floor_ms: int, more: bool
) -> None:
    floor = first_of(floor_ms)
    items = sorted((uuid7(ms) for ms in at if ms > floor_ms), reverse=True)
    position = rules.FeedPosition(after=floor)

    place = rules.feed_newer(items, position, more=more, read_at_ms=NOW)

    assert place.after is not None
    assert place.after >= floor  # never backwards
    assert place.after == floor or ms_of(place.after) < NOW - rules.SETTLED_MS  # never past what may yet come
    assert set(items) == {one for one in items if one <= place.after} | set(place.seen)


def test_ones_rules_in_words() -> None:
    ask = timeline.TimelineAsk(per_friend=3, max_age=60, has="media", near="1.5,2", within_km=2.5)
    words = rules.in_words(ask)
    assert "up to 3 messages of each friend" in words
    assert "only messages of the last 60 seconds" in words
    assert "only messages with media" in words
    assert "only messages from within 2.5 km of 1.5,2" in words


def test_the_page_size_is_no_part_of_a_list() -> None:
    assert rules.list_name(timeline.TimelineAsk(limit=1)) == rules.list_name(timeline.TimelineAsk(limit=99))
    names = {
        rules.list_name(ask)
        for ask in (
            timeline.TimelineAsk(),
            timeline.TimelineAsk(per_friend=2),
            timeline.TimelineAsk(max_age=9),
            timeline.TimelineAsk(has="media"),
            timeline.TimelineAsk(near="1,1", within_km=2),
            timeline.TimelineAsk(near="1,1", within_km=3),
        )
    }
    assert len(names) == 6

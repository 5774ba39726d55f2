"""The pure rules: distance, boxes, rounding, visibility's corners."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.contracts.messages import MessageId, Near, NewPlace, Place, Rules
from tidings.contracts.users import UserId
from tidings.platform.ids import bucket_of, first_of, uuid7
from tidings.services.messages import rules

latitudes = st.floats(-90, 90)
longitudes = st.floats(-180, 180)
NOW = 1_770_000_000_000


@pytest.mark.parametrize(
    ("a", "b", "km"),
    [
        ((0, 0), (0, 0), 0),
        ((0, 0), (0, 180), 20_015.114),  # half of the circumference
        ((90, 0), (-90, 77), 20_015.114),
        ((0, 179.5), (0, -179.5), 111.195),  # over the antimeridian
        ((36.12, -86.67), (33.94, -118.40), 2_886.449),  # Nashville to Los Angeles, the usual example
    ],
)
def test_distances(a: rules.Span, b: rules.Span, km: float) -> None:
    assert rules.kilometres(a, b) == pytest.approx(km, abs=0.05)


@given(latitudes, longitudes, latitudes, longitudes, st.floats(0.001, 20_040))
def test_the_box_holds_the_circle(la: float, lo: float, la2: float, lo2: float, km: float) -> None:
    near = Near(latitude=la, longitude=lo, within_km=km)
    if rules.is_within(near, (la2, lo2)):
        (south, north), spans = rules.box(near)
        assert south <= la2 <= north
        assert any(west <= lo2 <= east for west, east in spans)


def test_the_box_is_no_whole_world_where_it_need_not_be() -> None:
    (south, north), ((west, east), _) = rules.box(Near(latitude=52, longitude=5, within_km=10))
    assert north - south < 0.2
    assert east - west < 0.4
    assert rules.box(Near(latitude=0, longitude=179.99, within_km=10))[1][1][0] == -180


def test_a_place_is_kept_as_precisely_as_told() -> None:
    told = NewPlace(latitude=52.123456, longitude=-0.004, name="here", decimals=2)
    assert rules.rounded(told) == Place(latitude=52.12, longitude=0.0, name="here")
    assert str(rules.rounded(told).longitude) == "0.0"
    assert rules.rounded(NewPlace(latitude=89.6, longitude=179.7, decimals=0)).latitude == 90


def test_ids_rise_though_the_clock_steps_back() -> None:
    assert rules.next_ms(100, 0) == 100
    assert rules.next_ms(100, 100) == 101
    assert rules.next_ms(90, 100) == 101


def test_times_become_bounds_of_ids() -> None:
    in_ms = MessageId(uuid7(NOW))
    assert rules.floor_of(Rules(since_ms=NOW)) < in_ms < rules.ceiling_of(NOW)
    assert not rules.floor_of(Rules(since_ms=NOW + 1)) < in_ms
    assert not in_ms < rules.ceiling_of(NOW - 1)
    assert rules.newer_floor_of(Rules(), NOW - 1) < in_ms
    assert not rules.newer_floor_of(Rules(), NOW) < in_ms
    for odd in (-5, 0, 1 << 60):
        assert isinstance(rules.ceiling_of(odd), UUID)
        assert isinstance(rules.floor_of(Rules(since_ms=odd)), UUID)


def test_a_hidden_author_is_hidden_from_the_named_too() -> None:
    viewer = UserId(UUID(int=1))
    assert not rules.admits("only", [viewer], viewer, "hidden")
    assert not rules.admits("public", [], viewer, "hidden")
    assert rules.admits("only", [], viewer, "own")
    assert not rules.admits("only", [viewer], None, "other")
    assert not rules.sees([], viewer, {})


def test_a_cursor_that_runs_forward_never_passes_what_may_still_commit() -> None:
    old, recent, newest = (MessageId(uuid7(NOW - ago)) for ago in (5000, 1000, 10))
    assert rules.settled(old, [old], rules.LOWEST, now=NOW, most=9) == (old, [])
    bound = first_of(NOW - 2000)
    assert rules.settled(newest, [old, recent, newest], rules.LOWEST, now=NOW, most=9) == (bound, [recent, newest])
    assert rules.settled(newest, [recent, newest], rules.LOWEST, now=NOW, most=1) == (newest, [])


def test_an_imported_id_is_a_past_one_of_its_author() -> None:
    author = UUID(int=7)
    bucket = bucket_of(author)
    assert rules.is_importable(MessageId(uuid7(NOW, rand_a=bucket)), bucket, now=NOW)
    assert not rules.is_importable(MessageId(uuid7(NOW + 1, rand_a=bucket)), bucket, now=NOW)
    assert not rules.is_importable(MessageId(uuid7(NOW, rand_a=bucket ^ 1)), bucket, now=NOW)
    assert not rules.is_importable(MessageId(UUID(int=uuid7(NOW, rand_a=bucket).int ^ 1 << 76)), bucket, now=NOW)

"""What a query asks for is read once while it is remembered, and is the same as when it is read anew."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tidings.contracts import messages, timeline
from tidings.edge import asks
from tidings.edge.asks import Reader
from tidings.platform.contract import Invalid
from tidings.platform.http.problems import BadRequest


def test_the_same_query_is_read_once() -> None:
    reader = Reader.of(messages.find_messages)
    author = uuid4()
    query = f"author={author}&limit=7".encode()
    first = reader.read({}, query, b"", "")
    assert (first.author, first.limit) == (author, 7)
    assert reader.read({}, query, b"", "") is first
    other = reader.read({}, f"author={uuid4()}&limit=7".encode(), b"", "")
    assert other.author != author


def test_each_route_has_its_own() -> None:
    feed, page = Reader.of(timeline.get_feed), Reader.of(timeline.get_timeline)
    assert isinstance(feed.read({}, b"limit=10", b"", ""), timeline.FeedAsk)
    assert isinstance(page.read({}, b"limit=10", b"", ""), timeline.TimelineAsk)


def test_what_is_wrong_is_said_each_time() -> None:
    reader = Reader.of(timeline.get_feed)
    for _ in range(2):
        with pytest.raises(Invalid, match="not valid"):
            reader.read({}, b"limit=none", b"", "")
    reader.read({}, b"limit=10", b"", "")
    with pytest.raises(BadRequest, match="no body"):
        reader.read({}, b"limit=10", b"{}", "application/json")


def test_a_list_is_nobody_elses() -> None:
    reader = Reader.of(messages.find_messages)
    query = f"ids={uuid4()}".encode()
    first, second = (reader.read({}, query, b"", "") for _ in range(2))
    assert first == second
    assert first.ids is not second.ids


def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asks, "REMEMBERED", 3)
    reader = Reader.of(timeline.get_feed)
    for limit in range(1, 50):
        assert reader.read({}, f"limit={limit}".encode(), b"", "").limit == limit
        assert len(reader.remembered) <= 3
    long = b"limit=5&cursor=" + b"a" * asks.SHORT
    assert reader.read({}, long, b"", "").limit == 5
    assert long not in reader.remembered

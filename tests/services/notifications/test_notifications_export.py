"""What notifications gives a person of what it keeps: the contract's export."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.services.notifications.happenings import Happenings
from tidings.contracts import notifications as contract
from tidings.platform.contract import Unavailable
from tidings.platform.export import ExportAsk


async def test_everything_that_stands_comes_page_by_page(happenings: Happenings) -> None:
    alice, *others = (happenings.person() for _ in range(6))
    message = happenings.posts(alice)
    for who in others:
        happenings.asks(who, alice)
        happenings.reacts(who, message, alice)
    told = happenings.posts(others[0], mentions=[alice])
    happenings.reacts(others[0], message, alice, left=0)
    assert await happenings.kinds(alice) == [("friend_request", 1)] * 5 + [("mention", 1), ("reaction", 4)]
    for limit in (1, 3, 10, 200):
        listed = await happenings.lone.exported(contract.export, "notifications.json", alice, limit=limit)
        assert sorted(one["kind"] for one in listed) == ["friend_request"] * 5 + ["mention"] + ["reaction"] * 4
        assert {one["by"]["user_id"] for one in listed} == {str(one) for one in others}
        assert {one["message_id"] for one in listed if one["kind"] == "mention"} == {str(told)}
        assert {one["message_id"] for one in listed if one["kind"] == "reaction"} == {str(message)}


async def test_nobody_and_nothing_hidden_is_named(happenings: Happenings) -> None:
    alice, gone, blocked, seen = (happenings.person() for _ in range(4))
    for who in (gone, blocked, seen):
        happenings.posts(who, mentions=[alice])
    hidden = happenings.posts(seen, mentions=[alice])
    assert await happenings.kinds(alice) == [("mention", 1)] * 4
    happenings.gone.add(gone)
    happenings.blocked.add(blocked)
    happenings.hidden.add(hidden)
    listed = await happenings.lone.exported(contract.export, "notifications.json", alice)
    assert [one["by"]["user_id"] for one in listed if one["by"]] == [str(seen), str(seen)]
    assert str(hidden) not in {one["message_id"] for one in listed}
    assert len(listed) == 4
    happenings.messages_down = True
    with pytest.raises(Unavailable) as refused:
        await happenings.lone.call(contract.export, ExportAsk(file="notifications.json"), alice)
    assert refused.value.service == "messages"


async def test_the_mark(happenings: Happenings) -> None:
    alice = happenings.person()
    assert await happenings.lone.exported(contract.export, "read_mark.json", alice) == []
    mark = contract.MarkRead(body=contract.NewMark(read_until=datetime(2026, 1, 1, tzinfo=UTC)))
    await happenings.lone.route(contract.mark_read, mark, alice)
    marks = await happenings.lone.exported(contract.export, "read_mark.json", alice)
    assert marks == [{"read_until": "2026-01-01T00:00:00.000Z"}]

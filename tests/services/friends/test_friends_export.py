"""What friends gives a person of what it keeps: the contract's export."""

from __future__ import annotations

from tests.services.friends.town import Town, ids, refusal
from tidings.contracts import friends as contract
from tidings.platform.contract import Unavailable
from tidings.platform.export import ExportAsk


async def test_every_list_comes_whole_page_by_page(town: Town) -> None:
    ada, stranger, *others = town.people(17)
    friends, asking, asked, blocked, muted = (others[start : start + 3] for start in range(0, 15, 3))
    await ada.befriends(*friends)
    for one in asking:
        await one.asks(ada)
    for one in asked:
        await ada.asks(one)
    for one in blocked:
        await ada.blocks(one)
    for one in muted:
        await ada.mutes(one)
    await stranger.blocks(ada)
    await stranger.mutes(ada)
    for file, people in (("friends.json", friends), ("blocks.json", blocked), ("mutes.json", muted)):
        for limit in (1, 2, 3, 200):
            listed = await town.lone.exported(contract.export, file, ada.id, limit=limit)
            assert sorted(one["user_id"] for one in listed) == sorted(str(one) for one in ids(people))
            assert all(one["handle"] and one["since"].endswith("Z") for one in listed)
    for limit in (1, 2, 4, 200):
        requests = await town.lone.exported(contract.export, "requests.json", ada.id, limit=limit)
        directions = {(one["direction"], one["user_id"]) for one in requests}
        assert len(requests) == 6
        assert directions == {("incoming", str(one.id)) for one in asking} | {
            ("outgoing", str(one.id)) for one in asked
        }


async def test_who_is_gone_has_no_handle(town: Town) -> None:
    ada, bob = town.people(2)
    await ada.befriends(bob)
    town.gone.add(bob.id)
    (listed,) = await town.lone.exported(contract.export, "friends.json", ada.id)
    assert (listed["user_id"], listed["handle"]) == (str(bob.id), None)


async def test_a_page_costs_one_call_and_an_empty_file_none(town: Town) -> None:
    ada, bob = town.people(2)
    await ada.befriends(bob)
    town.lone.calls.clear()
    assert await town.lone.exported(contract.export, "mutes.json", ada.id) == []
    assert town.lone.calls == []
    await town.lone.exported(contract.export, "friends.json", ada.id)
    assert town.lone.calls == ["users/cards"]
    town.users_down = True
    await refusal(Unavailable, town.lone.call(contract.export, ExportAsk(file="friends.json"), ada.id))

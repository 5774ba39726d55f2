"""What the lists promise: newest first, nothing skipped or repeated, cursors for one asker and one list."""

from __future__ import annotations

import pytest

from tests.services.friends.town import Town, ids, refusal, shown
from tidings.contracts import friends as contract
from tidings.contracts.friends import PageAsk, People, RequestsAsk
from tidings.contracts.users import UserId
from tidings.platform.contract import BadCursor


@pytest.mark.parametrize("listing", ["friends", "incoming", "outgoing", "blocked", "muted", "friends_of"])
async def test_pages_lead_through_the_whole_list_newest_first(town: Town, listing: str) -> None:
    ada, owner, *others = town.people(9)
    expected = ids(reversed(others))
    for other in others:
        match listing:
            case "friends":
                await ada.befriends(other)
            case "incoming":
                await other.asks(ada)
            case "outgoing":
                await ada.asks(other)
            case "blocked":
                await ada.blocks(other)
            case "muted":
                await ada.mutes(other)
            case "friends_of":
                await owner.befriends(other)
    if listing == "friends_of":
        await owner.befriends(ada)
        expected = [ada.id, *expected]

    async def read(limit: int, cursor: str | None) -> People:
        if listing == "friends_of":
            return await ada.friends_of(owner, limit=limit, cursor=cursor)
        page: People = await getattr(ada, listing)(limit=limit, cursor=cursor)
        return page

    seen: list[UserId] = []
    since: list[str] = []
    cursor: str | None = None
    while True:
        page = await read(3, cursor)
        assert len(page.people) <= 3
        seen += shown(page)
        since += [person.since for person in page.people]
        if (cursor := page.next_cursor) is None:
            break
    # Two in one millisecond are in the order of their ids.
    assert sorted(seen) == sorted(expected)
    assert since == sorted(since, reverse=True)
    assert list(zip(since, seen, strict=True)) == sorted(zip(since, seen, strict=True), reverse=True)
    assert shown(await read(100, None)) == seen
    assert (await read(len(expected), None)).next_cursor is None


async def test_many_in_one_millisecond_are_neither_skipped_nor_repeated(town: Town) -> None:
    ada, *others = town.people(8)
    for other in others:
        await town.imports((ada, other), since_ms=77)
    first = await ada.friends(limit=4)
    second = await ada.friends(limit=4, cursor=first.next_cursor)
    assert shown(first) + shown(second) == sorted(ids(others), reverse=True)
    assert second.next_cursor is None


async def test_a_friendship_made_between_two_pages_moves_nothing(town: Town) -> None:
    ada, late, *others = town.people(8)
    await town.imports(*((ada, other) for other in others))
    first = await ada.friends(limit=3)
    await ada.befriends(late)
    await ada.ends(others[-2])  # shown already
    second = await ada.friends(limit=3, cursor=first.next_cursor)
    assert shown(first) + shown(second) == ids(reversed(others))
    assert shown(await ada.friends(limit=1)) == [late.id]


async def test_a_page_of_the_gone_is_shorter_and_leads_on(town: Town) -> None:
    ada, *others = town.people(6)
    await town.imports(*((ada, other) for other in others))
    town.gone |= set(ids(others[3:]))
    first = await ada.friends(limit=2)
    assert first.people == []
    second = await ada.friends(limit=2, cursor=first.next_cursor)
    assert shown(second) == ids((others[2], others[1]))
    town.gone.add(others[0].id)
    last = await ada.friends(limit=2, cursor=second.next_cursor)
    assert (last.people, last.next_cursor) == ([], None)


async def test_the_link_says_where_to_go_on(town: Town) -> None:
    ada, *others = town.people(4)
    for other in others:
        await ada.asks(other)
    ask = RequestsAsk(direction="outgoing", limit=2)
    served = await town.lone.served(contract.list_requests, ask, ada.id)
    cursor = (await ada.outgoing(limit=2)).next_cursor
    assert served.headers["link"] == f'<?direction=outgoing&limit=2&cursor={cursor}>; rel="next"'
    last = await town.lone.served(contract.list_requests, RequestsAsk(direction="outgoing", limit=3), ada.id)
    assert "link" not in last.headers


async def test_a_cursor_opens_for_its_asker_and_list_alone(town: Town) -> None:
    ada, ben, owner, *others = town.people(7)
    for one in (ada, ben, owner):
        await town.imports(*((one, other) for other in others))
    await town.imports((ada, owner), (ben, owner), (ada, ben))
    cursor = (await ada.friends(limit=1)).next_cursor
    assert cursor is not None
    await ada.friends(limit=2, cursor=cursor)
    await ada.friends_of(ada, cursor=cursor)  # the same list by its other address
    await refusal(BadCursor, ben.friends(cursor=cursor))
    await refusal(BadCursor, ada.friends_of(owner, cursor=cursor))
    await refusal(BadCursor, ada.incoming(cursor=cursor))
    await refusal(BadCursor, ada.outgoing(cursor=cursor))
    await refusal(BadCursor, ada.blocked(cursor=cursor))
    await refusal(BadCursor, ada.muted(cursor=cursor))
    of_owner = (await ada.friends_of(owner, limit=1)).next_cursor
    await refusal(BadCursor, ada.friends_of(ben, cursor=of_owner))
    await refusal(BadCursor, ben.friends_of(owner, cursor=of_owner))


async def test_a_tampered_cursor_is_refused(town: Town) -> None:
    ada, *others = town.people(4)
    await town.imports(*((ada, other) for other in others))
    cursor = (await ada.friends(limit=1)).next_cursor
    assert cursor is not None
    for place in range(0, len(cursor), 5):
        other = "A" if cursor[place] != "A" else "B"
        await refusal(BadCursor, ada.friends(cursor=cursor[:place] + other + cursor[place + 1 :]))
    for forged in ("x", cursor[:-4], cursor + "AAAA", "é", "=" * 9):
        await refusal(BadCursor, town.lone.route(contract.list_friends, PageAsk(cursor=forged), ada.id))

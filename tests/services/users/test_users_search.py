"""Who finds whom: by ids, by handle, by the beginning of a name; and never across a block."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest

from tests.services.users.people import Town
from tidings.contracts import friends, users
from tidings.platform.contract import BadCursor, Invalid, NotFound, Unavailable
from tidings.platform.ids import uuid7
from tidings.platform.request import Viewer


async def test_finds_by_words_of_name_and_handle(town: Town) -> None:
    seeker = await town.joins("fseeker", "Nobody Near")
    await town.joins("fzoe_quux", "Zoë Łukaszewicz-Brontë")
    await town.joins("fother", "Xanthippe Bronte%Sky")
    for q in ("zoe", "ZOË", "zoë łuk", "bronte", "quux", "fzoe_q", "@fzoe", "Łukaszewicz Bro"):
        assert "fzoe_quux" in await seeker.finds(q), q
    assert await seeker.finds("bronte") == ["fzoe_quux", "fother"]
    assert await seeker.finds("bronte sky") == ["fother"]
    for q in ("oe", "%", "_", "z_e", "zoe%", "b%e", "quux x", "\U0010ffff", "łukz"):
        assert "fzoe_quux" not in await seeker.finds(q) or q == "zoe%", q


async def test_a_new_name_is_found_and_the_old_is_not(town: Town) -> None:
    anna = await town.joins("gname", "Gwendolyn Oldname")
    await anna.does(users.patch_user, user_id=anna.id, body=users.ProfilePatch(name="Gwendolyn Newname"))
    assert (await anna.finds("oldname"), await anna.finds("newname")) == ([], ["gname"])


async def test_pages_show_everybody_once(town: Town) -> None:
    seeker = await town.joins("hseeker", "Seeker")
    wanted = {(await town.joins(f"hp{n}", f"Yolanda Yolanda{n % 3} Yol")).handle for n in range(11)}
    seen: list[str] = []
    ask: dict[str, Any] = {"q": "yol", "limit": 3}
    while True:
        served = await town.lone.served(users.find_users, users.FindUsers(**ask), seeker.viewer)
        page = msgspec.json.decode(served.body, type=users.Users)
        seen += [one.handle for one in page.users]
        if page.next_cursor is None:
            assert "link" not in served.headers
            break
        assert len(page.users) == 3
        query = parse_qs(served.headers["link"].partition("<?")[2].partition(">")[0])
        assert query == {"q": ["yol"], "limit": ["3"], "cursor": [page.next_cursor]}
        ask["cursor"] = page.next_cursor
    assert sorted(seen) == sorted(wanted)

    for other, q in ((seeker, "yola"), (await town.joins("hother"), "yol")):
        with pytest.raises(BadCursor):  # made for another list, or for somebody else
            await other.does(users.find_users, q=q, cursor=ask["cursor"])


async def test_a_block_hides_both_ways_and_shortens_no_page(town: Town) -> None:
    seeker = await town.joins("iseeker", "Seeker")
    people = [await town.joins(f"ip{n}", f"Wilhelmina {n}") for n in range(8)]
    for hidden in people[1:5]:
        town.blocks.add(frozenset({seeker.id, hidden.id}))
    assert await seeker.finds("wilh", limit=3) == ["ip0", "ip5", "ip6"]
    assert await seeker.finds("wilh", limit=4) == ["ip0", "ip5", "ip6", "ip7"]
    with pytest.raises(NotFound) as blocked:
        await seeker.sees(people[1])
    with pytest.raises(NotFound):
        await people[1].sees(seeker)
    with pytest.raises(NotFound) as unknown:
        await seeker.does(users.get_user, user_id=uuid7(1))
    assert (blocked.value.detail, blocked.value.errors) == (unknown.value.detail, unknown.value.errors)
    found = await seeker.does(users.find_users, handle="ip1")
    assert found.users == []


async def test_bulk_omits_unknown_and_forbidden_alike(town: Town) -> None:  # row 3
    seeker, root = await town.joins("jseeker"), await town.joins("jroot")
    await town.makes_administrator(root)
    shown, blocked, suspended, deleted = [await town.joins(f"jp{n}") for n in range(4)]
    town.blocks.add(frozenset({seeker.id, blocked.id}))
    await root.suspends(suspended)
    await deleted.leaves()
    town.lone.calls.clear()
    ids = [suspended.id, shown.id, uuid7(2), blocked.id, deleted.id, seeker.id, shown.id]
    page = await seeker.does(users.find_users, ids=ids)
    assert [one.id for one in page.users] == [shown.id, seeker.id]
    assert town.lone.calls == ["friends/relations"]
    assert [one.id for one in (await root.does(users.find_users, ids=ids)).users] == [
        suspended.id, shown.id, blocked.id, seeker.id,
    ]  # fmt: skip
    assert (await seeker.does(users.find_users, ids=[])).users == []
    assert (await seeker.does(users.find_users, handle="jp0")).users[0].id == shown.id
    assert (await seeker.does(users.find_users, handle="jp2")).users == []


@pytest.mark.parametrize("ask", [{}, {"ids": [], "q": "x"}, {"handle": "xx", "q": "x"}])
async def test_one_way_at_a_time(town: Town, ask: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refusal:
        await town.lone.route(users.find_users, users.FindUsers(**ask), uuid7(1))
    assert refusal.value.errors[0].pointer.startswith("?")
    assert not ask or {error.pointer for error in refusal.value.errors} == {f"?{name}" for name in ask}


async def test_nobody_is_shown_while_friends_is_away(town: Town) -> None:
    anna, ben = await town.joins("kanna"), await town.joins("kben")

    async def away(viewer: Viewer, ask: Any) -> Any:
        raise Unavailable("friends is away", service="friends")

    played, town.lone.neighbours[friends.relations.name] = town.relations, away
    try:
        for asks in (anna.sees(ben), anna.finds("kben")):
            with pytest.raises(Unavailable) as refusal:
                await asks
            assert refusal.value.service == "friends"
        assert (await anna.sees(anna)).handle == "kanna"  # oneself needs no neighbour
    finally:
        town.lone.neighbours[friends.relations.name] = played


async def test_by_handles_gives_cards_of_those_whom_one_may_see(town: Town) -> None:
    """A name in a text: who is unknown, blocked, suspended or deleted is absent alike (row 3)."""
    seeker, root = await town.joins("lseeker"), await town.joins("lroot")
    await town.makes_administrator(root)
    shown, blocked, suspended, deleted = [await town.joins(f"lp{n}") for n in range(4)]
    town.blocks.add(frozenset({seeker.id, blocked.id}))
    await root.suspends(suspended)
    await deleted.leaves()
    town.lone.calls.clear()
    handles = ["lp0", "lp1", "lp2", "lp3", "lseeker", "nobody_there", "lp0", "LP0", "'; drop table accounts", ""]
    found = await town.lone.call(users.by_handles, users.ByHandles(handles=handles), seeker.viewer)
    assert found == {
        "lp0": (await town.cards(shown.id))[shown.id],
        "lseeker": (await town.cards(seeker.id))[seeker.id],
    }
    assert town.lone.calls == ["friends/relations"]  # one for all of them
    assert await town.lone.call(users.by_handles, users.ByHandles(handles=[]), seeker.viewer) == {}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"handles": ["x"] * 101}, users.ByHandles)
    assert users.by_handles.callers == {"web"} and users.by_handles.safe


async def test_by_handles_shows_nobody_while_friends_is_away(town: Town) -> None:
    anna = await town.joins("manna")
    await town.joins("mben")

    async def away(viewer: Viewer, ask: Any) -> Any:
        raise Unavailable("friends is away", service="friends")

    played, town.lone.neighbours[friends.relations.name] = town.relations, away
    try:
        with pytest.raises(Unavailable):
            await town.lone.call(users.by_handles, users.ByHandles(handles=["mben"]), anna.viewer)
    finally:
        town.lone.neighbours[friends.relations.name] = played

"""Row 6: somebody suspended or deleted is in no thread, notification, list or search; the suspended come back."""

from __future__ import annotations

import pytest

from tests.harness.system import Whole
from tests.harness.waiting import until
from tidings.contracts import users


@pytest.mark.parametrize("ending", ["suspended", "deleted"])
async def test_row_06_nothing_of_those_who_are_gone_is_rendered(tidings: Whole, ending: str) -> None:
    alice, bob, carol = [await tidings.joins(name) for name in ("Alice", "Bob", "Carol")]
    await alice.befriends(bob, carol)
    await bob.befriends(carol)
    mine = (await alice.posts("alice's own"))["id"]
    his = (await bob.posts("bob's own", audience="public"))["id"]
    (await bob.patch(f"/v1/messages/{his}", {"text": "bob's own, edited"})).ok()
    reply = (await bob.post(f"/v1/messages/{mine}/replies", {"text": "bob replies"})).ok()["id"]
    below = (await carol.post(f"/v1/messages/{reply}/replies", {"text": "carol below bob"})).ok()["id"]
    (await bob.put(f"/v1/messages/{mine}/reactions/+1")).ok()
    await bob.posts("to alice", mentions=[alice.id])

    searches = [{"q": bob.handle}, {"handle": bob.handle}, {"ids": bob.id}]
    lists = [
        "/v1/friends", "/v1/feed", "/v1/timeline", "/v1/notifications", f"/v1/users/{carol.id}/friends",
        f"/v1/messages/{mine}/replies", f"/v1/messages/{mine}/reactions",
    ]  # fmt: skip
    single = [
        f"/v1/users/{bob.id}", f"/v1/messages/{his}", f"/v1/messages/{his}/history", f"/v1/messages/{reply}",
        f"/v1/messages/{below}",
    ]  # fmt: skip

    async def all_shown() -> bool:
        shown = [(await alice.get(path)).raw.decode() for path in lists]
        shown += [(await alice.get("/v1/users", params=params)).raw.decode() for params in searches]
        single_ones = [(await alice.get(path)).status for path in single]
        return all(bob.id in one for one in shown) and single_ones == [200] * len(single)

    await until(all_shown, what="what is to be hidden")
    if ending == "suspended":
        await tidings.operator.call(users.suspend, users.Suspend(handle=bob.handle, suspended=True))
    else:
        assert (await bob.delete("/v1/users/me")).status in (204, 202)

    for path in lists:
        assert bob.id not in (await alice.get(path)).raw.decode(), path
        assert "bob" not in (await alice.get(path)).raw.decode(), path
    for params in searches:
        assert (await alice.get("/v1/users", params=params)).ok()["users"] == [], params
    for path in single:
        assert (await alice.get(path)).status == 404, path
    if ending == "suspended":
        await tidings.operator.call(users.suspend, users.Suspend(handle=bob.handle, suspended=False))
        await until(all_shown, what="what a reinstatement brings back")

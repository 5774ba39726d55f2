"""A request that comes again, with the very same bytes, is answered as the first was: it is understood at once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.people import Answer, Person
from tests.harness.system import Whole

SAYING = ("/v1/feed?limit=5", "/v1/timeline", "/v1/messages?author={bob}&limit=5")


def told(answer: Answer) -> list[str]:
    """Of what it tells in its head."""
    return sorted(name.lower() for name in answer.headers)


async def three_times(alice: Person, bob: Person, path: str) -> list[tuple[Answer, str]]:
    """Each with what Bob said before."""
    found = []
    for number in range(3):
        text = f"{path} {number}"
        await bob.posts(text)
        found.append((await alice.get(path.format(bob=bob.id)), text))
    return found


@pytest.mark.parametrize("path", SAYING)
async def test_what_changed_is_told_in_the_same_way(tidings: Whole, path: str) -> None:
    alice, bob = [await tidings.joins(name) for name in ("Alice", "Bob")]
    await alice.befriends(bob)
    (first, _), *others = await three_times(alice, bob, path)
    assert first.status == 200
    for answer, text in others:
        assert answer.status == 200
        assert told(answer) == told(first)
        assert text in answer.raw.decode()
        assert answer.headers["content-type"] == first.headers["content-type"]
        assert answer.headers["etag"] != first.headers["etag"]


async def test_nobody_is_taken_for_another(tidings: Whole) -> None:
    alice, bob, cleo = [await tidings.joins(name) for name in ("Alice", "Bob", "Cleo")]
    await alice.befriends(bob)

    async def heard_by(*people: Person) -> list[int]:
        return [len((await one.get("/v1/feed")).ok()["items"]) for one in people]

    assert await heard_by(alice, bob, cleo) == [0, 0, 0]
    await bob.posts("for friends")
    assert await heard_by(alice, bob, cleo) == [1, 1, 0]
    assert await heard_by(cleo, bob, alice) == [0, 1, 1]


async def test_who_is_signed_out_meanwhile_is_told_so(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    for _ in range(2):
        assert (await alice.get("/v1/feed")).status == 200
    (await alice.delete("/v1/sessions")).ok()
    for _ in range(2):
        refused = await alice.get("/v1/feed")
        assert (refused.status, refused.body["code"]) == (401, "unauthenticated")


async def test_what_is_wrong_is_wrong_again(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")

    def said(answer: Answer) -> tuple[int, Any]:
        return answer.status, answer.body["errors"]

    first, second = [said(await alice.get("/v1/feed?limit=5&limit=5")) for _ in range(2)]
    assert first == second == (422, [{"pointer": "?limit", "detail": "Give it once."}])

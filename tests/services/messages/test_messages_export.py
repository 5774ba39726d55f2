"""What messages gives a person of what it keeps: the contract's export."""

from __future__ import annotations

import msgspec
import pytest

from tests.services.messages.neighbourhood import Neighbourhood, at
from tests.services.messages.test_messages_by_authors import imported, imports
from tidings.contracts import messages as contract
from tidings.platform.clock import now_ms


async def test_a_message_comes_with_all_that_was_said(town: Neighbourhood) -> None:
    alice, bob = town.people(2)
    picture = alice.uploads("a boat")
    said = await alice.posts(
        "before", media=[picture], place=at(1.5, 2.5), mentions=[bob.id], tags=["t"], audience="only", only=[bob]
    )
    await alice.edits(said, text="after", audience="public", only=[])
    (one,) = await town.lone.exported(contract.export, "messages.json", alice.id)
    assert one.pop("edited_at") > one["created_at"]
    assert one == {
        "id": str(said.id),
        "text": "after",
        "media": [msgspec.to_builtins(picture)],
        "place": {"latitude": 1.5, "longitude": 2.5, "name": ""},
        "mentions": [str(bob.id)],
        "tags": ["t"],
        "audience": "public",
        "only": [],
        "reply_to": None,
        "created_at": said.created_at,
        "version": 2,
    }
    (earlier,) = await town.lone.exported(contract.export, "earlier.json", alice.id)
    assert earlier.pop("until") > said.created_at
    assert earlier.pop("media")[0]["alt"] == "a boat"
    assert earlier == {
        "message_id": str(said.id),
        "version": 1,
        "text": "before",
        "audience": "only",
        "only": [str(bob.id)],
    }


@pytest.mark.parametrize("limit", [1, 2, 3, 200])
async def test_replies_and_reactions_come_from_wherever_they_lie(town: Neighbourhood, limit: int) -> None:
    alice, *others = town.people(4)
    for other in others:
        town.befriend(alice, other)
    theirs = [await other.posts(f"of {number}", audience="public") for number, other in enumerate(others)]
    replies = [await alice.replies(one, "first") for one in theirs]
    for one in replies:
        await alice.edits(one, text="second")
        await alice.edits(one, text="third")
    for one in theirs:
        await others[0].replies(one, "not hers")
        for emoji in ("a", "b"):
            await alice.reacts(one, emoji)
        await alice.unreacts(one, "b")
        await others[0].reacts(one, "x")

    async def exported(file: str) -> list[dict[str, object]]:
        return await town.lone.exported(contract.export, file, alice.id, limit=limit)

    listed = await exported("replies.json")
    assert [one["id"] for one in listed] == [str(one.id) for one in replies]
    assert [(one["reply_to"], one["text"]) for one in listed] == [(str(one.id), "third") for one in theirs]
    earlier = [(one["message_id"], one["version"], one["text"]) for one in await exported("earlier.json")]
    assert earlier == [
        (str(one.id), version, text) for one in replies for version, text in ((1, "first"), (2, "second"))
    ]
    left = [(one["message_id"], one["emoji"]) for one in await exported("reactions.json")]
    assert left == [(str(one.id), "a") for one in sorted(theirs, key=lambda one: one.id)]
    assert await exported("messages.json") == []


@pytest.mark.parametrize("limit", [1, 2, 5, 200])
async def test_messages_come_oldest_first_and_may_be_narrowed(town: Neighbourhood, limit: int) -> None:
    alice, bob = town.people(2)
    past = now_ms() - 1_000_000
    batch = [imported(alice.id, past + number, str(number)) for number in range(5)]
    await imports(town, [*batch, imported(bob.id, past, "bob's")])
    whole = await town.lone.exported(contract.export, "messages.json", alice.id, limit=limit)
    assert [one["text"] for one in whole] == list("01234")
    for since, until, expected in ((1, 3, "12"), (0, 1, "0"), (4, 9, "4"), (3, 3, ""), (4, 2, "")):
        narrowed = {"since_ms": past + since, "until_ms": past + until}
        part = await town.lone.exported(contract.export, "messages.json", alice.id, limit=limit, **narrowed)
        assert [one["text"] for one in part] == list(expected)


async def test_reactions_are_narrowed_by_when_they_were_left(town: Neighbourhood) -> None:
    alice, bob = town.people(2)
    town.befriend(alice, bob)
    await alice.reacts(await bob.posts())
    now = now_ms()
    for since, until, count in ((0, now + 1, 1), (now + 1, now + 2, 0), (0, now - 60_000, 0)):
        left = await town.lone.exported(contract.export, "reactions.json", alice.id, since_ms=since, until_ms=until)
        assert len(left) == count


async def test_of_what_was_withdrawn_the_ids_are_given(town: Neighbourhood) -> None:
    alice, bob = town.people(2)
    town.befriend(alice, bob)
    gone = [
        await alice.posts("secret"),
        await alice.replies(await bob.posts(), "secret"),
        await alice.posts("secret"),
    ]
    for one in gone:
        await alice.withdraws(one)
    listed = await town.lone.exported(contract.export, "withdrawn.json", alice.id)
    assert listed == [{"id": str(one.id)} for one in gone]
    for file in ("messages.json", "replies.json", "earlier.json"):
        assert await town.lone.exported(contract.export, file, alice.id) == []
    assert await town.lone.exported(contract.export, "withdrawn.json", bob.id) == []

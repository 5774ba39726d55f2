"""The operator's bulk import: one transaction a batch, and a second time for nothing."""

from __future__ import annotations

import msgspec

from tests.services.messages.neighbourhood import Neighbourhood, at, refusal
from tests.services.messages.test_messages_by_authors import ids, imported, imports
from tests.services.messages.writing import events_of, set_fence
from tidings.contracts import messages as contract
from tidings.contracts.messages import ImportMessages, MessageId, Place
from tidings.platform.clock import now_ms
from tidings.platform.contract import Forbidden, Invalid
from tidings.platform.ids import ms_of, uuid7
from tidings.platform.request import Viewer

PAST = now_ms() - 1_000_000


async def test_imported_messages_are_messages(town: Neighbourhood) -> None:
    alice, bob = town.people(2)
    town.befriend(alice, bob)
    place = Place(latitude=1.5, longitude=2.5, name="there")
    batch = [
        imported(alice.id, PAST + number, str(number), place=place, tags=["t", "t"], mentions=[bob.id, bob.id])
        for number in range(8)
    ]
    assert await imports(town, batch) == (8, 0)
    assert [one.message.text for one in (await bob.lists(alice)).messages] == list("76543210")
    shown = (await bob.reads(batch[0].id)).message
    assert (shown.place, shown.tags, shown.mentions) == (place, ["t"], [bob.id])
    assert ids(await bob.latest([alice], per_author=7)) == [[one.id for one in batch[:0:-1]]]
    events = await events_of(town, alice.id)
    assert [event[:2] for event in events] == [("messages.posted", version) for version in range(1, 9)]
    assert [str(one.id) in event[2] for one, event in zip(batch, events, strict=True)] == [True] * 8


async def test_what_concerns_nobody_else_is_told_together(town: Neighbourhood) -> None:
    alice, bob, carol = town.people(3)
    batch = [imported(alice.id, PAST + number, str(number)) for number in range(5)]
    batch[2] = msgspec.structs.replace(batch[2], mentions=[bob.id])
    batch += [imported(carol.id, PAST + number, str(number)) for number in range(2)]
    assert await imports(town, batch) == (7, 0)
    told = await events_of(town, alice.id)
    assert [event[:2] for event in told] == [("messages.posted", 1), ("messages.imported", 2)]
    assert str(batch[2].id) in told[0][2]
    assert [event[:2] for event in await events_of(town, carol.id)] == [("messages.imported", 1)]
    await imports(town, batch)
    assert await events_of(town, alice.id) == told


async def test_a_second_import_changes_nothing(town: Neighbourhood) -> None:
    alice = town.somebody()
    batch = [imported(alice.id, PAST + number, str(number)) for number in range(4)]
    assert await imports(town, batch[:3]) == (3, 0)
    edited = await alice.edits((await alice.reads(batch[0].id)).message, text="edited")
    await alice.withdraws((await alice.reads(batch[1].id)).message)
    before = await events_of(town, alice.id)
    assert await imports(town, batch[:3]) == (0, 3)
    assert await events_of(town, alice.id) == before
    assert (await alice.reads(batch[0].id)).message == edited
    assert await alice.finds(batch[1].id) == []  # what was withdrawn does not come back
    assert await imports(town, batch) == (1, 3)
    assert ids(await alice.latest([alice], per_author=5)) == [[batch[3].id, batch[2].id, batch[0].id]]


async def test_a_wrong_id_refuses_the_batch(town: Neighbourhood) -> None:
    alice, bob = town.people(2)
    right = imported(alice.id, PAST)
    for wrong in (
        contract.ImportedMessage(id=right.id, author_id=bob.id, text="x"),
        contract.ImportedMessage(id=MessageId(uuid7(PAST)), author_id=alice.id, text="x"),
        imported(alice.id, now_ms() + 60_000),
        imported(alice.id, PAST, " "),
    ):
        refused = await refusal(imports(town, [right, wrong]))
        assert isinstance(refused, Invalid)
        assert refused.errors[0].pointer.startswith("/messages/1/")
    assert await alice.finds(right.id) == []


async def test_only_an_administrator_imports(town: Neighbourhood) -> None:
    alice = town.somebody()
    ask = ImportMessages(messages=[imported(alice.id, PAST)])
    asked = town.lone.call(contract.import_messages, ask, Viewer(user_id=alice.id, role="member"))
    assert isinstance(await refusal(asked), Forbidden)


async def test_the_deleted_stay_deleted(town: Neighbourhood) -> None:
    alice, bob = town.people(2)
    await set_fence(town, alice.id, "deleted")
    one, other = imported(alice.id, PAST), imported(bob.id, PAST)
    assert await imports(town, [one, other]) == (1, 1)
    assert await town.store.by_ids([one.id]) == {}


async def test_ids_minted_after_an_import_are_younger(town: Neighbourhood) -> None:
    alice = town.somebody()
    batch = [imported(alice.id, now_ms())]
    await imports(town, batch)
    said = await alice.posts(place=at(1, 1))
    assert ms_of(said.id) > ms_of(batch[0].id)

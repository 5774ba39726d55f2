"""What messages promises of writing and reading one's own: posts, edits, withdrawals, replies, reactions."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from tests.services.messages.neighbourhood import Neighbourhood, at, hides, refusal
from tests.services.messages.writing import a_document, events_of, request_of, set_fence
from tidings.contracts import messages as contract
from tidings.contracts.messages import (
    AudienceMismatch,
    EmptyMessage,
    FindMessages,
    Message,
    MessageId,
    NewMessage,
    OneMessage,
    TooManyReactions,
)
from tidings.platform.clock import now_ms, rfc3339
from tidings.platform.contract import BadCursor, Invalid, KeyReused, NotFound, Refusal, Stale, Unavailable
from tidings.platform.ids import bucket_in, bucket_of, ms_of, uuid7


async def test_a_message_is_answered_as_it_is_read(town: Neighbourhood) -> None:
    alice, bob = town.people(2)
    said = await alice.posts(
        "hi",
        media=[alice.uploads("a cat")],
        place=at(52.123456, 4.98765, decimals=2),
        mentions=[bob.id, bob.id],
        tags=["a", "b", "a"],
    )
    assert said.mentions == [bob.id]
    assert said.tags == ["a", "b"]
    assert said.place is not None
    assert (said.place.latitude, said.place.longitude) == (52.12, 4.99)
    assert said.created_at == rfc3339(ms_of(said.id))
    assert (said.version, said.edited_at, said.reply_to) == (1, None, None)
    assert (await alice.reads(said)).message == said


async def test_the_answer_names_its_location_and_version(town: Neighbourhood) -> None:
    served = await town.somebody().served_post("hi")
    said = msgspec.json.decode(served.body, type=Message)
    assert (served.status, served.version) == (201, 1)
    assert served.headers == {"location": f"/v1/messages/{said.id}"}


async def test_a_message_says_something(town: Neighbourhood) -> None:
    alice, bob = town.people(2)
    for wrong in (alice.posts(" \n"), alice.posts("")):
        assert isinstance(await refusal(wrong), EmptyMessage)
    for wrong in (alice.posts("x", audience="only"), alice.posts("x", only=[bob])):
        assert isinstance(await refusal(wrong), AudienceMismatch)
    picture = alice.uploads()
    assert (await alice.posts("", media=[picture])).media == [picture]


async def test_ids_carry_the_bucket_of_the_author_and_replies_that_of_their_parent(town: Neighbourhood) -> None:
    alice, bob, carol = town.people(3)
    town.befriend(alice, bob, carol)
    said = await alice.posts()
    answer = await bob.replies(said)
    below = await carol.replies(answer)
    assert [bucket_in(one.id) for one in (said, answer, below)] == [bucket_of(alice.id)] * 3
    assert (answer.reply_to, below.reply_to) == (said.id, answer.id)


async def test_a_key_gives_the_same_answer_again(town: Neighbourhood) -> None:
    alice = town.somebody()
    first, again = await alice.served_post("hi", key="k"), await alice.served_post("hi", key="k")
    assert (first.status, first.body, first.headers) == (again.status, again.body, again.headers)
    assert isinstance(await refusal(alice.served_post("ho", key="k")), KeyReused)
    assert len((await alice.lists(alice)).messages) == 1


async def test_a_reply_is_answered_again_though_its_parent_is_gone_by_now(town: Neighbourhood) -> None:
    alice, bob = town.people(2)
    town.befriend(alice, bob)
    said = await alice.posts()
    answer = await bob.replies(said, key="k")
    await alice.withdraws(said)
    assert await bob.replies(said, key="k") == answer
    assert isinstance(await refusal(bob.replies(said, "another", key="k")), KeyReused)
    assert isinstance(await refusal(bob.replies(said, key="new")), NotFound)


async def test_a_refused_post_leaves_its_key_free(town: Neighbourhood) -> None:
    alice = town.somebody()
    assert isinstance(await refusal(alice.posts("", key="free")), EmptyMessage)
    assert (await alice.served_post("hi", key="free")).status == 201


async def test_twenty_posts_at_once_have_rising_ids_one_a_millisecond(town: Neighbourhood) -> None:
    alice = town.somebody()

    async def post(number: int) -> Message:
        for _ in range(20):
            try:
                return await alice.posts(str(number))
            except Refusal as refused:
                assert refused.code == "busy"
        raise AssertionError("busy for too long")

    said = await asyncio.gather(*(post(number) for number in range(20)))
    assert len({ms_of(one.id) for one in said}) == 20
    listed = [one.message.id for one in (await alice.lists(alice, limit=100)).messages]
    assert listed == sorted((one.id for one in said), reverse=True)


async def test_ids_rise_over_messages_and_replies_though_the_clock_steps_back(town: Neighbourhood) -> None:
    alice = town.somebody()
    ahead = now_ms() + 5_000
    await set_fence(town, alice.id, "live", last_ms=ahead)
    said = await alice.posts()
    answer, again = await alice.replies(said), await alice.posts()
    assert [ms_of(one.id) for one in (said, answer, again)] == [ahead + 1, ahead + 2, ahead + 3]


async def test_an_edit_changes_what_it_names_and_keeps_what_was_said(town: Neighbourhood) -> None:
    alice = town.somebody()
    said = await alice.posts("one", tags=["t"], place=at(1, 2))
    edited = await alice.edits(said, text="two")
    assert (edited.text, edited.tags, edited.version) == ("two", ["t"], 2)
    assert edited.place == said.place
    assert edited.edited_at is not None
    assert (await alice.edits(said, place=None)).place is None
    await alice.edits(said, text="three")
    history = await alice.reads_history(said)
    assert [(one.version, one.text) for one in history] == [(3, "two"), (1, "one")]
    assert (await alice.reads(said)).message.version == 4


async def test_an_edit_that_changes_nothing_is_no_new_version(town: Neighbourhood) -> None:
    alice = town.somebody()
    said = await alice.posts("one")
    assert await alice.edits(said, text="one") == said


async def test_an_edit_must_leave_a_message(town: Neighbourhood) -> None:
    alice, bob = town.people(2)
    said = await alice.posts("one")
    assert isinstance(await refusal(alice.edits(said, text="")), EmptyMessage)
    assert isinstance(await refusal(alice.edits(said, audience="only")), AudienceMismatch)
    assert isinstance(await refusal(alice.edits(said, only=[bob])), AudienceMismatch)
    assert (await alice.reads(said)).message == said


async def test_leaving_the_audience_only_forgets_the_names(town: Neighbourhood) -> None:
    alice, bob = town.people(2)
    said = await alice.posts("one", audience="only", only=[bob])
    await alice.edits(said, audience="public")
    assert isinstance(await refusal(alice.edits(said, audience="only")), AudienceMismatch)


async def test_only_the_author_edits_and_withdraws(town: Neighbourhood) -> None:
    alice, bob = town.people(2)
    said = await alice.posts("one", audience="public")
    assert await hides(bob.edits(said, text="two"))
    assert await hides(bob.withdraws(said))
    assert (await bob.reads(said)).message == said


async def test_of_two_edits_of_one_version_one_is_stale(town: Neighbourhood) -> None:
    alice = town.somebody()
    said = await alice.posts("one")
    outcomes = await asyncio.gather(
        *(alice.edits(said, text=text, if_match=[1]) for text in ("two", "three")), return_exceptions=True
    )
    assert [type(one) for one in outcomes if isinstance(one, BaseException)] == [Stale]
    assert (await alice.reads(said)).message.version == 2
    assert isinstance(await refusal(alice.withdraws(said, if_match=[1])), Stale)
    await alice.withdraws(said, if_match="*")


async def test_what_is_withdrawn_is_gone_with_all_below_it(town: Neighbourhood) -> None:
    alice, bob = town.people(2)
    town.befriend(alice, bob)
    said = await alice.posts("one")
    await alice.edits(said, text="two")
    answer = await bob.replies(said)
    below = await alice.replies(answer)
    await bob.reacts(said)
    await alice.withdraws(said)
    for read in (alice.reads, bob.reads, alice.reads_history, bob.reads_replies, bob.reads_reactions):
        assert await hides(read(said))
    assert await hides(bob.reads(answer))
    assert await hides(alice.reads(below))
    assert await bob.finds(said, answer, below) == []
    assert await hides(alice.withdraws(said))
    assert await hides(bob.edits(answer, text="still here?"))
    await bob.withdraws(answer)  # what one said can always be taken back


async def test_withdrawing_leaves_no_word_behind(town: Neighbourhood) -> None:
    alice = town.somebody()
    said = await alice.posts("canary-1")
    await alice.edits(said, text="canary-2")
    await alice.withdraws(said)
    assert await town.store.by_ids([said.id]) == {}
    assert await town.store.history(said.id, limit=9) == []
    row = (await town.store.latest([alice.id], bodies=5))[alice.id]
    assert (row.heads, row.bodies, row.complete) == ([], [], True)


async def test_replies_are_read_oldest_first_with_their_parent_alone(town: Neighbourhood) -> None:
    alice, bob = town.people(2)
    town.befriend(alice, bob)
    said = await alice.posts()
    answers = [await bob.replies(said, str(number)) for number in range(5)]
    first = await alice.reads_replies(said, limit=2)
    second = await alice.reads_replies(said, limit=2, cursor=first.next_cursor)
    third = await alice.reads_replies(said, limit=2, cursor=second.next_cursor)
    pages = [[one.message for one in page.messages] for page in (first, second, third)]
    assert pages == [answers[:2], answers[2:4], answers[4:]]
    assert third.next_cursor is None
    assert (await alice.reads(said)).replies == 5
    assert (await alice.lists(bob)).messages == []
    assert (await alice.latest([bob])).authors == []
    assert (await alice.page([bob])).items == []


async def test_replies_are_read_from_one_of_them_on(town: Neighbourhood) -> None:
    alice, bob, carol = town.people(3)
    town.befriend(alice, bob, carol)
    said = await alice.posts()
    replies = [await bob.replies(said, str(number)) for number in range(5)]

    async def texts(**asked: Any) -> list[str]:
        return [one.message.text for one in (await carol.reads_replies(said, **asked)).messages]

    assert await texts(at=replies[2].id, limit=2) == ["2", "3"]
    onward = await carol.reads_replies(said, at=replies[1].id, limit=2)
    assert await texts(cursor=onward.next_cursor, limit=9) == ["3", "4"]
    await bob.withdraws(replies[2])
    assert await texts(at=replies[2].id) == ["3", "4"]  # from where it was
    assert await texts(at=MessageId(UUID(int=0))) == ["0", "1", "3", "4"]


async def test_a_reply_that_commits_late_is_on_the_next_page(town: Neighbourhood) -> None:
    alice, bob = town.people(2)
    town.befriend(alice, bob)
    said = await alice.posts()
    for number in range(3):
        await bob.replies(said, str(number))
    first = await bob.reads_replies(said, limit=2)
    # An id minted before the first page was read, committed after it.
    early = MessageId(uuid7(ms_of(first.messages[0].message.id) - 1, rand_a=bucket_of(alice.id)))
    await _adds_reply(town, said, early)
    second = await bob.reads_replies(said, limit=9, cursor=first.next_cursor)
    assert second.messages[0].message.id == early
    assert len(second.messages) == 2


async def _adds_reply(town: Neighbourhood, said: Message, reply_id: MessageId) -> None:
    with request_of(said.author_id):
        async with town.store.write() as messages:
            await messages.fence([said.author_id])
            await messages.add(a_document(reply_id, said.author_id, ancestors=[said.id]))


async def test_reactions_are_counted_and_listed(town: Neighbourhood) -> None:
    alice, bob, carol = town.people(3)
    town.befriend(alice, bob, carol)
    said = await alice.posts()
    for _ in range(2):  # the second time does nothing
        await bob.reacts(said, "👍")
    await carol.reacts(said, "👍")
    await carol.reacts(said, "🎉")
    shown = await bob.reads(said)
    assert [(one.emoji, one.count, one.mine) for one in shown.reactions] == [("👍", 2, True), ("🎉", 1, False)]
    assert {(one.emoji, one.user.id) for one in await alice.reads_reactions(said)} == {
        ("👍", bob.id),
        ("👍", carol.id),
        ("🎉", carol.id),
    }
    await bob.posts("of somebody else")
    answered, silent = await alice.posts("answered"), await alice.posts("silent")
    await bob.replies(answered)
    assert {one.message.id: (one.replies, one.reactions) for one in (await bob.lists(alice)).messages} == {
        silent.id: (0, []),
        answered.id: (1, []),
        said.id: (0, shown.reactions),
    }
    for _ in range(2):
        await carol.unreacts(said, "👍")
    assert [(one.emoji, one.count) for one in (await bob.reads(said)).reactions] == [("🎉", 1), ("👍", 1)]


async def test_one_person_leaves_up_to_twenty_reactions(town: Neighbourhood) -> None:
    alice = town.somebody()
    said = await alice.posts()
    for number in range(20):
        await alice.reacts(said, f"e{number}")
    assert isinstance(await refusal(alice.reacts(said, "one_more")), TooManyReactions)
    await alice.reacts(said, "e7")
    await alice.unreacts(said, "e7")
    await alice.reacts(said, "instead")


async def test_every_change_is_announced_once_with_a_rising_version(town: Neighbourhood) -> None:
    alice, bob = town.people(2)
    town.befriend(alice, bob)
    said = await alice.posts("one", mentions=[bob.id])
    await alice.edits(said, text="two")
    await alice.edits(said, text="two")
    answer = await bob.replies(said)
    for _ in range(2):
        await bob.reacts(said)
    for _ in range(2):
        await bob.unreacts(said)
    await alice.withdraws(said)
    own, answered = await events_of(town, alice.id), await events_of(town, bob.id)
    assert [event[:2] for event in own] == [
        ("messages.posted", 1),
        ("messages.edited", 2),
        ("messages.withdrawn", 3),
    ]
    assert [event[:2] for event in answered] == [
        ("messages.posted", 1),
        ("messages.reacted", 2),
        ("messages.unreacted", 3),
    ]
    assert msgspec.json.decode(answered[0][2], type=contract.MessageChanged) == contract.MessageChanged(
        message_id=answer.id, author_id=bob.id, version=1, reply_to=said.id, reply_to_author=alice.id
    )
    # Ids and versions, never content.
    assert not any(word in event[2] for event in own for word in ("one", "two"))


async def test_an_author_is_listed_newest_first_by_cursor_and_tag(town: Neighbourhood) -> None:
    alice, bob = town.people(2)
    town.befriend(alice, bob)
    said = [await alice.posts(str(number), tags=["even"] if number % 2 == 0 else []) for number in range(5)]
    first = await bob.lists(alice, limit=3)
    second = await bob.lists(alice, limit=3, cursor=first.next_cursor)
    assert [one.message for one in (*first.messages, *second.messages)] == said[::-1]
    assert second.next_cursor is None
    assert [one.message for one in (await bob.lists(alice, tag="even")).messages] == said[::-2]
    served = await town.lone.served(contract.find_messages, FindMessages(author=alice.id, limit=3), bob.id)
    assert served.headers["link"].endswith('>; rel="next"')
    assert f"cursor={first.next_cursor}" in served.headers["link"]


async def test_38_a_cursor_is_for_its_asker_and_list(town: Neighbourhood) -> None:
    alice, bob, carol = town.people(3)
    town.befriend(alice, bob, carol)
    said = [await alice.posts(str(number)) for number in range(3)]
    for number in range(3):
        await bob.replies(said[0], str(number))
    listed = (await bob.lists(alice, limit=1)).next_cursor
    replied = (await bob.reads_replies(said[0], limit=1)).next_cursor
    assert listed is not None
    assert replied is not None
    for wrong in (
        carol.lists(alice, cursor=listed),
        bob.lists(carol, cursor=listed),
        bob.lists(alice, tag="t", cursor=listed),
        bob.lists(alice, cursor=replied),
        bob.lists(alice, cursor="A" + listed[1:] if listed[0] != "A" else "B" + listed[1:]),
        carol.reads_replies(said[0], cursor=replied),
        bob.reads_replies(said[1], cursor=replied),
    ):
        assert isinstance(await refusal(wrong), BadCursor)


async def test_a_search_is_by_ids_or_by_author(town: Neighbourhood) -> None:
    alice = town.somebody()
    for ask in (
        FindMessages(),
        FindMessages(ids=[MessageId(uuid4())], author=alice.id),
        FindMessages(ids=[], tag="t"),
        FindMessages(ids=[], cursor="c"),
    ):
        refused = await refusal(town.lone.route(contract.find_messages, ask, alice.id))
        assert isinstance(refused, Invalid)
        assert all(error.pointer.startswith("?") for error in refused.errors)
        assert refused.errors


async def test_ids_are_answered_in_the_order_asked_each_once(town: Neighbourhood) -> None:
    alice = town.somebody()
    one, two = await alice.posts("1"), await alice.posts("2")
    assert await alice.finds(two, one, two) == [two.id, one.id]


@pytest.mark.parametrize("authors", [1, 7, 40])
async def test_a_read_makes_two_calls_however_many_authors(town: Neighbourhood, authors: int) -> None:
    alice = town.somebody()
    said = await alice.posts(audience="public")
    others = town.people(authors)
    town.befriend(alice, *others)
    posted = [await other.posts() for other in others]
    for other in others:
        await other.replies(said)
        await other.reacts(said)
    for read in (
        alice.finds(said, *posted),
        alice.reads(said),
        alice.reads_replies(said, limit=100),
        alice.reads_reactions(said),
        alice.reads_history(said),
        hides(alice.reads(MessageId(uuid7(now_ms())))),
    ):
        town.lone.calls.clear()
        await read
        assert sorted(town.lone.calls) == ["friends/relations", "users/cards"]
    town.lone.calls.clear()
    await alice.lists(others[0])
    assert sorted(town.lone.calls) == ["friends/circles", "users/cards_as_of"]
    town.lone.calls.clear()
    await alice.latest(others)
    await alice.page(others)
    assert town.lone.calls == []


@pytest.mark.parametrize("service", ["friends", "users"])
async def test_a_read_without_a_neighbour_names_it(town: Neighbourhood, service: str) -> None:
    alice = town.somebody()
    said = await alice.posts()
    town.down.add(service)
    for read in (
        alice.reads(said),
        alice.finds(said),
        alice.lists(alice),
        alice.reads_replies(said),
        alice.reads_reactions(said),
        alice.reads_history(said),
    ):
        refused = await refusal(read)
        assert isinstance(refused, Unavailable)
        assert refused.service == service
    await alice.posts("nothing that others need delays the author")


async def test_a_deleted_author_writes_nothing_and_is_not_answered(town: Neighbourhood) -> None:
    alice, bob = town.people(2)
    town.befriend(alice, bob)
    said, other = await alice.posts(), await bob.posts()
    await set_fence(town, alice.id, "deleted")
    assert await hides(bob.replies(said))
    assert await hides(bob.reacts(said))
    for wrong in (
        alice.posts(),
        alice.edits(said, text="x"),
        alice.withdraws(said),
        alice.replies(other),
        alice.reacts(other),
    ):
        assert (await refusal(wrong)).code == "unauthenticated"


async def test_a_parent_that_changes_between_check_and_write_is_checked_again(town: Neighbourhood) -> None:
    alice, bob = town.people(2)
    town.befriend(alice, bob)
    for hide in ("withdraw", "narrow"):
        said = await alice.posts()

        async def meanwhile(said: Message = said, hide: str = hide) -> None:
            if hide == "withdraw":
                await alice.withdraws(said)
            else:
                town.before = None
                await alice.edits(said, audience="only", only=[alice])

        town.before = meanwhile
        assert await hides(bob.replies(said))


def test_the_contract_has_no_field_to_pose_as_another() -> None:
    """Row 8: `id`, `author_id` and `version` are no fields of what one sends."""
    for name in ("id", "author_id", "version", "created_at"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(f'{{"text": "x", "{name}": 1}}', type=NewMessage)
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(f'{{"text": "x", "{name}": 1}}', type=contract.MessagePatch)


async def test_an_unknown_id_is_not_found(town: Neighbourhood) -> None:
    alice = town.somebody()
    for strange in (uuid4(), uuid7(now_ms())):
        with pytest.raises(NotFound):
            await town.lone.route(contract.get_message, OneMessage(message_id=MessageId(strange)), alice.id)

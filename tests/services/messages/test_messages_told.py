"""What a post tells the caches of its process: just what messages answers to who asks after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.harness.lone import in_process
from tests.services.messages.neighbourhood import Neighbourhood
from tidings.contracts import messages as contract
from tidings.contracts.messages import DEEPER, RECENT
from tidings.platform.storage.followers import Happened, follow
from tidings.services.messages.kept import KEPT

pytestmark = in_process  # what is told is told within one process


class Heard:
    """What writes of this process told."""

    def __init__(self) -> None:
        self.happened: list[Happened] = []

    async def committed(self, happened: Sequence[Happened]) -> None:
        self.happened += happened

    def in_doubt(self, happened: Sequence[Happened]) -> None:
        raise AssertionError("no commit is in doubt here")

    async def settled(self) -> None:
        return

    def told(self, call: Any) -> Any:
        """What the last write told of a call."""
        last = self.happened[-1]
        found = [one.answer(last.version) for one in last.tells if one.call is call]
        return found[0] if found else None


@pytest.fixture
def heard(town: Neighbourhood) -> Iterator[Heard]:
    heard = Heard()
    stop = follow(town.lone.dsn, heard)
    yield heard
    stop()


async def test_the_newest_of_an_author(town: Neighbourhood, heard: Heard) -> None:
    alice, bob = town.people(2)
    town.befriend(alice, bob)
    place = contract.NewPlace(latitude=48.2, longitude=11.6)
    for said in ({}, {"audience": "public"}, {"place": place, "media": [bob.uploads()], "tags": ["one"]}):
        await bob.posts("hello", **said)
        assert heard.told(contract.latest_by_authors) == await alice.latest([bob], to_keep=True)


async def test_the_newest_few_of_an_author_but_for_those_that_are_there(town: Neighbourhood, heard: Heard) -> None:
    alice, bob = town.people(2)
    town.befriend(alice, bob)
    for number in range(RECENT + 2):
        await bob.posts(str(number))
        told = heard.told(contract.page_by_authors)
        answered = await alice.page([bob], to_keep=True, deeper=[bob.id])
        for [one], [now] in ((told.recents, answered.recents), (told.deeper, answered.deeper)):
            assert one.items == now.items[:1]
            assert one.down_to == now.items[0].id
            assert (one.author_id, one.version, one.same_for_friends) == (bob.id, now.version, now.same_for_friends)


async def test_the_page_of_an_author_with_one_more(town: Neighbourhood, heard: Heard) -> None:
    alice, bob = town.people(2)
    town.befriend(alice, bob)
    kept = next(one for one in KEPT if one.call is contract.author_pages)
    assert kept.onto is not None
    ask = contract.AuthorPagesAsk(ids=[bob.id], to_keep=True)
    await bob.posts("for one", audience="only", only=[alice])
    for number in range(DEEPER + 2):
        before = (await town.lone.call(contract.author_pages, ask, alice.id))[bob.id]
        said = await bob.posts(str(number))
        made = kept.onto(bob.id.int, before, heard.told(contract.author_pages)[bob.id])
        after = (await town.lone.call(contract.author_pages, ask, alice.id))[bob.id]
        assert (made.as_of, made.newest) == (after.as_of, after.newest)
        assert after.named is not None and made.named is not None and set(made.named) >= set(after.named)
        assert kept.onto(bob.id.int, after, heard.told(contract.author_pages)[bob.id]) is None  # it is there
        await alice.reacts(said)  # with no version of his
    assert (len(made.newest), after.named) == (DEEPER, [])


async def test_nothing_is_told_of_what_friends_see_unlike(town: Neighbourhood, heard: Heard) -> None:
    alice, bob = town.people(2)
    town.befriend(alice, bob)
    said = await bob.posts("for one", audience="only", only=[alice])
    assert [one.tells for one in heard.happened] == [()]
    await alice.replies(said)
    await bob.edits(said, text="for one still")
    await bob.withdraws(said)
    assert [one.tells for one in heard.happened] == [()] * len(heard.happened)

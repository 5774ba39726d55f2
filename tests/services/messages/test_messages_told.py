"""What a post tells the caches of its process: just what messages answers to who asks after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.harness.lone import in_process
from tests.services.messages.neighbourhood import Neighbourhood, Person
from tidings.contracts import messages as contract
from tidings.contracts.messages import DEEPER, RECENT
from tidings.platform.request import Viewer
from tidings.platform.storage.followers import Happened, follow
from tidings.services.timeline.kept import KEPT

pytestmark = in_process  # what is told is told within one process

LATEST, RECENTS = (
    next(one for one in KEPT if one.call is call) for call in (contract.latest_by_authors, contract.page_by_authors)
)


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


def pieces(kept: Any, answer: Any) -> dict[Any, Any]:
    """By key: what would be kept of it."""
    return {one.key: (one.value, one.subject, one.version, one.keep) for one in kept.pieces(Viewer(), None, answer)}


async def recents(reader: Person, author: Person) -> dict[Any, Any]:
    answer = await reader.page([author], to_keep=True, deeper=[author.id])
    return pieces(RECENTS, answer)


async def test_the_newest_of_an_author(town: Neighbourhood, heard: Heard) -> None:
    alice, bob = town.people(2)
    town.befriend(alice, bob)
    place = contract.NewPlace(latitude=48.2, longitude=11.6)
    for said in ({}, {"audience": "public"}, {"place": place, "media": [bob.uploads()], "tags": ["one"]}):
        await bob.posts("hello", **said)
        told = heard.told(contract.latest_by_authors)
        assert pieces(LATEST, told) == pieces(LATEST, await alice.latest([bob], to_keep=True))


async def test_the_newest_few_of_an_author_with_one_more(town: Neighbourhood, heard: Heard) -> None:
    """Put onto what was told before, it is what is told then: while there are few, and when some are left out."""
    alice, bob = town.people(2)
    town.befriend(alice, bob)
    onto = RECENTS.onto
    assert onto is not None
    before = await recents(alice, bob)
    assert {len(value.items) for value, *_ in before.values()} == {0}
    for number in range(DEEPER + 2):
        await bob.posts(str(number))
        told, after = pieces(RECENTS, heard.told(contract.page_by_authors)), await recents(alice, bob)
        assert told.keys() == after.keys() == before.keys()
        for key, (value, subject, version, keep) in told.items():
            made = onto(key, before[key][0], value)
            assert (made.items, subject, version, keep) == (after[key][0].items, *after[key][1:])
            if len(made.items) < DEEPER:  # who has said just so many is taken for one who said more
                assert made.down_to == after[key][0].down_to
        before = after
    assert sorted(len(value.items) for value, *_ in before.values()) == [RECENT, DEEPER]


async def test_nothing_is_told_of_what_friends_see_unlike(town: Neighbourhood, heard: Heard) -> None:
    alice, bob = town.people(2)
    town.befriend(alice, bob)
    said = await bob.posts("for one", audience="only", only=[alice])
    assert [one.tells for one in heard.happened] == [()]
    await alice.replies(said)
    await bob.edits(said, text="for one still")
    await bob.withdraws(said)
    assert [one.tells for one in heard.happened] == [()] * len(heard.happened)

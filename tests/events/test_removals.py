"""What a writer waits for before it acknowledges that access is taken away, where nobody can be told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import cast
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from tidings.contracts import messages
from tidings.contracts.messages import MessageId
from tidings.contracts.users import UserId
from tidings.platform.cache.keeper import Keeper
from tidings.platform.cache.registration import REMOVED_WITHIN, Registration
from tidings.platform.cache.shelf import Entry, Reading, Shelf
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.events.mailroom import Mailroom, open_mailroom
from tidings.platform.seen import Seen
from tidings.platform.storage.followers import Happened
from tidings.platform.storage.foundation import CACHE_REGISTER
from tidings.platform.telling import telling
from tidings.services.messages.kept import KEPT
from tidings.services.timeline import kept as timeline

AT_ONCE = REMOVED_WITHIN / 2


@pytest.fixture
async def mailroom(postgres: EmbeddedPostgres) -> AsyncIterator[Mailroom]:
    """One that has no bus."""
    dsn = await postgres.provision("removal_tests", "a test's password")
    database = await asyncpg.connect(dsn)
    await database.execute(CACHE_REGISTER)
    async with open_mailroom("tests", dsn) as one:
        yield one
    await database.execute("drop table cache_register")
    await database.close()


ANYBODY = uuid4()


async def seconds_of(mailroom: Mailroom, *, takes_away: bool) -> float:
    began = time.monotonic()
    await mailroom.committed([Happened(uuid4(), 2, takes_away)])
    return time.monotonic() - began


async def test_a_cache_that_cannot_be_told_is_waited_for_until_it_uses_nothing_any_more(mailroom: Mailroom) -> None:
    assert await seconds_of(mailroom, takes_away=True) < AT_ONCE  # nobody keeps anything
    elsewhere = Registration(cache=uuid4(), holder="page")
    await mailroom.register(elsewhere)
    assert await seconds_of(mailroom, takes_away=False) < AT_ONCE
    assert REMOVED_WITHIN <= await seconds_of(mailroom, takes_away=True) < 2 * REMOVED_WITHIN
    await mailroom.register(Registration(elsewhere.cache, elsewhere.holder, seconds=0))
    assert await seconds_of(mailroom, takes_away=True) < AT_ONCE


async def test_a_retry_that_finds_nothing_to_do_is_acknowledged_no_sooner(mailroom: Mailroom) -> None:
    await mailroom.settled()  # nothing is taken away
    await mailroom.register(Registration(cache=uuid4(), holder="page"))
    first = asyncio.create_task(mailroom.committed([Happened(ANYBODY, 2, takes_away=True)]))
    await asyncio.sleep(0.1)
    began = time.monotonic()
    await mailroom.settled()
    assert time.monotonic() - began > REMOVED_WITHIN / 2
    await first


@pytest.mark.parametrize("how", ["given up", "in doubt"])
async def test_what_may_be_committed_is_taken_away_whoever_waits(mailroom: Mailroom, how: str) -> None:
    """The one who asked gave up, or nobody knows whether it is committed: a retry waits for it all the same."""
    await mailroom.register(Registration(cache=uuid4(), holder="page"))
    taken_away = [Happened(ANYBODY, 2, takes_away=True)]
    if how == "in doubt":
        mailroom.in_doubt(taken_away)
    else:
        first = asyncio.create_task(mailroom.committed(taken_away))
        await asyncio.sleep(0.1)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    began = time.monotonic()
    await mailroom.settled()
    assert time.monotonic() - began > REMOVED_WITHIN / 2
    await mailroom.settled()


def used_shelf(keeper: Keeper) -> Shelf:
    """Of messages; what is on it is used."""
    shelf = keeper.shelves["messages"]
    shelf.listening()
    shelf.registered(time.monotonic() + 100)
    shelf.beat(time.time_ns())
    return shelf


def an_entry(author: UserId, value: object) -> Entry:
    """That was read just now, as of the fifth version."""
    now = time.time_ns()
    return Entry(author, 5, value, Reading(time.monotonic(), now, now), 10)


async def test_what_a_commit_stirs_is_let_go_before_it_is_acknowledged() -> None:
    author, reactor = UserId(uuid4()), UserId(uuid4())
    keeper = Keeper("messages", KEPT, room=1_000_000)
    mailroom = Mailroom("messages", keepers=[keeper])
    shelf, name = used_shelf(keeper), messages.author_pages.name
    assert shelf.fill(author.int, an_entry(author, "what was counted"), of=name, counts=True)
    await mailroom.committed([Happened(reactor, 3, takes_away=False)])
    assert shelf.find([author.int], Seen(), name)[2] == []
    await mailroom.committed([Happened(reactor, 4, takes_away=False, stirs=(author,))])
    assert shelf.find([author.int], Seen(), name)[2] == [author.int]


async def test_what_a_commit_tells_is_kept_from_its_acknowledgement_on_and_not_if_it_is_in_doubt() -> None:
    author = UserId(uuid4())
    keeper = Keeper("timeline", timeline.KEPT, room=1_000_000)
    mailroom = Mailroom("messages", keepers=[keeper])
    shelf, name = used_shelf(keeper), messages.latest_by_authors.name
    assert shelf.fill(author.int, an_entry(author, None), of=name)
    newest = messages.AuthorLatest(author, MessageId(uuid4()), [msgspec.Raw(b"{}")])
    told = telling(
        messages.latest_by_authors,
        messages.LatestAsk(friends=[author], others=[], to_keep=True),
        lambda version: messages.Latest([newest], as_of=[messages.AuthorAsOf(author, version, True)]),
    )
    await mailroom.committed([Happened(author, 6, takes_away=False, tells=(told,))])
    values, [entry], missing = shelf.find([author.int], Seen(), name)
    assert (values, entry.version, missing) == ({author.int: newest}, 6, [])
    mailroom.in_doubt([Happened(author, 7, takes_away=False, tells=(told,))])
    assert shelf.find([author.int], Seen(), name)[2] == [author.int]


async def test_what_cannot_be_renewed_is_let_go_and_the_write_is_acknowledged() -> None:
    author = UserId(uuid4())
    keeper = Keeper("timeline", timeline.KEPT, room=1_000_000)
    mailroom = Mailroom("messages", keepers=[keeper])
    shelf, name = used_shelf(keeper), messages.latest_by_authors.name
    assert shelf.fill(author.int, an_entry(author, None), of=name)
    ask = messages.LatestAsk(friends=[author], others=[])
    wrong = telling(messages.latest_by_authors, ask, lambda version: cast("messages.Latest", None))
    await mailroom.committed([Happened(author, 6, takes_away=False, tells=(wrong,))])
    assert shelf.find([author.int], Seen(), name)[2] == [author.int]

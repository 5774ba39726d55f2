"""Load a demonstration through the bulk imports of each service's contract."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import islice
from typing import Literal, Protocol, TypeVar

import msgspec

from tidings.contracts import friends, messages, users
from tidings.contracts.friends import ImportedFriendship, ImportFriendships
from tidings.contracts.messages import ImportedMessage, ImportMessages
from tidings.contracts.users import ByIds, HandleTaken, Imported, ImportPeople, UserId
from tidings.demo.chance import digest_of
from tidings.demo.conversation import message_count, messages_of
from tidings.demo.graph import Graph
from tidings.demo.people import DAY_MS, LAST_MS, SPOKEN_DAYS, Person, handle_marked, people_of
from tidings.platform.contract import Busy, Call

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")
Item = TypeVar("Item")
Stage = Literal["people", "friendships", "messages"]

BATCH = 1000
AT_ONCE = 2
# Two batches of friendships would wait for each other's people: the well-known are in every batch.
FRIENDSHIPS_AT_ONCE = 1
BUSY_TRIES = 5
PATIENCE = 0.1  # seconds, times the attempt, where the busy service names none


class Caller(Protocol):
    """Whoever may make the import calls."""

    async def call(self, call: Call[Ask, Answer], ask: Ask) -> Answer: ...


class Progress(Protocol):
    """Told what is under way. The parts of a stage add up to its total."""

    def started(self, stage: Stage, total: int) -> None: ...

    def advanced(self, stage: Stage, count: int) -> None: ...


class Loaded(msgspec.Struct, frozen=True):
    """How much came new and how much was there. `best_known` is the person with the most friends."""

    people: Imported
    friendships: Imported
    messages: Imported
    best_known: users.UserCard | None


async def load(caller: Caller, graph: Graph, seed: int, progress: Progress) -> Loaded:
    """Load the graph's people, friendships and messages; what is there already stays as it is.

    Every id and every text comes from the graph's digest and the seed, so a load that was interrupted, or is
    made again, completes what is missing and changes nothing else. Raises the refusals of the imports.
    """
    people = people_of(graph, seed)
    known = graph.friends()

    async def add_people(batch: list[Person]) -> Imported:
        try:
            return await caller.call(
                users.import_people, ImportPeople(people=[person.imported() for person in batch])
            )
        except HandleTaken:
            # Another demonstration or a real person has one of the handles; those of this batch get a mark.
            marked = [
                msgspec.structs.replace(person.imported(), handle=handle_marked(person.handle, graph, seed))
                for person in batch
            ]
            return await caller.call(users.import_people, ImportPeople(people=marked))

    async def add_friendships(batch: list[ImportedFriendship]) -> Imported:
        return await caller.call(friends.import_friendships, ImportFriendships(friendships=batch))

    async def add_messages(batch: list[ImportedMessage]) -> Imported:
        return await caller.call(messages.import_messages, ImportMessages(messages=batch))

    progress.started("people", graph.people)
    added_people = await _all(_batches(people), add_people, at_once=AT_ONCE, stage="people", progress=progress)

    progress.started("friendships", len(graph.edges))
    added_friendships = await _all(
        _batches(_friendships(graph, seed, people)),
        add_friendships,
        at_once=FRIENDSHIPS_AT_ONCE,
        stage="friendships",
        progress=progress,
    )

    progress.started("messages", sum(message_count(graph, seed, number) for number in range(graph.people)))
    spoken = (list(messages_of(graph, seed, people, known, number)) for number in range(graph.people))
    added_messages = await _all(
        _whole_authors(spoken), add_messages, at_once=AT_ONCE, stage="messages", progress=progress
    )
    return Loaded(
        people=added_people,
        friendships=added_friendships,
        messages=added_messages,
        best_known=await _best_known(caller, people, known),
    )


async def _best_known(caller: Caller, people: list[Person], known: list[list[int]]) -> users.UserCard | None:
    # Asked for, because a handle may have been changed since, or carry a mark.
    person = people[max(range(len(people)), key=lambda number: len(known[number]))]
    return (await caller.call(users.cards, ByIds(ids=[person.id]))).get(person.id)


def _friendships(graph: Graph, seed: int, people: list[Person]) -> Iterator[ImportedFriendship]:
    """Each friendship, begun after both had joined and before the messages."""
    until = LAST_MS - SPOKEN_DAYS * DAY_MS
    for a, b in graph.edges:
        joined = max(people[a].created_ms, people[b].created_ms)
        since = joined + digest_of("since", graph.digest, seed, a, b) % (until - joined)
        yield ImportedFriendship(a=UserId(people[a].id), b=UserId(people[b].id), since_ms=since)


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    left = iter(items)
    while batch := list(islice(left, BATCH)):
        yield batch


def _whole_authors(spoken: Iterable[list[ImportedMessage]]) -> Iterator[list[ImportedMessage]]:
    """Batches that never part an author's messages: two at once then never wait for the same author."""
    batch: list[ImportedMessage] = []
    for of_one in spoken:
        if batch and len(batch) + len(of_one) > BATCH:
            yield batch
            batch = []
        batch += of_one
    if batch:
        yield batch


async def _all(
    batches: Iterator[list[Item]],
    send: Callable[[list[Item]], Awaitable[Imported]],
    *,
    at_once: int,
    stage: Stage,
    progress: Progress,
) -> Imported:
    """Send every batch, `at_once` under way at a time; batches are made as they are needed."""
    added = present = 0

    async def one_after_another() -> None:
        nonlocal added, present
        for batch in batches:
            imported = await _patiently(send, batch)
            added += imported.added
            present += imported.present
            progress.advanced(stage, len(batch))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(one_after_another())
    except ExceptionGroup as problems:
        raise problems.exceptions[0] from None  # callers await a refusal, not a group of them
    return Imported(added=added, present=present)


async def _patiently(send: Callable[[list[Item]], Awaitable[Imported]], batch: list[Item]) -> Imported:
    for attempt in range(1, BUSY_TRIES):
        try:
            return await send(batch)
        except Busy as busy:
            await asyncio.sleep(busy.retry_after or attempt * PATIENCE)
    return await send(batch)

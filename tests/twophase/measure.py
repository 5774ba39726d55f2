"""How long a deletion takes: `python -m tests.twophase.measure`. On an idle machine; prints a line of JSON a mode.

Each person has 100 friends and 1,000 messages; a few more have 100,000 messages. Imported, as an operator would.
Then all rests, and one after the other leaves, with a pause for what is done after a deletion's answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp

from tests.harness.people import Client, Person
from tests.harness.resting import at_rest
from tests.harness.system import settings_for
from tests.twophase.oracle import Databases, erased
from tidings.cli.operator import Operator, operator
from tidings.contracts import friends, messages, users
from tidings.contracts.messages import MessageId
from tidings.contracts.users import UserId
from tidings.platform.clock import now_ms
from tidings.platform.ids import bucket_of, uuid7
from tidings.system import chosen_topology, running

BATCH = 2000
FIRST = 5  # who leave before any time is taken: they open connections
PAUSE = 0.5  # seconds


async def crowd(reached: Operator, size: int) -> list[UserId]:
    now = now_ms()
    ids = [UserId(uuid7(now)) for _ in range(size)]
    people = [
        users.ImportedPerson(id=one, handle=f"crowd_{number}", name=f"Friend {number}", bio="", created_ms=now)
        for number, one in enumerate(ids)
    ]
    await reached.call(users.import_people, users.ImportPeople(people=people))
    return ids


async def furnish(reached: Operator, person: Person, others: Sequence[UserId], said: int) -> None:
    me, now = UserId(UUID(person.id)), now_ms()
    pairs = [friends.ImportedFriendship(a=me, b=one, since_ms=now) for one in others]
    await reached.call(friends.import_friendships, friends.ImportFriendships(friendships=pairs))
    for first in range(0, said, BATCH):
        batch = [
            messages.ImportedMessage(
                id=MessageId(uuid7(now - said + number, rand_a=bucket_of(me))),
                author_id=me,
                text=f"word {number} " * 10,
            )
            for number in range(first, min(first + BATCH, said))
        ]
        await reached.call(messages.import_messages, messages.ImportMessages(messages=batch))


async def leave(person: Person) -> float:
    began = time.perf_counter()
    answer = await person.delete("/v1/users/me")
    took = (time.perf_counter() - began) * 1000
    assert answer.status in (204, 202), (answer.status, answer.raw)
    await asyncio.sleep(PAUSE)
    return took


async def measured(mode: str, times: int, many: int, heavies: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="tidings-measure-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        settings = settings_for(folder / "data", repeat_safe_calls=False, repeat_events=False)
        topology = chosen_topology(settings, apart=mode == "apart")
        async with (
            running(settings, topology) as system,
            operator(settings) as reached,
            aiohttp.ClientSession() as session,
        ):
            assert system.metrics_url is not None
            client = Client(session, system.url)
            others = await crowd(reached, 100)
            leaving = [await client.joins(f"P{number}") for number in range(FIRST + times)]
            for person in leaving:
                await furnish(reached, person, others, 1000)
            heavy = [await client.joins(f"Heavy{number}") for number in range(heavies)]
            for person in heavy:
                await furnish(reached, person, others, many)
            await at_rest([os.getpid(), *system.pids.values()], session, system.metrics_url)
            took = [await leave(person) for person in leaving][FIRST:]
            await at_rest([os.getpid(), *system.pids.values()], session, system.metrics_url)
            took_heavy = [await leave(person) for person in heavy]
            databases = await Databases.open(system.installation.dsns)
            began = time.perf_counter()
            for person in heavy:
                await erased(databases, UUID(person.id), within=300)
            erased_in = time.perf_counter() - began
            await databases.close()
    return {
        "mode": mode,
        "deletions": len(took),
        "median_ms": round(statistics.median(took), 1),
        "p99_ms": round(statistics.quantiles(took, n=100, method="inclusive")[-1], 1),
        "most_ms": round(max(took), 1),
        f"median_with_{many}_messages_ms": round(statistics.median(took_heavy), 1),
        f"each_with_{many}_messages_ms": [round(one, 1) for one in took_heavy],
        f"erased_{len(heavy)}_times_{many}_messages_s": round(erased_in, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=60)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--heavies", type=int, default=2, help="people with that many messages")
    asked = parser.parse_args()
    for mode in ("near", "apart"):
        print(json.dumps(asyncio.run(measured(mode, asked.times, asked.many, asked.heavies))), flush=True)


if __name__ == "__main__":
    main()

"""The primary of three MongoDB servers is gone while people post: what was acknowledged is there, once."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from dataclasses import dataclass, field

from tests.harness.mongod import runs_mongod
from tests.harness.people import Person
from tests.harness.replica_set import leader, replica_set, url_of
from tests.harness.system import Whole, whole
from tests.harness.waiting import until
from tidings.platform.settings import Settings
from tidings.system import chosen_topology

WRITERS = 6
EACH = 8  # messages of each, before and after
ALONE = 0.5  # seconds
PATIENCE = 30.0


@dataclass
class Ledger:
    """What each has been told, and when."""

    acknowledged: dict[str, list[str]] = field(default_factory=dict)
    refused: Counter[int] = field(default_factory=Counter)
    marked: Counter[str] = field(default_factory=Counter)

    def mark(self) -> None:
        """From now on it is counted anew how many more there are."""
        self.marked = Counter({who: len(said) for who, said in self.acknowledged.items()})

    async def grew_by(self, count: int) -> bool:
        """Whether that many more of everybody were acknowledged since."""
        more = {who: len(said) - self.marked[who] for who, said in self.acknowledged.items()}
        return len(more) == WRITERS and min(more.values()) >= count

    async def keeps_posting(self, person: Person, ended: asyncio.Event) -> None:
        """Each message again and again, under its key, until it is acknowledged."""
        number = 0
        while not ended.is_set():
            number += 1
            text, key = f"{person.handle} says {number}", f"{person.handle}-{number}"
            while True:
                answer = await person.post("/v1/messages", {"text": text}, headers={"Idempotency-Key": key})
                if answer.status == 201:
                    break
                self.refused[answer.status] += 1
                assert answer.status in (409, 503), (answer.status, answer.raw)
                assert answer.headers["retry-after"]
                await asyncio.sleep(0.1)
            self.acknowledged.setdefault(person.id, []).append(text)


async def everything_of(system: Whole, reader: Person, author: str) -> list[str]:
    """All that somebody said, page by page."""
    said: list[str] = []
    path: str | None = f"/v1/messages?author={author}&limit=100"
    while path is not None:
        page = (await reader.get(path)).ok()
        said += [one["message"]["text"] for one in page["messages"]]
        cursor = page.get("next_cursor")
        path = None if cursor is None else f"/v1/messages?author={author}&limit=100&cursor={cursor}"
    return said


async def test_the_primary_killed_under_load_loses_nothing_that_was_acknowledged() -> None:
    runs_mongod()
    async with replica_set() as members:
        topology = chosen_topology(Settings(), apart=False).with_store("messages", url_of(members, "messages"))
        async with whole("near", topology=topology, watched=False, pool_write=2 * WRITERS) as system:
            people = [await system.joins(f"Writer{number}") for number in range(WRITERS)]
            ledger, ended = Ledger(), asyncio.Event()
            async with asyncio.TaskGroup() as writing:
                for person in people:
                    writing.create_task(ledger.keeps_posting(person, ended))
                await until(lambda: ledger.grew_by(EACH), within=PATIENCE, what="what everybody says at first")
                first = await leader(members)
                others = [one for one in members if one is not first]
                for one in others:  # what it acknowledges from now on, it alone has
                    one.signal(signal.SIGSTOP)
                await asyncio.sleep(ALONE)
                for one in members:  # the others as well, since their sockets hold what it has sent
                    one.signal(signal.SIGKILL)
                await asyncio.gather(*(one.died() for one in members))
                await asyncio.gather(*(one.start() for one in others))
                other = await leader(others)
                assert other is not first
                ledger.mark()
                await until(lambda: ledger.grew_by(EACH), within=PATIENCE, what="what everybody says afterwards")
                ended.set()
            assert ledger.refused, "nobody noticed: it was not killed under load"
            await first.start()  # what it alone had, if anything, is rolled back
            await asyncio.sleep(1)
            for person in people:
                said = Counter(await everything_of(system, person, person.id))
                assert said == Counter(ledger.acknowledged[person.id])

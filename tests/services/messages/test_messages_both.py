"""The same random histories in PostgreSQL and in MongoDB: every read answers the same, in the same order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness.lone import PASSWORD
from tests.services.messages.test_messages_by_authors import holding
from tests.services.messages.writing import a_document, request_of
from tidings.contracts.messages import LatestAsk, Media, MessageId, Near, PageByAuthorsAsk, Place, Rules
from tidings.contracts.users import UserId
from tidings.platform.engines.mongod import EmbeddedMongod
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.ids import bucket_of, uuid7
from tidings.platform.request import Viewer
from tidings.platform.settings import Settings
from tidings.platform.storage.migrations import ServiceDatabase, ensure_schema, ensure_schemas
from tidings.services.messages import actions
from tidings.services.messages.service import messages as kind
from tidings.services.messages.store import mongo as mongo_store
from tidings.services.messages.store import postgres as postgres_store
from tidings.services.messages.store.opening import open_store
from tidings.services.messages.store.port import Document, Earlier, MessageStore, Probe, Reacted, Sieve, Standing
from tidings.services.messages.views import by_authors

BEGIN_MS = 1_700_000_000_000
HIGHEST = MessageId(UUID(int=(1 << 128) - 1))
LOWEST = MessageId(UUID(int=0))
PICTURE = Media(media_id=msgspec.convert("01890000-0000-7000-8000-000000000001", UUID), kind="image")  # type: ignore[arg-type]
EMOJI = ["👍", "a.b", "$", "x"]
MINTED = count(1)  # of the whole run: ids of two people in one bucket could be the same else
STANDINGS: list[Standing] = ["own", "friend", "other"]


@dataclass
class Both:
    postgres: MessageStore
    mongodb: MessageStore

    async def agree(self, read: str, *asked: Any, **more: Any) -> Any:
        """What both answer."""
        one = await getattr(self.postgres, read)(*asked, **more)
        other = await getattr(self.mongodb, read)(*asked, **more)
        assert other == one, read
        return one


@pytest.fixture(scope="module")
async def both(postgres: EmbeddedPostgres, mongod: EmbeddedMongod) -> AsyncIterator[Both]:
    name = "messages_both"
    dsn = await postgres.provision(name, PASSWORD)
    url = (await mongod.provision_all({name: PASSWORD}))[name]
    assert kind.migrations is not None
    await ensure_schema(dsn, service="messages", migrations=kind.migrations)
    await ensure_schemas([ServiceDatabase("messages", url, kind.migrations, kind.documents)])
    patient = Settings(transaction_timeout_ms=10_000)
    async with open_store(dsn, patient) as first, open_store(url, patient) as second:
        yield Both(first, second)


@dataclass
class Town:
    """Who there is, and what is there by now: the same in both stores."""

    both: Both
    people: list[UserId]
    there: list[Document] = field(default_factory=list)

    async def does(self, deed: str, who: int, at: int, what: dict[str, Any]) -> None:
        author, mine = self.people[who], [one for one in self.there if one.author_id == self.people[who]]
        target = self.there[at % len(self.there)] if self.there else None
        what = {**what, "only": [self.people[at % 3]] if what["audience"] == "only" else []}
        if deed == "post" or target is None:
            await self.adds(self.document(author, at, **what))
        elif deed == "reply":
            ancestors = [*target.ancestors, target.id]
            await self.adds(self.document(author, at, bucket=target.id.int >> 64 & 0xFFF, ancestors=ancestors))
        elif deed == "edit" and mine:
            await self.edits(mine[at % len(mine)], what)
        elif deed == "withdraw" and mine:
            await self.withdraws(mine[at % len(mine)])
        elif deed in ("react", "unreact"):
            await self.reacts(author, target, EMOJI[at % len(EMOJI)], at, back=deed == "unreact")
        elif deed == "import":
            await self.imports([self.document(one, at + n) for n, one in enumerate(self.people)])

    def document(self, author: UserId, at: int, *, bucket: int | None = None, **said: Any) -> Document:
        """Many share a millisecond: then the id decides."""
        where = bucket_of(author) if bucket is None else bucket
        message_id = MessageId(uuid7(BEGIN_MS + at % 5, rand_a=where, rand_b=next(MINTED)))
        return a_document(message_id, author, **said)

    async def adds(self, document: Document) -> None:
        for store in (self.both.postgres, self.both.mongodb):
            with request_of(document.author_id):
                async with store.write() as write:
                    await write.fence([document.author_id])
                    await write.add(document)
                    await _settle(write, document)
        self.there.append(document)

    async def edits(self, before: Document, what: dict[str, Any]) -> None:
        changes = {"version": before.version + 1, "text": "edited", "edited_ms": BEGIN_MS, **what}
        after = msgspec.structs.replace(before, **changes)
        earlier = Earlier(before.version, before.text, before.media, before.audience, before.only, BEGIN_MS)
        for store in (self.both.postgres, self.both.mongodb):
            with request_of(before.author_id):
                async with store.write() as write:
                    await write.fence([before.author_id])
                    assert await write.locked(before.id) == before
                    await write.replace(after, earlier)
                    await _settle(write, after)
        self.there[self.there.index(before)] = after

    async def withdraws(self, document: Document) -> None:
        for store in (self.both.postgres, self.both.mongodb):
            with request_of(document.author_id):
                async with store.write() as write:
                    await write.fence([document.author_id])
                    await write.remove(document)
                    await _settle(write, document)
        self.there.remove(document)

    async def reacts(self, who: UserId, to: Document, emoji: str, at: int, *, back: bool) -> None:
        left = []
        for store in (self.both.postgres, self.both.mongodb):
            with request_of(who):
                async with store.write() as write:
                    await write.fence([who], [to.author_id])
                    emojis = await write.reactions_by(who, to.id)
                    left.append(emojis)
                    if back and emoji in emojis:
                        await write.remove_reaction(to.id, who, emoji)
                    elif not back and emoji not in emojis:
                        await write.add_reaction(to.id, Reacted(who, emoji, BEGIN_MS + at % 3))
                    await write.raise_versions({who: 1})
        assert left[0] == left[1]

    async def imports(self, documents: list[Document]) -> None:
        added = []
        authors = sorted({one.author_id for one in documents})
        for store in (self.both.postgres, self.both.mongodb):
            with request_of(None):
                async with store.write() as write:
                    await write.fence(authors)
                    added.append(await write.add_missing([*documents, *documents[:1]][1:]))
                    await actions._rebuild_latest(write, authors)
                    await write.raise_versions(dict.fromkeys(authors, 2), dict.fromkeys(authors, BEGIN_MS))
        assert added[0] == added[1]
        self.there += [one for one in documents if one.id in added[0]]


async def _settle(write: Any, document: Document) -> None:
    if document.parent is None:
        await actions._rebuild_latest(write, [document.author_id])
    await write.raise_versions({document.author_id: 1}, {document.author_id: document.created_ms})


LATITUDES, LONGITUDES = st.sampled_from([0.0, 38.72, 38.8]), st.sampled_from([-9.14, 179.9, -179.9])
SAID = st.fixed_dictionaries(
    {
        "audience": st.sampled_from(["friends", "public", "friends", "public", "only"]),
        "media": st.sampled_from([[], [PICTURE]]),
        "place": st.none() | st.builds(Place, LATITUDES, LONGITUDES),
        "tags": st.sampled_from([[], ["sea"], ["sea", "sun"]]),
    }
)
DEEDS = st.lists(
    st.tuples(
        st.sampled_from(["post", "post", "post", "reply", "edit", "withdraw", "react", "unreact", "import"]),
        st.integers(0, 2),
        st.integers(0, 30),
        SAID,
    ),
    min_size=3,
    max_size=14,
)
NEAR = st.sampled_from([None, Near(38.72, -9.14, 5.0), Near(38.72, -9.14, 40.0), Near(0.0, 180.0, 50.0)])
ASKS = st.lists(
    st.tuples(
        st.permutations(STANDINGS), st.integers(1, 4), st.booleans(), NEAR, st.integers(0, 40), st.integers(1, 5)
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(DEEDS, ASKS)
async def test_both_answer_the_same(both: Both, deeds: Any, asks: Any) -> None:
    people = [UserId(uuid7(BEGIN_MS)) for _ in range(3)]  # nobody whom an example before has left there
    town = Town(both, people)
    for deed in deeds:
        await town.does(*deed)
    await _read_by_id(town)
    await _read_of_one_person(town)
    for limit in (2, 21):
        pages = await both.agree("pages", people, limit=limit)
        counts = await both.agree("counts", [one.id for one in town.there], None)
        for author, page in pages.items():
            own = [one for one in town.there if one.author_id == author and one.parent is None]
            shown = sorted((one for one in own if not one.only), key=lambda one: one.id, reverse=True)[:limit]
            above = shown[-1].id if len(shown) == limit else LOWEST
            assert page.documents == shown
            assert set(page.named) == {name for one in own if one.id > above for name in one.only}
            assert page.counts == {one.id: counts[one.id] for one in page.documents if one.id in counts}
    assert len(pages) == len(people)
    with pytest.MonkeyPatch.context() as patch:
        for store in (postgres_store, mongo_store):
            patch.setattr(store, "MOST_APART", 1)
        pages = await both.agree("pages", people, limit=2)
    for author, page in pages.items():
        above = page.documents[-1].id if len(page.documents) == 2 else LOWEST
        apart = [one for one in town.there if one.author_id == author and one.only and one.id > above]
        assert (page.named is None) == (len(apart) > 1)
    for reactor in people:
        await both.agree("mine", [one.id for one in town.there], reactor)
    for standings, per_author, media, near, pick, limit in asks:
        asked = dict(zip(people, standings, strict=True))
        middle = sorted(one.id for one in town.there)[pick % len(town.there)] if town.there else HIGHEST
        sieve = Sieve(above=LOWEST, has_media=media, tag="sea" if pick % 3 == 0 else None)
        for below in (HIGHEST, middle):
            probes = [Probe(author, stands, below) for author, stands in asked.items()]
            await both.agree("newest", people[0], probes, sieve, per_author=per_author)
            await both.agree("page_before", people[0], asked, before=below, limit=limit)
        seen = [one.id for one in town.there[::2]]
        await both.agree("page_after", people[0], asked, after=middle, seen=seen, limit=limit)
        await _composed(town, asked, Rules(has_media=media, near=near), middle, per_author, limit)


async def _composed(
    town: Town, asked: dict[UserId, Standing], rules: Rules, middle: MessageId, per_author: int, limit: int
) -> None:
    """What timeline and feed are given: with every circle, order and place in the list."""
    friends = [one for one, stands in asked.items() if stands == "friend"]
    others = [one for one, stands in asked.items() if stands == "other"]
    viewer = Viewer(user_id=town.people[0], role="member")
    for before, as_of_ms in ((None, None), (middle, None), (None, BEGIN_MS + 2)):
        ask = LatestAsk(
            friends=friends,
            others=others,
            rules=rules,
            per_author=per_author,
            limit=limit,
            before=before,
            as_of_ms=as_of_ms,
            to_keep=before is None,
        )
        with request_of(viewer.user_id):
            one = await by_authors.latest_by_authors(holding(town.both.postgres), viewer, ask)
            other = await by_authors.latest_by_authors(holding(town.both.mongodb), viewer, ask)
        assert _sorted(other) == _sorted(one)
    for where in ({"before": middle}, {"after": middle, "seen": [middle]}, {}):
        page = PageByAuthorsAsk(friends=friends, others=others, limit=limit, **where)
        with request_of(viewer.user_id):
            first = await by_authors.page_by_authors(holding(town.both.postgres), viewer, page)
            second = await by_authors.page_by_authors(holding(town.both.mongodb), viewer, page)
        assert (second.items, second.more) == (first.items, first.more)


def _sorted(latest: Any) -> Any:
    """`as_of` is a set, in the order of whatever the rows came in."""
    return msgspec.structs.replace(latest, as_of=sorted(latest.as_of, key=lambda one: one.author_id))


async def _read_by_id(town: Town) -> None:
    ids = [one.id for one in town.there]
    found = await town.both.agree("by_ids", ids)
    assert set(found) == set(ids)
    await town.both.agree("counts", ids, town.people[0])
    await town.both.agree("counts", ids, None)
    for author in town.people:
        probe = Probe(author, "own", HIGHEST)
        listed, counts = await town.both.agree("newest_counted", author, probe, Sieve(above=LOWEST), limit=5)
        assert counts == await town.both.agree("counts", [one.id for one in listed], author)
    rows = await town.both.agree("latest_as_of", town.people, bodies=2)
    await town.both.agree("latest_bodies", {author: row.heads for author, row in rows.items()})
    for one in town.there:
        await town.both.agree("history", one.id, limit=9)
        await town.both.agree("reactions", one.id, limit=3)
        await town.both.agree("replies", one.id, after=LOWEST, seen=ids[:2], limit=3)


async def _read_of_one_person(town: Town) -> None:
    """Page by page, as an export does."""
    for person in town.people:
        for read in ("messages_of", "replies_of", "withdrawn_by"):
            after = LOWEST
            while page := await town.both.agree(read, person, after=after, until=HIGHEST, limit=2):
                after = page[-1] if read == "withdrawn_by" else page[-1].id
        place: tuple[MessageId, int] = (LOWEST, 0)
        while earlier := await town.both.agree("earlier_of", person, after=place, until=HIGHEST, limit=2):
            place = (earlier[-1][0], earlier[-1][1].version)
        left: tuple[MessageId, str] = (LOWEST, "")
        span = (BEGIN_MS, BEGIN_MS + 2)
        while reacted := await town.both.agree("reactions_left", person, after=left, between_ms=span, limit=2):
            left = (reacted[-1][0], reacted[-1][1].emoji)

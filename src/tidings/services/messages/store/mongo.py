"""Messages in MongoDB: one document each. Every query names its buckets, but for those of export and erasure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import msgspec
from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession

from tidings.contracts.messages import HIGHEST, LOWEST, MessageId
from tidings.contracts.users import UserId
from tidings.platform.contract import Route, Value
from tidings.platform.ids import bucket_in, bucket_of
from tidings.platform.settings import Settings
from tidings.platform.storage.mongo import ONE_TRIP, MongoDatabase, MongoWrite, Opening, Row, keyed
from tidings.platform.telling import Telling
from tidings.platform.twophase.failpoints import Failpoints
from tidings.platform.twophase.mongo_participant import MongoParticipant
from tidings.platform.twophase.participant import Participant
from tidings.services.messages.store.port import (
    MOST_APART,
    Counts,
    Document,
    Earlier,
    Head,
    LatestRow,
    Newest,
    Page,
    Probe,
    Reacted,
    Remove,
    Sieve,
    Standing,
)

AT_ONCE: Final = 1000  # people whose contents are to be erased
ERASING: Final = 5.0  # seconds for one batch
ERASED_AT_ONCE: Final = 100  # who else writes at the tallies below is refused meanwhile
TOGETHER: Final = 100  # authors that are probed by one pipeline
BY_ID: Final = "_id_"  # MongoDB's own index; the bucket is there for the router alone
DESCENDING: Final = [("_id", -1)]
ASCENDING: Final = [("_id", 1)]

_heads = msgspec.json.Decoder(list[Head]).decode


class MongoMessageWrite(MongoWrite):
    """`MessageWrite`. Whoever changes what is an author's holds that author's fence, so documents need no lock."""

    def __init__(self, database: MongoDatabase, session: AsyncClientSession, opening: Opening) -> None:
        super().__init__(database, session, opening)
        self._latest: dict[UUID, Row] = {}

    async def raise_versions(
        self, changes: Mapping[UserId, int], last_ms: Mapping[UserId, int] | None = None
    ) -> dict[UserId, int]:
        for author, by in changes.items():
            self.raise_by(author, by, last_ms=(last_ms or {}).get(author, 0))
        return {author: self.version_of(author) for author in changes}

    async def locked(self, message_id: MessageId, *, shared: bool = False) -> Document | None:
        row = await self.collection("document").find_one(_keyed(message_id), hint=BY_ID, session=self.session)
        return None if row is None else _document(row)

    async def post(self, document: Document, row: LatestRow, *, kept: int) -> int:
        author = document.author_id
        await self.add(document)
        held = await self.collection("latest").find_one(keyed(author), session=self.session)
        if held is not None:
            before = _latest_row(held)
            row = LatestRow(
                author,
                before.complete and len(before.heads) < kept,
                [*row.heads, *before.heads][:kept],
                [*row.bodies, *before.bodies][:kept],
            )
        await self.put_latest([row])
        return (await self.raise_versions({author: 1}, {author: document.created_ms}))[author]

    async def add(self, document: Document) -> None:
        await self.collection("document").insert_one(_row(document), session=self.session)
        if document.parent is not None:
            await self._count_up(document.parent, "replies")

    async def add_missing(self, documents: Sequence[Document]) -> set[MessageId]:
        if not documents:
            return set()
        wanted = _among(one.id for one in documents)
        taken: set[UUID] = set()
        for name in ("document", "withdrawn"):
            found = self.collection(name).find(
                wanted, {"_id": True}, hint=BY_ID, batch_size=ONE_TRIP, session=self.session
            )
            taken.update([row["_id"] async for row in found])
        rows = {one.id: _row(one) for one in documents if one.id not in taken}
        if rows:
            await self.collection("document").insert_many(list(rows.values()), session=self.session)
        return set(rows)

    async def replace(self, document: Document, earlier: Earlier | None) -> None:
        await self.collection("document").replace_one(
            _keyed(document.id), _row(document), hint=BY_ID, session=self.session
        )
        if earlier is not None:
            await self.collection("history").insert_one(_history_row(document, earlier), session=self.session)

    async def remove(self, document: Document) -> None:
        await self.collection("document").delete_one(_keyed(document.id), hint=BY_ID, session=self.session)
        await self._remove_what_hangs_on([document.id])
        if document.parent is not None:
            await self._count_down(Counter([(document.parent, "replies")]))
        await self.collection("withdrawn").insert_one(
            {**_keyed(document.id), "author_id": document.author_id, "version": document.version},
            session=self.session,
        )

    async def lock_latest(self, authors: Sequence[UserId]) -> None:
        """Their fences are held."""

    async def newest_of(self, authors: Sequence[UserId], *, per_author: int) -> dict[UserId, list[Document]]:
        if len(authors) > 1 and not await self._database.is_behind_router():
            # Only an import writes for many. All have fences, which are held; a transaction has no $unionWith.
            wanted = {"bucket": {"$in": sorted(map(bucket_of, authors))}, "_id": {"$in": list(authors)}}
            cursor = await self.collection("fence").aggregate(
                [{"$match": wanted}, *_looked_up(per_author)], batchSize=ONE_TRIP, session=self.session
            )
            return _by_author(await cursor.to_list())
        found: list[Row] = []
        for author in authors:  # behind a router, a transaction has no $lookup either (before MongoDB 8.0)
            rows = self.collection("document").find(
                _said_by(author), sort=DESCENDING, limit=per_author, batch_size=ONE_TRIP, session=self.session
            )
            found += await rows.to_list()
        return _by_author(found)

    async def put_latest(self, rows: Sequence[LatestRow]) -> None:
        """Written with the authors' new versions: a reader finds both in one document."""
        for row in rows:
            self._latest[row.author_id] = {
                "complete": row.complete,
                "heads": msgspec.json.encode(row.heads).decode(),
                "bodies": row.bodies,
            }

    async def reactions_by(self, user_id: UserId, message_id: MessageId) -> set[str]:
        wanted = {"bucket": bucket_in(message_id), "message_id": message_id, "user_id": user_id}
        found = self.collection("reaction").find(wanted, batch_size=ONE_TRIP, session=self.session)
        return {row["emoji"] async for row in found}

    async def add_reaction(self, message_id: MessageId, reaction: Reacted) -> None:
        row = {"bucket": bucket_in(message_id), "message_id": message_id, **msgspec.structs.asdict(reaction)}
        await self.collection("reaction").insert_one(row, session=self.session)
        await self._count_up(message_id, _counter(reaction.emoji))

    async def remove_reaction(self, message_id: MessageId, user_id: UserId, emoji: str) -> None:
        wanted = {"bucket": bucket_in(message_id), "message_id": message_id, "user_id": user_id, "emoji": emoji}
        await self.collection("reaction").delete_one(wanted, session=self.session)
        await self._count_down(Counter([(message_id, _counter(emoji))]))

    async def erase(self, author: UserId, answers: Sequence[str], limit: int) -> bool:
        """As `MessageStore.erase_some`."""
        await self.fence([author])
        said = await self._some("document", _said_by(author), limit)
        replied = await self._some("document", {"author_id": author, "reply": True}, limit)
        reacted = await self._some("reaction", {"user_id": author}, limit)
        for name, rows in (("document", [*said, *replied]), ("reaction", reacted)):
            if rows:
                await self.collection(name).delete_many(_same(rows), hint=BY_ID, session=self.session)
        fewer = Counter[tuple[MessageId, str]]()
        fewer.update((row["parent_id"], "replies") for row in replied)
        fewer.update((row["message_id"], _counter(row["emoji"])) for row in reacted)
        await self._count_down(fewer)
        await self._remove_what_hangs_on([row["_id"] for row in (*said, *replied)])
        if limit in (len(said), len(replied), len(reacted)):
            return True
        await self.collection("latest").delete_one(keyed(author), session=self.session)
        kept = {"bucket": bucket_of(author), "scope": {"$in": list(answers)}}
        await self.collection("idempotency").delete_many(kept, session=self.session)
        await self.collection("fence").update_one(
            keyed(author), {"$unset": {"unerased": ""}, "$currentDate": {"erased_at": True}}, session=self.session
        )
        return False

    async def _some(self, name: str, wanted: Row, limit: int) -> list[Row]:
        found = self.collection(name).find(wanted, limit=limit, batch_size=ONE_TRIP, session=self.session)
        return await found.to_list()

    async def _remove_what_hangs_on(self, ids: Sequence[MessageId]) -> None:
        if not ids:
            return
        hanging = {"bucket": {"$in": _buckets(ids)}, "message_id": {"$in": list(ids)}}
        for name, wanted in (("history", hanging), ("reaction", hanging), ("tally", _among(ids))):
            await self.collection(name).delete_many(wanted, session=self.session)

    async def _count_up(self, message_id: MessageId, counter: str) -> None:
        await self.collection("tally").update_one(
            _keyed(message_id), {"$inc": {counter: 1}}, upsert=True, session=self.session
        )

    async def _count_down(self, fewer: Mapping[tuple[MessageId, str], int]) -> None:
        """Never makes a tally: the message may be withdrawn by now, and its tally with it."""
        if not fewer:
            return
        changes = [
            UpdateOne({**_keyed(message_id), counter: {"$exists": True}}, {"$inc": {counter: -by}})
            for (message_id, counter), by in fewer.items()
        ]
        emptied = [  # an emoji goes with the last who left it
            UpdateOne({**_keyed(message_id), counter: {"$lte": 0}}, {"$unset": {counter: ""}})
            for message_id, counter in fewer
        ]
        await self.collection("tally").bulk_write([*changes, *emptied], session=self.session)

    async def _raise_versions(self, raised: Mapping[UUID, tuple[int, int]]) -> None:
        await super()._raise_versions(raised)
        empty = {"complete": True, "heads": "[]", "bodies": []}
        changes = []
        for author in raised:
            now, new = self._latest.pop(author, None), {"version": self.version_of(author)}
            change = {"$set": new, "$setOnInsert": empty} if now is None else {"$set": {**new, **now}}
            changes.append(UpdateOne(keyed(author), change, upsert=True))
        await self.collection("latest").bulk_write(changes, session=self.session)

    async def _finish(self) -> None:
        await super()._finish()
        if self._latest:
            raise RuntimeError("the latest of somebody changed, and their version did not rise")


class MongoStore:
    """`MessageStore`, on a database of its own."""

    def __init__(self, database: MongoDatabase) -> None:
        self._database = database

    @asynccontextmanager
    async def write(self, *, timeout_ms: int | None = None) -> AsyncIterator[MongoMessageWrite]:
        async with self._database.write(MongoMessageWrite, timeout_ms=timeout_ms) as write:
            yield write

    async def ready(self) -> None:
        await self._database.ready()

    async def recall(self) -> None:
        await self._database.recall()

    def participant(self, remove: Remove, failpoints: Failpoints) -> Participant:
        return MongoParticipant(self._database, MongoMessageWrite, remove, failpoints)

    async def unerased(self) -> list[UserId]:
        return [row["_id"] for row in await self._database.find("fence", {"unerased": True}, limit=AT_ONCE)]

    async def erase_some(self, author: UserId, *, answers: Sequence[str], limit: int) -> bool:
        async with self._database.transaction(MongoMessageWrite, limit=ERASING) as write:
            return await write.erase(author, answers, min(limit, ERASED_AT_ONCE))

    async def post_at_once(
        self,
        document: Document,
        row: LatestRow,
        *,
        kept: int,
        body: Value,
        tells: tuple[Telling, ...],
        route: Route[Any, Any],
        answer: Any,
    ) -> bool:
        return False  # no one statement does all that

    async def by_ids(self, ids: Iterable[MessageId]) -> dict[MessageId, Document]:
        distinct = list(dict.fromkeys(ids))
        rows = await self._database.find("document", _among(distinct), hint=BY_ID) if distinct else []
        return {document.id: document for document in map(_document, rows)}

    async def latest(self, authors: Sequence[UserId], *, bodies: int) -> dict[UserId, LatestRow]:
        return {row["_id"]: _latest_row(row) for row in await self._latest(authors, bodies)}

    async def latest_as_of(self, authors: Sequence[UserId], *, bodies: int) -> dict[UserId, LatestRow]:
        found = {author: LatestRow(author, True, [], []) for author in authors}
        found.update({row["_id"]: _latest_row(row) for row in await self._latest(authors, bodies)})
        return found

    async def newest_as_of(self, authors: Sequence[UserId]) -> list[Newest]:
        found = (await self.latest_as_of(authors, bodies=1)).values()
        return [
            Newest(row.author_id, row.version, row.heads[0].audience != "only", row.heads[0].id, row.bodies[0])
            if row.heads
            else Newest(row.author_id, row.version, row.complete, None, None)
            for row in found
        ]

    async def latest_bodies(self, heads: Mapping[UserId, Sequence[Head]]) -> dict[tuple[MessageId, int], bytes]:
        found: dict[tuple[MessageId, int], bytes] = {}
        for row in await self._latest(list(heads), None):
            wanted = {(head.id, head.version) for head in heads[row["_id"]]}
            for head, body in zip(_heads(row["heads"]), row["bodies"], strict=True):
                if (head.id, head.version) in wanted:
                    found[head.id, head.version] = body
        return found

    async def newest(
        self, viewer: UserId | None, probes: Sequence[Probe], sieve: Sieve, *, per_author: int
    ) -> dict[UserId, list[Document]]:
        found: list[Row] = []
        for part in _parts(probes, TOGETHER):
            wanted = [
                {
                    **_said_by(probe.author_id, viewer, probe.standing),
                    "_id": {"$lt": probe.below, "$gt": sieve.above},
                    **_sieved(sieve),
                }
                for probe in part
            ]
            found += await self._database.aggregate("document", _each(wanted, per_author))
        return _by_author(found)

    async def newest_counted(
        self, viewer: UserId, probe: Probe, sieve: Sieve, *, limit: int
    ) -> tuple[list[Document], dict[MessageId, Counts]]:
        documents = (await self.newest(viewer, [probe], sieve, per_author=limit)).get(probe.author_id, [])
        return documents, await self.counts([one.id for one in documents], viewer)

    async def pages(self, authors: Sequence[UserId], *, limit: int) -> dict[UserId, Page]:
        rows = await self.latest_as_of(authors, bodies=0)  # first: what changes meanwhile has a later version
        probes = [Probe(author, "friend", HIGHEST) for author in rows]
        found = await self.newest(None, probes, Sieve(above=LOWEST), per_author=limit)
        counts = await self.counts([one.id for documents in found.values() for one in documents], None)
        pages: dict[UserId, Page] = {}
        for author, row in rows.items():
            documents = found.get(author, [])
            last = documents[-1].id if len(documents) == limit else LOWEST
            pages[author] = Page(
                row.version,
                documents,
                await self._named(author, last),
                {one.id: counts[one.id] for one in documents if one.id in counts},
            )
        return pages

    async def _named(self, author: UserId, above: MessageId) -> list[UserId] | None:
        """For whom alone there are messages above that one; None where that is too much to tell."""
        wanted = {"bucket": bucket_of(author), "author_id": author, "reply": False, "_id": {"$gt": above}}
        apart = {**wanted, "seen_by": {"$nin": ["public", "friends"]}}
        rows = await self._database.find("document", apart, sort=DESCENDING, limit=MOST_APART + 1)
        if len(rows) > MOST_APART:
            return None
        return sorted({one for row in rows for one in _document(row).only})

    async def mine(self, ids: Iterable[MessageId], viewer: UserId) -> dict[MessageId, frozenset[str]]:
        distinct = list(dict.fromkeys(ids))
        wanted = {"bucket": {"$in": _buckets(distinct)}, "message_id": {"$in": distinct}, "user_id": viewer}
        mine: dict[MessageId, set[str]] = defaultdict(set)
        for row in await self._database.find("reaction", wanted):
            mine[MessageId(row["message_id"])].add(row["emoji"])
        return {message_id: frozenset(emoji) for message_id, emoji in mine.items()}

    async def page_before(
        self, viewer: UserId | None, asked: Mapping[UserId, Standing], *, before: MessageId, limit: int
    ) -> list[Document]:
        return await self._merged(viewer, asked, {"$lt": before}, sort=DESCENDING, limit=limit)

    async def page_after(
        self,
        viewer: UserId | None,
        asked: Mapping[UserId, Standing],
        *,
        after: MessageId,
        seen: Sequence[MessageId],
        limit: int,
    ) -> list[Document]:
        found = await self._merged(viewer, asked, {"$gt": after}, sort=ASCENDING, limit=limit + len(seen))
        return _unseen(found, seen, limit)

    async def replies(
        self, parent: MessageId, *, after: MessageId, seen: Sequence[MessageId], limit: int
    ) -> list[Document]:
        wanted = {"bucket": bucket_in(parent), "parent_id": parent, "reply": True, "_id": {"$gt": after}}
        rows = await self._database.find("document", wanted, sort=ASCENDING, limit=limit + len(seen))
        return _unseen([_document(row) for row in rows], seen, limit)

    async def history(self, message_id: MessageId, *, limit: int) -> list[Earlier]:
        wanted = {"bucket": bucket_in(message_id), "message_id": message_id}
        rows = await self._database.find("history", wanted, sort=[("version", -1)], limit=limit)
        return [_earlier(row) for row in rows]

    async def counts(self, ids: Iterable[MessageId], viewer: UserId | None) -> dict[MessageId, Counts]:
        distinct = list(dict.fromkeys(ids))
        if not distinct:
            return {}
        tallies = {row["_id"]: row for row in await self._database.find("tally", _among(distinct))}
        reacted_to = [one for one in distinct if tallies.get(one, {}).get("emoji")]
        mine = await self.mine(reacted_to, viewer) if reacted_to and viewer is not None else {}
        counted = {
            one: Counts(
                replies=tallies[one].get("replies", 0),
                reactions={_emoji(name): count for name, count in tallies[one].get("emoji", {}).items()},
                mine=mine.get(one, frozenset()),
            )
            for one in distinct
            if one in tallies
        }
        return {one: counts for one, counts in counted.items() if counts.replies or counts.reactions}

    async def reactions(self, message_id: MessageId, *, limit: int) -> list[Reacted]:
        wanted = {"bucket": bucket_in(message_id), "message_id": message_id}
        order = [("created_ms", -1), ("user_id", 1), ("emoji", 1)]
        return [_reacted(row) for row in await self._database.find("reaction", wanted, sort=order, limit=limit)]

    async def messages_of(
        self, author: UserId, *, after: MessageId, until: MessageId, limit: int
    ) -> list[Document]:
        wanted = {**_said_by(author), "_id": {"$gt": after, "$lt": until}}
        return [
            _document(row) for row in await self._database.find("document", wanted, sort=ASCENDING, limit=limit)
        ]

    async def replies_of(self, author: UserId, *, after: MessageId, until: MessageId, limit: int) -> list[Document]:
        wanted = {"author_id": author, "reply": True, "_id": {"$gt": after, "$lt": until}}
        return [
            _document(row) for row in await self._database.find("document", wanted, sort=ASCENDING, limit=limit)
        ]

    async def earlier_of(
        self, author: UserId, *, after: tuple[MessageId, int], until: MessageId, limit: int
    ) -> list[tuple[MessageId, Earlier]]:
        message_id, version = after
        wanted = {
            "author_id": author,
            "message_id": {"$gte": message_id, "$lt": until},
            "$or": [{"message_id": {"$gt": message_id}}, {"version": {"$gt": version}}],
        }
        order = [("message_id", 1), ("version", 1)]
        rows = await self._database.find("history", wanted, sort=order, limit=limit)
        return [(MessageId(row["message_id"]), _earlier(row)) for row in rows]

    async def reactions_left(
        self, user_id: UserId, *, after: tuple[MessageId, str], between_ms: tuple[int, int], limit: int
    ) -> list[tuple[MessageId, Reacted]]:
        message_id, emoji = after
        wanted = {
            "user_id": user_id,
            "message_id": {"$gte": message_id},
            "$or": [{"message_id": {"$gt": message_id}}, {"emoji": {"$gt": emoji}}],
            "created_ms": {"$gte": between_ms[0], "$lt": between_ms[1]},
        }
        order = [("message_id", 1), ("emoji", 1)]
        rows = await self._database.find("reaction", wanted, sort=order, limit=limit)
        return [(MessageId(row["message_id"]), _reacted(row)) for row in rows]

    async def withdrawn_by(
        self, author: UserId, *, after: MessageId, until: MessageId, limit: int
    ) -> list[MessageId]:
        wanted = {"author_id": author, "_id": {"$gt": after, "$lt": until}}
        rows = await self._database.find("withdrawn", wanted, sort=ASCENDING, limit=limit)
        return [MessageId(row["_id"]) for row in rows]

    async def _latest(self, authors: Sequence[UserId], bodies: int | None) -> list[Row]:
        if not authors:
            return []
        shown: Row | None = None if bodies is None else {"bodies": {"$slice": bodies} if bodies else False}
        wanted = {"bucket": {"$in": sorted({bucket_of(one) for one in authors})}, "_id": {"$in": list(authors)}}
        return await self._database.find("latest", wanted, projection=shown)

    async def _merged(
        self,
        viewer: UserId | None,
        asked: Mapping[UserId, Standing],
        span: Row,
        *,
        sort: list[tuple[str, int]],
        limit: int,
    ) -> list[Document]:
        """In one order: MongoDB merges what its index gives of each author, and reads no more than the page."""
        branches = [{**_said_by(author, viewer, stands), "_id": span} for author, stands in asked.items()]
        if not branches:
            return []
        rows = await self._database.find("document", {"$or": branches}, sort=sort, limit=limit)
        return [_document(row) for row in rows]


@asynccontextmanager
async def open_mongo(url: str, settings: Settings) -> AsyncIterator[MongoStore]:
    """The store on the service's own database."""
    async with MongoDatabase.serving("messages", url, settings) as database:
        yield MongoStore(database)


# Queries.


def _keyed(message_id: MessageId) -> Row:
    return {"bucket": bucket_in(message_id), "_id": message_id}


def _buckets(ids: Iterable[MessageId]) -> list[int]:
    return sorted({bucket_in(one) for one in ids})


def _among(ids: Iterable[MessageId]) -> Row:
    listed = list(ids)
    return {"bucket": {"$in": _buckets(listed)}, "_id": {"$in": listed}}


def _same(rows: Sequence[Row]) -> Row:
    return {
        "bucket": {"$in": sorted({row["bucket"] for row in rows})},
        "_id": {"$in": [row["_id"] for row in rows]},
    }


def _said_by(author: UserId, viewer: UserId | None = None, stands: Standing = "own") -> Row:
    """An author's messages, not replies, that the viewer may see; all of them where the viewer is the author."""
    wanted: Row = {"bucket": bucket_of(author), "author_id": author, "reply": False}
    if stands != "own":
        seen_by: list[Any] = ["public", *(["friends"] if stands == "friend" else [])]
        wanted["seen_by"] = {"$in": [*seen_by, *([viewer] if viewer is not None else [])]}
    return wanted


def _sieved(sieve: Sieve) -> Row:
    wanted: Row = {}
    if sieve.has_media:
        wanted["has_media"] = True
    if sieve.latitudes is not None and sieve.longitudes is not None:
        wanted["place.latitude"] = _between(sieve.latitudes)
        wanted["$or"] = [{"place.longitude": _between(span)} for span in sieve.longitudes]
    if sieve.tag is not None:
        wanted["tags"] = sieve.tag
    return wanted


def _between(span: tuple[float, float]) -> Row:
    return {"$gte": span[0], "$lte": span[1]}


def _each(wanted: Sequence[Row], limit: int) -> list[Row]:
    """One pipeline: of each query the newest few."""
    pipelines: list[list[Row]] = [[{"$match": one}, {"$sort": {"_id": -1}}, {"$limit": limit}] for one in wanted]
    others = [{"$unionWith": {"coll": "document", "pipeline": one}} for one in pipelines[1:]]
    return [*pipelines[0], *others]


def _looked_up(limit: int) -> list[Row]:
    """Of each author whose fence comes, the newest few."""
    said = [
        {"$match": {"$expr": {"$eq": ["$bucket", "$$bucket"]}, "reply": False}},
        {"$sort": {"_id": -1}},
        {"$limit": limit},
    ]
    return [
        {
            "$lookup": {
                "from": "document",
                "localField": "_id",
                "foreignField": "author_id",
                "let": {"bucket": "$bucket"},
                "pipeline": said,
                "as": "said",
            }
        },
        {"$unwind": "$said"},
        {"$replaceWith": "$said"},
    ]


def _parts(values: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (values[start : start + size] for start in range(0, len(values), size))


# Documents.


def _row(document: Document) -> Row:
    """As it lies there. Who may see it is one list, so that one condition tells."""
    row: Row = msgspec.to_builtins(document, builtin_types=(UUID,))
    row["_id"] = row.pop("id")
    row["bucket"] = bucket_in(document.id)
    row["reply"] = document.parent is not None
    if document.parent is not None:
        row["parent_id"] = document.parent
    row["has_media"] = bool(document.media)
    row["seen_by"] = document.only if document.audience == "only" else [document.audience]
    return row


def _document(row: Row) -> Document:
    return msgspec.convert({**row, "id": row["_id"]}, Document)


def _history_row(document: Document, earlier: Earlier) -> Row:
    row: Row = msgspec.to_builtins(earlier, builtin_types=(UUID,))
    return {
        "bucket": bucket_in(document.id),
        "message_id": document.id,
        "author_id": document.author_id,
        **row,
    }


def _earlier(row: Row) -> Earlier:
    return msgspec.convert(row, Earlier)


def _latest_row(row: Row) -> LatestRow:
    return LatestRow(row["_id"], row["complete"], _heads(row["heads"]), row.get("bodies", []), row["version"])


def _reacted(row: Row) -> Reacted:
    return Reacted(UserId(row["user_id"]), row["emoji"], row["created_ms"])


def _by_author(rows: Iterable[Row]) -> dict[UserId, list[Document]]:
    found: dict[UserId, list[Document]] = defaultdict(list)
    for document in map(_document, rows):
        found[document.author_id].append(document)
    return found


def _unseen(documents: Sequence[Document], seen: Sequence[MessageId], limit: int) -> list[Document]:
    known = set(seen)
    return [one for one in documents if one.id not in known][:limit]


# A name in MongoDB holds no point and begins with no dollar; an emoji is whatever somebody chose.


def _counter(emoji: str) -> str:
    return f"emoji.{emoji.encode().hex()}"


def _emoji(name: str) -> str:
    return bytes.fromhex(name).decode()

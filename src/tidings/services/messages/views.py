"""Reads: messages' own store beside friends and users, and bulk reads by author."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

import msgspec

from tidings.contracts import friends, users
from tidings.contracts import messages as contract
from tidings.contracts.friends import Relation
from tidings.contracts.messages import MessageId
from tidings.contracts.users import ByIds, UserCard, UserId
from tidings.platform.clock import now_ms
from tidings.platform.compose import Composite, Need, Parts
from tidings.platform.contract import FieldError, Invalid, NotFound, Reply
from tidings.platform.request import Viewer
from tidings.services.messages import present, rules
from tidings.services.messages.holder import Messages
from tidings.services.messages.present import KEPT, People, Seen, Thread
from tidings.services.messages.rules import HIGHEST, LOWEST, Standing
from tidings.services.messages.store.port import Document, Head, LatestRow, Probe, Sieve

FEW_AUTHORS: Final = 512  # so many rows are read with their bodies in one go; beyond, bodies are read when chosen
SPARE: Final = 3  # read beyond what is wanted, since the box lets more through than the circle
HISTORY_SHOWN: Final = 100
REACTIONS_SHOWN: Final = 500
MOST_SEEN: Final = 300  # ids in a cursor


class Before(msgspec.Struct, frozen=True):
    """A cursor's place in a list that runs backward in time."""

    before: MessageId


class After(msgspec.Struct, frozen=True):
    """A cursor's place in a list that runs forward, and what was shown beyond it already."""

    after: MessageId
    seen: list[MessageId]


# The people beside one's own documents.


async def _authors(svc: Messages, viewer: Viewer, authors: frozenset[UserId]) -> tuple[UserId, list[UserId]]:
    return UserId(viewer.known), sorted(authors)


def _ask(skeleton: tuple[UserId, list[UserId]]) -> ByIds:
    return ByIds(ids=skeleton[1])


def _stand(skeleton: tuple[UserId, list[UserId]], parts: Parts) -> People:
    viewer, authors = skeleton
    cards: Mapping[UserId, UserCard] = parts["cards"]
    relations: Mapping[UserId, Relation] = parts["relations"]
    standings = {
        author: rules.standing(viewer, author, relations.get(author), has_card=author in cards)
        for author in authors
    }
    return People(viewer=viewer, cards=cards, standings=standings)


def _as_is(kept: People) -> People:
    return kept


# Asked even for nobody: a message that is not there takes as long as one that is not shown.
PEOPLE: Final = Composite(
    skeleton=_authors,
    needs={"relations": Need(friends.relations, keys=_ask), "cards": Need(users.cards, keys=_ask)},
    keep=_stand,
    present=_as_is,
    name="messages/people",
)


async def _people(svc: Messages, viewer: Viewer, authors: Iterable[UserId]) -> People:
    """Two calls, however many authors. `Unavailable` names who can't be reached."""
    return await PEOPLE.read(svc, svc.world, viewer, frozenset(authors))


async def _documents(svc: Messages, ids: Sequence[MessageId]) -> dict[MessageId, Document]:
    """The documents with all that stand above them."""
    found = await svc.store.by_ids(ids)
    above = {ancestor for document in found.values() for ancestor in document.ancestors} - found.keys()
    return {**found, **(await svc.store.by_ids(above))} if above else found


async def _thread(svc: Messages, viewer: Viewer, ids: Sequence[MessageId]) -> Thread:
    documents = await _documents(svc, ids)
    return Thread(documents, await _people(svc, viewer, (one.author_id for one in documents.values())))


def _seen(thread: Thread, message_id: MessageId) -> Seen:
    if not thread.sees(message_id):
        raise NotFound("There is no such message.")
    return Seen(thread.chain(message_id), thread.people)


async def seen(svc: Messages, viewer: Viewer, message_id: MessageId) -> Seen:
    """A message that the viewer sees. `NotFound` alike for one that is not there and one that is not shown."""
    return _seen(await _thread(svc, viewer, [message_id]), message_id)


# Public reads.


async def get_message(svc: Messages, viewer: Viewer, ask: contract.OneMessage) -> Reply[contract.Shown]:
    """One message, with its version."""
    found = await seen(svc, viewer, ask.message_id)
    counts = await svc.store.counts([ask.message_id], found.people.viewer)
    body = present.shown(found.document, found.people, counts.get(ask.message_id))
    return Reply(body, version=found.document.version)


async def find_messages(svc: Messages, viewer: Viewer, ask: contract.FindMessages) -> Reply[contract.Messages]:
    """By ids, or one author's. `Invalid` unless it is exactly one of the two."""
    if (ask.ids is None) == (ask.author is None):
        why = "Give either ids or one author."
        raise Invalid(why, errors=(FieldError("?ids", why), FieldError("?author", why)))
    if ask.author is not None:
        return await _by_author(svc, viewer, ask.author, ask)
    for name, value in (("tag", ask.tag), ("cursor", ask.cursor)):
        if value is not None:
            raise Invalid(f"{name} goes with author.", errors=(FieldError(f"?{name}", "goes with author"),))
    return await _by_ids(svc, viewer, rules.distinct(ask.ids or ()))


async def _by_ids(svc: Messages, viewer: Viewer, ids: list[MessageId]) -> Reply[contract.Messages]:
    thread = await _thread(svc, viewer, ids)
    visible = [message_id for message_id in ids if thread.sees(message_id)]
    return Reply(contract.Messages(messages=await _shown(svc, thread, visible)))


async def _shown(svc: Messages, thread: Thread, visible: Sequence[MessageId]) -> list[contract.Shown]:
    counts = await svc.store.counts(visible, thread.people.viewer)
    return [
        present.shown(thread.documents[message_id], thread.people, counts.get(message_id)) for message_id in visible
    ]


async def _by_author(
    svc: Messages, viewer: Viewer, author: UserId, ask: contract.FindMessages
) -> Reply[contract.Messages]:
    of, asker = f"author:{author}:{ask.tag or ''}", viewer.known
    below = HIGHEST
    if ask.cursor is not None:
        below = svc.cursors.open(ask.cursor, Before, asker=asker, of=of).before
    people = await _people(svc, viewer, [author])
    stands = people.stands(author)
    if stands == "hidden":
        return Reply(contract.Messages(messages=[]))
    probe = Probe(author_id=author, standing=stands, below=below)
    found = await svc.store.newest(
        people.viewer, [probe], Sieve(above=LOWEST, tag=ask.tag), per_author=ask.limit + 1
    )
    documents = found.get(author, [])
    page = documents[: ask.limit]
    thread = Thread({document.id: document for document in page}, people)
    listed = await _shown(svc, thread, [document.id for document in page])
    if len(documents) <= ask.limit:
        return Reply(contract.Messages(messages=listed))
    cursor = svc.cursors.seal(Before(page[-1].id), asker=asker, of=of)
    query = {"author": str(author), "limit": str(ask.limit), "cursor": cursor}
    if ask.tag is not None:
        query["tag"] = ask.tag
    return Reply(
        contract.Messages(messages=listed, next_cursor=cursor),
        links=(("next", f"/v1/messages?{urlencode(query)}"),),
    )


async def list_replies(svc: Messages, viewer: Viewer, ask: contract.RepliesAsk) -> Reply[contract.Messages]:
    """Replies, oldest first; more are read than shown, so that hidden ones seldom leave a page short."""
    parent, of, asker = ask.message_id, f"replies:{ask.message_id}", viewer.known
    start = After(after=LOWEST, seen=[])
    if ask.cursor is not None:
        start = svc.cursors.open(ask.cursor, After, asker=asker, of=of)
    now = now_ms()
    above = await _documents(svc, [parent])
    most = 3 * ask.limit + 1
    replies = await svc.store.replies(parent, after=start.after, seen=start.seen, limit=most)
    documents = {**above, **{reply.id: reply for reply in replies}}
    people = await _people(svc, viewer, (document.author_id for document in documents.values()))
    thread = Thread(documents, people)
    _seen(thread, parent)
    visible: list[MessageId] = []
    passed: list[MessageId] = []
    for reply in replies[: most - 1]:
        if len(visible) == ask.limit:
            break
        passed.append(reply.id)
        if thread.sees(reply.id):
            visible.append(reply.id)
    listed = await _shown(svc, thread, visible)
    if len(passed) == len(replies):
        return Reply(contract.Messages(messages=listed))
    after, beyond = rules.settled(passed[-1], [*start.seen, *passed], start.after, now=now, most=MOST_SEEN)
    cursor = svc.cursors.seal(After(after, beyond), asker=asker, of=of)
    query = urlencode({"limit": str(ask.limit), "cursor": cursor})
    return Reply(
        contract.Messages(messages=listed, next_cursor=cursor),
        links=(("next", f"/v1/messages/{parent}/replies?{query}"),),
    )


async def history(svc: Messages, viewer: Viewer, ask: contract.OneMessage) -> contract.History:
    """Earlier versions, newest first, of a message that the viewer sees."""
    found = await seen(svc, viewer, ask.message_id)
    return present.history(await svc.store.history(ask.message_id, limit=HISTORY_SHOWN), found)


async def list_reactions(svc: Messages, viewer: Viewer, ask: contract.OneMessage) -> contract.Reactions:
    """Who reacted to a message that the viewer sees: the newest 500, newest first."""
    documents = await _documents(svc, [ask.message_id])
    reacted = await svc.store.reactions(ask.message_id, limit=REACTIONS_SHOWN)
    authors = {document.author_id for document in documents.values()} | {one.user_id for one in reacted}
    people = await _people(svc, viewer, authors)
    _seen(Thread(documents, people), ask.message_id)
    return present.reactions(reacted, people)


# Bulk reads by author, for the timeline.


async def latest_by_authors(svc: Messages, viewer: Viewer, ask: contract.LatestAsk) -> contract.Latest:
    """The newest of each author: from the `latest` rows where they tell, else from the documents."""
    return await _LatestRead(svc, _asker(viewer), ask).answer()


class _LatestRead:
    """One such read: what was asked, and what is known so far of each author."""

    def __init__(self, svc: Messages, viewer: UserId | None, ask: contract.LatestAsk) -> None:
        self._store = svc.store
        self._viewer = viewer
        self._ask = ask
        asked = rules.standings_asked(self._viewer, ask.friends, ask.others)
        self._asked = {author: stands for author, stands in asked.items() if rules.can_match(stands, ask.rules)}
        self._rows: dict[UserId, LatestRow] = {}
        self._told: dict[UserId, rules.FromRow] = {}
        self._documents: dict[UserId, list[Document]] = {}

    async def answer(self) -> contract.Latest:
        ask = self._ask
        few = len(self._asked) <= FEW_AUTHORS
        self._rows = await self._store.latest(list(self._asked), bodies=min(ask.per_author, KEPT) if few else 0)
        floor, ceiling = rules.floor_of(ask.rules), rules.ceiling_of(ask.as_of_ms)
        for author, row in self._rows.items():
            self._told[author] = rules.from_row(
                row.heads,
                complete=row.complete,
                viewer=self._viewer,
                stands=self._asked[author],
                rules=ask.rules,
                floor=floor,
                ceiling=ceiling,
                per_author=ask.per_author,
            )
        newest = await self._newest()
        if ask.before is not None:
            newest = [pair for pair in newest if pair[0] < ask.before]
        chosen = [author for _, author in newest[: ask.limit]]
        return contract.Latest(
            authors=await self._hydrated(chosen), more=len(newest) > ask.limit, newer=await self._newer()
        )

    async def _newest(self) -> list[tuple[MessageId, UserId]]:
        """Each author's newest that counts, newest first."""
        unsure = [author for author, told in self._told.items() if not told.positions and not told.enough]
        # One each: which authors come on this page is not known yet.
        self._documents = await self._probe(unsure, per_author=1)
        known = [
            (self._rows[author].heads[told.positions[0]].id, author)
            for author, told in self._told.items()
            if told.positions
        ]
        known.extend((documents[0].id, author) for author, documents in self._documents.items())
        known.sort(reverse=True)
        return known

    async def _hydrated(self, chosen: list[UserId]) -> list[contract.AuthorLatest]:
        bodies = await self._bodies(chosen)
        unanswered = [
            author
            for author in chosen
            if author not in bodies and (author not in self._documents or self._ask.per_author > 1)
        ]
        self._documents.update(await self._probe(unanswered, per_author=self._ask.per_author))
        answers: list[contract.AuthorLatest] = []
        for author in chosen:
            with_place = rules.shows_place(self._asked[author])
            if author in bodies:
                told, row = self._told[author], self._rows[author]
                heads = [row.heads[position] for position in told.positions]
                listed = [
                    body if with_place or head.place is None else present.without_place(body)
                    for head, body in zip(heads, bodies[author], strict=True)
                ]
                newest_id = heads[0].id
            else:
                documents = self._documents.get(author, [])
                if not documents:  # withdrawn since the row was read
                    continue
                listed = [present.encoded(document, with_place=with_place) for document in documents]
                newest_id = documents[0].id
            answers.append(
                contract.AuthorLatest(
                    author_id=author, newest_id=newest_id, messages=[msgspec.Raw(body) for body in listed]
                )
            )
        answers.sort(key=lambda answer: answer.newest_id, reverse=True)
        return answers

    async def _bodies(self, chosen: list[UserId]) -> dict[UserId, list[bytes]]:
        """Of the authors whose rows tell all that was asked. A row that changed since is not used."""
        ready: dict[UserId, list[bytes]] = {}
        missing: dict[UserId, list[Head]] = {}
        for author in chosen:
            told = self._told[author]
            if not told.positions or not told.enough:
                continue
            row = self._rows[author]
            if told.positions[-1] < len(row.bodies):
                ready[author] = [row.bodies[position] for position in told.positions]
            else:
                missing[author] = [row.heads[position] for position in told.positions]
        if missing:
            found = await self._store.latest_bodies(missing)
            for author, heads in missing.items():
                bodies = [found.get((head.id, head.version)) for head in heads]
                whole = [body for body in bodies if body is not None]
                if len(whole) == len(bodies):
                    ready[author] = whole
        return ready

    async def _newer(self) -> int:
        """How many authors said something that counts after `as_of_ms`."""
        if self._ask.as_of_ms is None:
            return 0
        unsure = [author for author, told in self._told.items() if told.newer is None]
        floor = rules.newer_floor_of(self._ask.rules, self._ask.as_of_ms)
        probed = await self._probe(unsure, per_author=1, above=floor, below=HIGHEST)
        return sum(told.newer is True for told in self._told.values()) + len(probed)

    async def _probe(
        self,
        authors: list[UserId],
        *,
        per_author: int,
        above: MessageId | None = None,
        below: MessageId | None = None,
    ) -> dict[UserId, list[Document]]:
        """The newest documents that count. The store sieves `near` by a box; what the circle rejects is skipped."""
        if not authors:
            return {}
        near = self._ask.rules.near
        spans = (None, None) if near is None else rules.box(near)
        sieve = Sieve(
            above=rules.floor_of(self._ask.rules) if above is None else above,
            has_media=self._ask.rules.has_media,
            latitudes=spans[0],
            longitudes=spans[1],
        )
        taken: dict[UserId, list[Document]] = defaultdict(list)
        start = rules.ceiling_of(self._ask.as_of_ms) if below is None else below
        starts = dict.fromkeys(authors, start)
        batch = per_author if near is None else per_author + SPARE
        while starts:
            probes = [Probe(author, self._asked[author], lowest) for author, lowest in starts.items()]
            found = await self._store.newest(self._viewer, probes, sieve, per_author=batch)
            starts = {}
            for author, documents in found.items():
                taken[author].extend(one for one in documents if near is None or _lies_within(one, near))
                if len(taken[author]) < per_author and len(documents) == batch:
                    starts[author] = documents[-1].id
            batch = 100
        return {author: documents[:per_author] for author, documents in taken.items() if documents}


def _asker(viewer: Viewer) -> UserId | None:
    return None if viewer.user_id is None else UserId(viewer.user_id)


def _lies_within(document: Document, near: contract.Near) -> bool:
    place = document.place
    return place is not None and rules.is_within(near, (place.latitude, place.longitude))


async def page_by_authors(svc: Messages, viewer: Viewer, ask: contract.PageByAuthorsAsk) -> contract.PageByAuthors:
    """Messages of many authors in one order. `Invalid` when both `before` and `after` are given."""
    if ask.before is not None and ask.after is not None:
        raise Invalid("Give before or after, not both.", errors=(FieldError("/after", "goes without before"),))
    read_at_ms = now_ms()
    asker = _asker(viewer)
    asked: dict[UserId, Standing] = rules.standings_asked(asker, ask.friends, ask.others)
    if ask.after is None:
        found = await svc.store.page_before(asker, asked, before=ask.before or HIGHEST, limit=ask.limit + 1)
        page = found[: ask.limit]
    else:
        found = await svc.store.page_after(asker, asked, after=ask.after, seen=ask.seen, limit=ask.limit + 1)
        page = found[: ask.limit][::-1]
    items = [
        contract.PageItem(
            id=document.id,
            author_id=document.author_id,
            message=msgspec.Raw(present.encoded(document, with_place=rules.shows_place(asked[document.author_id]))),
        )
        for document in page
    ]
    return contract.PageByAuthors(items=items, more=len(found) > ask.limit, read_at_ms=read_at_ms)

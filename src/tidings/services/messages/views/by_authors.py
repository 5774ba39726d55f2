"""Bulk reads by author, for composites: whose friends are whose is taken from the caller."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from tidings.contracts import messages as contract
from tidings.contracts.messages import HIGHEST, LOWEST, MessageId
from tidings.contracts.users import UserId
from tidings.platform.clock import now_ms
from tidings.platform.contract import FieldError, Invalid
from tidings.platform.request import Viewer
from tidings.services.messages import present, rules
from tidings.services.messages.holder import Messages
from tidings.services.messages.present import KEPT
from tidings.services.messages.rules import Standing
from tidings.services.messages.store.port import Document, Head, LatestRow, Probe, Sieve

FEW_AUTHORS: Final = 512  # so many rows are read with their bodies in one go; beyond, bodies are read when chosen
SPARE: Final = 3  # read beyond what is wanted, since the box lets more through than the circle


async def latest_by_authors(svc: Messages, viewer: Viewer, ask: contract.LatestAsk) -> contract.Latest:
    """The newest of each author: from the `latest` rows where they tell, else from the documents."""
    if ask.to_keep:
        return await _newest_of_all(svc, viewer, ask.friends)
    return await _LatestRead(svc, _asker(viewer), ask).answer()


async def _newest_of_all(svc: Messages, viewer: Viewer, friends: list[UserId]) -> contract.Latest:
    """The newest of each, as of when. Many are read at once: nothing is unpacked that does not have to be."""
    found = await svc.store.newest_as_of(friends)
    authors = [
        contract.AuthorLatest(one.author_id, one.id, [msgspec.Raw(one.body)])
        for one in found
        if one.told and one.id is not None and one.body is not None
    ]
    if untold := [one.author_id for one in found if not one.told]:
        own = contract.LatestAsk(friends=untold, others=[], limit=len(untold))
        authors += (await _LatestRead(svc, _asker(viewer), own).answer()).authors
    return contract.Latest(
        authors=authors, as_of=[contract.AuthorAsOf(one.author_id, one.version, one.told) for one in found]
    )


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
            authors=await self._hydrated(chosen),
            more=len(newest) > ask.limit,
            newer=await self._newer(),
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
    if ask.to_keep:
        return await _recents_of_all(svc, asker, ask, read_at_ms)
    asked = rules.standings_asked(asker, ask.friends, ask.others)
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


async def _recents_of_all(
    svc: Messages, asker: UserId | None, ask: contract.PageByAuthorsAsk, read_at_ms: int
) -> contract.PageByAuthors:
    """The newest few of each author, from the `latest` rows; below them, of some, from the documents.

    Rows are read first: what changes meanwhile has a later version than theirs.
    """
    asked = rules.standings_asked(asker, [*ask.friends, *ask.deeper], ask.others)
    rows = await svc.store.latest_as_of(list(asked), bodies=KEPT)
    probes = [
        Probe(author, "own", rows[author].heads[-1].id)  # all that there is: who is shown what is decided here
        for author in dict.fromkeys(ask.deeper)
        if rows[author].heads and not rows[author].complete
    ]
    below: Mapping[UserId, list[Document]] = {}
    if probes:
        below = await svc.store.newest(asker, probes, Sieve(above=LOWEST), per_author=contract.DEEPER - KEPT)
    few = dict.fromkeys([*ask.friends, *ask.others])
    return contract.PageByAuthors(
        items=[],
        more=False,
        read_at_ms=read_at_ms,
        recents=[_recents(asker, asked[one], rows[one]) for one in few],
        deeper=[_recents(asker, asked[one], rows[one], below.get(one, [])) for one in dict.fromkeys(ask.deeper)],
    )


async def author_pages(svc: Messages, ask: contract.AuthorPagesAsk) -> dict[UserId, contract.AuthorPage]:
    """The newest of each, as all friends are shown them."""
    if not ask.to_keep:
        return {}
    pages = await svc.store.pages(ask.ids, limit=contract.DEEPER)
    return {
        author: contract.AuthorPage(page.version, present.counted(page), page.named)
        for author, page in pages.items()
    }


def _recents(
    asker: UserId | None, stands: Standing, row: LatestRow, below: Sequence[Document] | None = None
) -> contract.AuthorRecents:
    """Of one author. `below`: what follows the row, if that was read."""
    shows_place = rules.shows_place(stands)
    shown = [
        (head.id, body if head.place is None or shows_place else present.without_place(body))
        for head, body in zip(row.heads, row.bodies, strict=True)
        if rules.admits(head.audience, head.only, asker, stands)
    ]
    shown += [
        (one.id, present.encoded(one, with_place=shows_place))
        for one in below or ()
        if rules.admits(one.audience, one.only, asker, stands)
    ]
    last = row.heads[-1].id if row.heads and not row.complete else None
    if below is not None:
        last = below[-1].id if len(below) == contract.DEEPER - KEPT else None
    audiences = {one.audience for one in row.heads} | {one.audience for one in below or ()}
    return contract.AuthorRecents(
        author_id=row.author_id,
        version=row.version,
        same_for_friends=stands != "other" and "only" not in audiences,
        down_to=last,
        items=[contract.PageItem(one, row.author_id, msgspec.Raw(body)) for one, body in shown],
    )

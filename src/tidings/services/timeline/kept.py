"""What timeline keeps of others' answers: circles by viewer, cards by person, the latest message by author."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

from tidings.contracts import friends, messages, users
from tidings.contracts.messages import (
    DEEPER,
    AuthorLatest,
    AuthorRecents,
    Latest,
    LatestAsk,
    MessageId,
    PageByAuthors,
    PageByAuthorsAsk,
    PageItem,
    Rules,
)
from tidings.contracts.timeline import FeedAsk, TimelineAsk, get_feed, get_timeline
from tidings.contracts.users import ByIds, UserId
from tidings.platform.cache.by_subject import ids_of, kept_by_subject, numbers_of
from tidings.platform.cache.kept import Further, Kept, Piece
from tidings.platform.request import Viewer

MOST_AUTHORS: Final = 512  # of a feed; beyond, messages gives a page rather than everybody's newest few


def _about(ids: list[UserId]) -> ByIds:
    return ByIds(ids=ids)


# What friends said last.


def _authors(viewer: Viewer, ask: LatestAsk) -> Sequence[int]:
    """The plain first page; what goes by rules or leads on from a cursor is read anew."""
    plain = ask.per_author == 1 and ask.rules == Rules() and not ask.others
    return numbers_of(ask.friends) if plain and ask.as_of_ms is None else ()


def _of_these(missing: Sequence[int]) -> LatestAsk:
    return LatestAsk(friends=ids_of(missing), others=[], limit=max(1, len(missing)), to_keep=True)


def _latest(viewer: Viewer, ask: LatestAsk, found: Latest) -> list[Piece]:
    said = {one.author_id.int: one for one in found.authors}
    return [
        Piece(number := one.author_id.int, said.get(number), one.author_id, one.version, keep=one.same_for_friends)
        for one in found.as_of
    ]


def _own_copy(one: AuthorLatest | None) -> AuthorLatest | None:
    """What was decoded is a view of the whole answer, which would be held as long as this is."""
    return one and msgspec.structs.replace(one, messages=[body.copy() for body in one.messages])


def _page(ask: LatestAsk, found: Mapping[int, AuthorLatest | None], as_of_ns: int) -> Latest:
    spoke = [one for one in found.values() if one is not None]
    listed = sorted(spoke, key=attrgetter("newest_id.int"), reverse=True)  # ids compare in Python, numbers do not
    if ask.before is not None:
        listed = [one for one in listed if one.newest_id < ask.before]
    return Latest(authors=listed[: ask.limit], more=len(listed) > ask.limit)


# What friends and oneself said of late, for the feed.


Key: TypeAlias = int | tuple[Literal["more"], int]  # with "more": of an author who says much


class Recents(NamedTuple):
    """One author's newest few. `down_to`: what they said before it is not among them."""

    items: list[PageItem]
    down_to: MessageId | None


def _all_authors(viewer: Viewer, ask: PageByAuthorsAsk) -> Sequence[int]:
    """The first page; what leads on from a cursor is read anew."""
    first = ask.before is None and ask.after is None and not ask.others
    return numbers_of(ask.friends) if first and len(ask.friends) <= MOST_AUTHORS else ()


def _recents_of(missing: Sequence[Key]) -> PageByAuthorsAsk:
    return PageByAuthorsAsk(
        friends=ids_of([one for one in missing if isinstance(one, int)]),
        others=[],
        to_keep=True,
        deeper=ids_of([one[1] for one in missing if not isinstance(one, int)]),
    )


def _recents(viewer: Viewer, ask: PageByAuthorsAsk, found: PageByAuthors) -> list[Piece]:
    return [
        *(_piece(one.author_id.int, one) for one in found.recents),
        *(_piece(("more", one.author_id.int), one) for one in found.deeper),
    ]


def _piece(key: Key, one: AuthorRecents) -> Piece:
    return Piece(key, Recents(one.items, one.down_to), one.author_id, one.version, keep=one.same_for_friends)


def _own_copies(recents: Recents) -> Recents:
    items = [msgspec.structs.replace(item, message=item.message.copy()) for item in recents.items]
    return Recents(items, recents.down_to)


def _feed(ask: PageByAuthorsAsk, found: Mapping[Key, Recents], as_of_ns: int) -> PageByAuthors | Further | None:
    """The newest of all. Where somebody may have said more of it than is kept of them, it takes more of them."""
    kept: Mapping[Any, Recents] = found
    if further := [key for key in found if not isinstance(key, int)]:
        kept = {key: found.get(("more", key), recents) for key, recents in found.items() if isinstance(key, int)}
    newest = _newest([recents.items for recents in kept.values() if recents.items], ask.limit + 1)
    lowest = newest[ask.limit - 1].id.int if len(newest) > ask.limit else 0
    cut = [
        number for number, recents in kept.items() if recents.down_to is not None and recents.down_to.int > lowest
    ]
    if cut:
        return Further([("more", number) for number in cut]) if ask.limit < DEEPER and not further else None
    return PageByAuthors(items=newest[: ask.limit], more=len(newest) > ask.limit, read_at_ms=as_of_ns // 1_000_000)


def _newest(said: list[list[PageItem]], count: int) -> list[PageItem]:
    """So many of all; each author's come newest first. What is older than as many authors' newest is left out."""
    firsts = sorted([items[0].id.int for items in said], reverse=True)
    lowest = firsts[count - 1] if len(firsts) >= count else 0
    among = [
        (number, item)
        for items in said
        if items[0].id.int >= lowest
        for item in items
        if (number := item.id.int) >= lowest
    ]
    among.sort(reverse=True)  # no two have the same number
    return [item for _, item in among[:count]]


KEPT: Final = (
    kept_by_subject(friends.circles, _about),
    kept_by_subject(users.cards_as_of, _about, many=True),
    Kept(
        messages.latest_by_authors,
        keys=_authors,
        rest=_of_these,
        pieces=_latest,
        whole=_page,
        own=_own_copy,
        many=True,
    ),
    Kept(
        messages.page_by_authors,
        keys=_all_authors,
        rest=_recents_of,
        pieces=_recents,
        whole=_feed,
        dear=True,
        own=_own_copies,
        many=True,
    ),
)


# Pages that rest on these alone.


def _now_does_not_matter(ask: TimelineAsk) -> bool:
    """The first page, without an age; what leads on from it is as of when it was made."""
    return ask.cursor is None and ask.max_age is None


def _first(ask: FeedAsk) -> bool:
    return ask.cursor is None and ask.at is None


RESTING: Final[Mapping[str, Callable[[Any], bool]]] = {
    get_timeline.name: _now_does_not_matter,
    get_feed.name: _first,
}

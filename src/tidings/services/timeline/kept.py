"""What timeline keeps of others' answers: circles by viewer, cards by person, the latest message by author."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

from tidings.contracts import friends, messages, users
from tidings.contracts.messages import (
    DEEPER,
    RECENT,
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
from tidings.platform.cache.kept import Further, Kept, Piece, Ranked, Ranking
from tidings.platform.request import Viewer

MOST_AUTHORS: Final = 512  # of a feed; beyond, messages gives a page rather than everybody's newest few


def _about(ids: list[UserId]) -> ByIds:
    return ByIds(ids=ids)


# What friends said last.


def _authors(viewer: Viewer, ask: LatestAsk) -> Sequence[int]:
    """The plain first page; what goes by rules or leads on from a cursor is read anew."""
    plain = ask.per_author == 1 and ask.rules == Rules() and not ask.others
    return numbers_of(ask.friends) if plain and ask.as_of_ms is None and ask.before is None else ()


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


def _spoke(ask: LatestAsk, found: Mapping[int, AuthorLatest | None]) -> Ranking:
    """All who said something, the latest first."""
    said = [(one.newest_id.int, number, 0) for number, one in found.items() if one is not None]
    return Ranking(sorted(said, reverse=True))  # no two have the same number


def _spoke_again(ask: LatestAsk, before: Ranking, changed: Mapping[int, AuthorLatest | None]) -> Ranking:
    others = [one for one in before.things if one[1] not in changed]
    return Ranking(sorted(others + _spoke(ask, changed).things, reverse=True))


def _page(ask: LatestAsk, ranking: Ranking, found: Mapping[int, AuthorLatest | None], as_of_ns: int) -> Latest:
    shown = [one for _, number, _ in ranking.things[: ask.limit] if (one := found[number]) is not None]
    return Latest(authors=shown, more=len(ranking.things) > ask.limit)


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


def _one_more(key: Key, before: Recents, newest: Recents) -> Recents | None:
    """As many as messages would tell. None where it is among them: what was read may be newer than its version."""
    if before.items and before.items[0].id.int >= newest.items[0].id.int:
        return None
    items, most = newest.items + before.items, RECENT if isinstance(key, int) else DEEPER
    if len(items) <= most:
        return Recents(items, before.down_to)
    return Recents(items[:most], items[most - 1].id)


def _newest(ask: PageByAuthorsAsk, found: Mapping[Key, Recents]) -> Ranking | Further | None:
    """The newest of all, and one more. Where somebody may have said more of them than is kept, it takes more."""
    said = _fullest(found)
    firsts = sorted([one.items[0].id.int for _, one in said if one.items], reverse=True)
    lowest = firsts[ask.limit] if len(firsts) > ask.limit else 0  # what is older than as many newest is left out
    things = sorted(_things(said, lowest), reverse=True)[: ask.limit + 1]  # no two have the same number
    return _if_they_tell(ask, said, things)


def _newest_again(
    ask: PageByAuthorsAsk, before: Ranking, changed: Mapping[Key, Recents]
) -> Ranking | Further | None:
    """What was left out then is not known here: where something of that may be among them, this does not tell.

    Below the page there is one thing more, but somebody may have said another one above it.
    """
    said, full = _fullest(changed), len(before.things) > ask.limit
    authors = {_number(key) for key, _ in said}
    things = [one for one in before.things if _number(one[1]) not in authors]
    things += _things(said, before.things[-1][0] if full else 0)
    things = sorted(things, reverse=True)[: ask.limit + 1]
    if full and (len(things) <= ask.limit or things[-2][0] < before.things[-2][0]):
        return None
    return _if_they_tell(ask, said, things)


def _number(key: Key) -> int:
    return key if isinstance(key, int) else key[1]


def _fullest(found: Mapping[Key, Recents]) -> list[tuple[Key, Recents]]:
    """What is known of each author: more than their newest few, if that is there."""
    further = {key[1] for key in found if not isinstance(key, int)}
    if not further:
        return list(found.items())
    return [one for one in found.items() if one[0] not in further]


def _things(said: list[tuple[Key, Recents]], lowest: int) -> list[tuple[int, Key, int]]:
    return [
        (number, key, place)
        for key, recents in said
        if recents.items and recents.items[0].id.int >= lowest  # each author's come newest first
        for place, item in enumerate(recents.items)
        if (number := item.id.int) >= lowest
    ]


def _if_they_tell(
    ask: PageByAuthorsAsk, said: list[tuple[Key, Recents]], things: list[tuple[int, Key, int]]
) -> Ranking | Further | None:
    """These are the newest things, unless one of those authors may have said more of them than is known."""
    lowest = things[ask.limit - 1][0] if len(things) > ask.limit else 0
    cut = [key for key, recents in said if recents.down_to is not None and recents.down_to.int > lowest]
    if not cut:
        return Ranking(things)
    if ask.limit >= DEEPER or not all(isinstance(key, int) for key in cut):
        return None
    return Further([("more", key) for key in cut])


def _feed(ask: PageByAuthorsAsk, ranking: Ranking, found: Mapping[Key, Recents], as_of_ns: int) -> PageByAuthors:
    items = [found[key].items[place] for _, key, place in ranking.things[: ask.limit]]
    more = len(ranking.things) > ask.limit
    return PageByAuthors(items=items, more=more, read_at_ms=as_of_ns // 1_000_000)


KEPT: Final = (
    kept_by_subject(friends.circles, _about, leads=True),
    kept_by_subject(users.cards_as_of, _about, many=True),
    Kept(
        messages.latest_by_authors,
        keys=_authors,
        rest=_of_these,
        pieces=_latest,
        whole=Ranked(_spoke, _spoke_again, _page),
        own=_own_copy,
        many=True,
    ),
    Kept(
        messages.page_by_authors,
        keys=_all_authors,
        rest=_recents_of,
        pieces=_recents,
        whole=Ranked(_newest, _newest_again, _feed),
        dear=True,
        own=_own_copies,
        many=True,
        onto=_one_more,
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

"""What timeline keeps of others' answers: circles by viewer, cards by person, the latest message by author."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import msgspec

from tidings.contracts import friends, messages, users
from tidings.contracts.friends import Circle
from tidings.contracts.messages import AuthorLatest, Latest, LatestAsk, Rules
from tidings.contracts.timeline import TimelineAsk, get_timeline
from tidings.contracts.users import ByIds, CardAsOf, UserId
from tidings.platform.cache.keeper import Kept, Piece
from tidings.platform.contract import Nothing
from tidings.platform.request import Viewer

MOST_AUTHORS: Final = 512  # at a time; beyond, messages gives a page rather than everybody's latest


# One's own circle.


def _viewer(viewer: Viewer, ask: Nothing) -> Sequence[UUID]:
    return [viewer.known]


def _nothing(ask: Nothing, missing: Sequence[UUID]) -> Nothing:
    return ask


def _circle(viewer: Viewer, ask: Nothing, found: Circle) -> list[Piece]:
    return [Piece(viewer.known, found, viewer.known, found.as_of)]


def _only(ask: Nothing, found: Mapping[UUID, Circle]) -> Circle:
    [circle] = found.values()
    return circle


# People's cards.


def _people(viewer: Viewer, ask: ByIds) -> Sequence[UserId]:
    return ask.ids


def _these(ask: ByIds, missing: Sequence[UserId]) -> ByIds:
    return ByIds(ids=list(missing))


def _cards(viewer: Viewer, ask: ByIds, found: dict[UserId, CardAsOf]) -> list[Piece]:
    return [Piece(user_id, one, user_id, one.as_of) for user_id, one in found.items()]


def _by_id(ask: ByIds, found: Mapping[UserId, CardAsOf]) -> dict[UserId, CardAsOf]:
    return dict(found)


# What friends said last.


def _authors(viewer: Viewer, ask: LatestAsk) -> Sequence[UserId]:
    """The plain first page; what goes by rules or leads on from a cursor is read anew."""
    plain = ask.per_author == 1 and ask.rules == Rules() and not ask.others
    return ask.friends if plain and ask.as_of_ms is None else ()


def _of_these(ask: LatestAsk, missing: Sequence[UserId]) -> LatestAsk:
    return LatestAsk(friends=list(missing), others=[], limit=max(1, len(missing)), to_keep=True)


def _latest(viewer: Viewer, ask: LatestAsk, found: Latest) -> list[Piece]:
    said = {one.author_id: _own_copy(one) for one in found.authors}
    return [
        Piece(one.author_id, said.get(one.author_id), one.author_id, one.version, keep=one.same_for_friends)
        for one in found.as_of
    ]


def _own_copy(one: AuthorLatest) -> AuthorLatest:
    """What was decoded is a view of the whole answer, which would be held as long as this is."""
    return msgspec.structs.replace(one, messages=[body.copy() for body in one.messages])


def _page(ask: LatestAsk, found: Mapping[UserId, AuthorLatest | None]) -> Latest:
    spoke = [one for one in found.values() if one is not None]
    listed = sorted(spoke, key=lambda one: one.newest_id, reverse=True)
    if ask.before is not None:
        listed = [one for one in listed if one.newest_id < ask.before]
    return Latest(authors=listed[: ask.limit], more=len(listed) > ask.limit)


KEPT: Final = (
    Kept(friends.circle, keys=_viewer, rest=_nothing, pieces=_circle, whole=_only),
    Kept(users.cards_as_of, keys=_people, rest=_these, pieces=_cards, whole=_by_id),
    Kept(messages.latest_by_authors, keys=_authors, rest=_of_these, pieces=_latest, whole=_page, most=MOST_AUTHORS),
)


# Pages that rest on these alone.


def _now_does_not_matter(ask: TimelineAsk) -> bool:
    """The first page, without an age; what leads on from it is as of when it was made."""
    return ask.cursor is None and ask.max_age is None


RESTING: Final = {get_timeline.name: _now_does_not_matter}

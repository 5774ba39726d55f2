"""What messages keeps: readers' circles and authors' cards, and of its own an author's newest messages, counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from tidings.contracts import friends, messages, users
from tidings.contracts.messages import DEEPER, AuthorPage, AuthorPagesAsk
from tidings.contracts.users import ByIds, UserId
from tidings.platform.cache.by_subject import ids_of, kept_by_subject, numbers_of
from tidings.platform.cache.kept import Kept, Piece
from tidings.platform.clock import now_ms
from tidings.platform.request import Viewer

RECOUNTED: Final = 60_000  # ms: of what is erased with an account nobody is told, and counts go down


def _about(ids: list[UserId]) -> ByIds:
    return ByIds(ids=ids)


# An author's page.


def _authors(viewer: Viewer, ask: AuthorPagesAsk) -> Sequence[int]:
    return numbers_of(ask.ids)


def _pages_of(missing: Sequence[int]) -> AuthorPagesAsk:
    return AuthorPagesAsk(ids=ids_of(missing), to_keep=True)


def _pages(viewer: Viewer, ask: AuthorPagesAsk, found: Mapping[UserId, AuthorPage]) -> list[Piece]:
    until_ms = now_ms() + RECOUNTED
    return [Piece(one.int, page, one, page.as_of, until_ms=until_ms) for one, page in found.items()]


def _whole(ask: AuthorPagesAsk, found: Mapping[int, AuthorPage], as_of_ns: int) -> dict[UserId, AuthorPage]:
    return {one: found[one.int] for one in ask.ids if one.int in found}


def _own_copy(page: AuthorPage) -> AuthorPage:
    """What was decoded is a view of the whole answer, which would be held as long as this is."""
    newest = [msgspec.structs.replace(one, message=one.message.copy()) for one in page.newest]
    return msgspec.structs.replace(page, newest=newest)


def _one_more(key: int, before: AuthorPage, newest: AuthorPage) -> AuthorPage | None:
    """Who was named of the time that the page spans now is among those who were.

    None where it is there already: with MongoDB what was read may be newer than its version.
    """
    if before.newest and before.newest[0].id.int >= newest.newest[0].id.int:
        return None
    return AuthorPage(newest.as_of, [*newest.newest, *before.newest][:DEEPER], before.named)


KEPT: Final = (
    kept_by_subject(friends.circles, _about),
    kept_by_subject(users.cards_as_of, _about),
    Kept(
        messages.author_pages,
        keys=_authors,
        rest=_pages_of,
        pieces=_pages,
        whole=_whole,
        dear=True,
        own=_own_copy,
        stirred_by=(messages.posted, messages.withdrawn, messages.reacted, messages.unreacted),
        onto=_one_more,
    ),
)

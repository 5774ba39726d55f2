"""What messages keeps of others' answers: how people stand to authors, and authors' cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tidings.contracts import friends, users
from tidings.contracts.friends import Pair, Pairs, RelationAsOf
from tidings.contracts.users import ByIds, UserId
from tidings.platform.cache.by_subject import kept_by_subject
from tidings.platform.cache.keeper import Kept, Piece
from tidings.platform.request import Viewer


def _about(ids: list[UserId]) -> ByIds:
    return ByIds(ids=ids)


def _pairs(viewer: Viewer, ask: Pairs) -> Sequence[Pair]:
    return ask.pairs


def _these(missing: Sequence[Pair]) -> Pairs:
    return Pairs(pairs=list(missing))


def _relations(viewer: Viewer, ask: Pairs, found: list[RelationAsOf]) -> list[Piece]:
    return [Piece(pair, one, pair.me, one.as_of) for pair, one in zip(ask.pairs, found, strict=True)]


def _in_order(ask: Pairs, found: Mapping[Pair, RelationAsOf], as_of_ns: int) -> list[RelationAsOf]:
    return [found[pair] for pair in ask.pairs]


KEPT: Final = (
    Kept(friends.relations_as_of, keys=_pairs, rest=_these, pieces=_relations, whole=_in_order),
    kept_by_subject(users.cards_as_of, _about),
)

"""How a bulk call is kept: of which keys its answer is made, what is kept of each, and the answer from those."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar
from uuid import UUID

import msgspec

from tidings.platform.contract import Call, Event
from tidings.platform.request import Viewer

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")
Ask_contra = TypeVar("Ask_contra", contravariant=True)
Answer_co = TypeVar("Answer_co", covariant=True)


class Bring(Protocol[Ask_contra, Answer_co]):
    """Asks the producer."""

    def __call__(self, ask: Ask_contra, /, *, for_others: bool = False) -> Awaitable[tuple[Answer_co, int]]:
        """The answer, and when it had been made, by the producer's clock (ns since 1970).

        `for_others`: it has as much time as any such call, however little who asks has left.
        """
        ...


class Piece(msgspec.Struct, frozen=True, gc=False):
    """What an answer says under one key, as of a version of whom it is about.

    `keep` is False where it is meant for this asker alone; `until_ms`: from then on it is void.
    """

    key: Hashable
    value: Any
    subject: UUID
    version: int
    keep: bool = True
    until_ms: int | None = None


class Further(msgspec.Struct, frozen=True, gc=False):
    """The keys that an answer needs besides those that it had."""

    keys: Sequence[Hashable]


class Ranking(msgspec.Struct, frozen=True):
    """Things in their order, the first first: of each its number, the key whose value holds it, and where there."""

    things: list[tuple[int, Any, int]]


class Limited(Protocol):
    """An ask for the first so many."""

    @property
    def limit(self) -> int: ...


Some = TypeVar("Some", bound=Limited)


@dataclass(frozen=True, slots=True)
class Ranked(Generic[Some, Answer]):
    """`Kept.whole` of an answer that is the first of many things: only what changed of them is ranked anew.

    `rank` puts the values' things in order, and `rank_again` those of the few values that changed since, into the
    order that there was; each may name `Further` keys, or None where that does not tell. Of every key that is asked
    for there is a piece, if an empty one: by it what there was is taken out. `show` is the answer, from the values
    of the first `limit` things.
    """

    rank: Callable[[Some, Mapping[Any, Any]], Ranking | Further | None]
    rank_again: Callable[[Some, Ranking, Mapping[Any, Any]], Ranking | Further | None]
    show: Callable[[Some, Ranking, Mapping[Any, Any], int], Answer]

    def __call__(self, ask: Some, values: Mapping[Any, Any], as_of_ns: int) -> Answer | Further | None:
        ranking = self.rank(ask, values)
        return self.show(ask, ranking, values, as_of_ns) if isinstance(ranking, Ranking) else ranking


Onto: TypeAlias = Callable[[Any, Any, Any], Any]


def _itself(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Kept(Generic[Ask, Answer]):
    """How one safe bulk call is kept and shared. Functions are pure; no keys: this ask is neither.

    It rests on its producer's own data alone. `rest` is the ask for some keys, of this request or of several,
    `pieces` what its answer says of each (who is absent has none), and `whole` the answer to the whole ask from the
    values by key, as of a time (ns since 1970), or None if they do not tell: then it is asked for as it is. It may
    name `Further` keys once, and is called again with their values, too. One that is `Ranked` is remembered.
    `shown`: whether people see what it says. `dear`: more than the ask itself would bring, so that it is worth
    nothing where it is not kept. `own`: a value that may be held for long, of one that may be a view of the answer.
    `many`: the same people ask for many keys, again and again. `leads`: what it tells leads to further calls of the
    same request. `stirred_by`: events that change what it says of those whom they stir, without a new version; what
    is kept is nothing for who has written what was not heard yet.

    `onto`, where what a write tells of a key is not all: by the key, what is kept of the version before, and what
    is told, the value by now; or None, if it is in the former already, which was read late.
    """

    call: Call[Ask, Answer]
    keys: Callable[[Viewer, Ask], Sequence[Hashable]]
    rest: Callable[[Sequence[Any]], Ask]
    pieces: Callable[[Viewer, Ask, Answer], Iterable[Piece]]
    whole: Callable[[Ask, Mapping[Any, Any], int], Answer | Further | None] | Ranked[Any, Answer]
    shown: bool = True
    dear: bool = False
    own: Callable[[Any], Any] = _itself
    many: bool = False
    leads: bool = False
    stirred_by: tuple[Event, ...] = ()
    onto: Onto | None = None

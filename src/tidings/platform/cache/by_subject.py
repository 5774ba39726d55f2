"""How bulk calls by people's ids are kept: each person's part by itself, under the number that their id is.

Python compares and hashes numbers many times as fast as ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, ValuesView
from typing import Any, Protocol, TypeVar
from uuid import UUID

import msgspec

from tidings.platform.cache.kept import Kept, Piece
from tidings.platform.contract import Call
from tidings.platform.request import Viewer


class AsOf(Protocol):
    """What is told with the version of whom it is about."""

    @property
    def as_of(self) -> int: ...


class ByIds(Protocol):
    """An ask about people."""

    @property
    def ids(self) -> Sequence[UUID]: ...


Ask = TypeVar("Ask", bound=ByIds)
Id = TypeVar("Id", bound=UUID)
Told = TypeVar("Told", bound=AsOf)


def numbers_of(ids: Sequence[UUID]) -> list[int]:
    return [one.int for one in ids]


def ids_of(numbers: Sequence[int]) -> list[Any]:
    """In one go: `UUID(int=...)` takes four times as long."""
    return msgspec.convert([one.to_bytes(16, "big") for one in numbers], list[UUID])


class _BySubject(Mapping[Any, Told]):
    """What is told by number, asked for by id: of hundreds, a few are looked up."""

    __slots__ = ("_found",)

    def __init__(self, found: Mapping[int, Told]) -> None:
        self._found = found

    def __getitem__(self, subject: UUID) -> Told:
        return self._found[subject.int]

    def get(self, subject: UUID, default: Any = None) -> Any:
        return self._found.get(subject.int, default)

    def __contains__(self, subject: object) -> bool:
        return isinstance(subject, UUID) and subject.int in self._found

    def __iter__(self) -> Iterator[Any]:
        return iter(ids_of(list(self._found)))

    def __len__(self) -> int:
        return len(self._found)

    def values(self) -> ValuesView[Told]:
        return self._found.values()


def kept_by_subject(
    call: Call[Ask, Mapping[Id, Told]],
    ask_for: Callable[[list[Any]], Ask],
    *,
    many: bool = False,
    leads: bool = False,
) -> Kept[Ask, Mapping[Id, Told]]:
    """A call that tells of each person; who is absent is asked for each time. `ask_for` makes an ask of ids."""

    def keys(viewer: Viewer, ask: Ask) -> Sequence[int]:
        return numbers_of(ask.ids)

    def rest(missing: Sequence[int]) -> Ask:
        return ask_for(ids_of(missing))

    def pieces(viewer: Viewer, ask: Ask, found: Mapping[Id, Told]) -> list[Piece]:
        return [Piece(user_id.int, one, user_id, one.as_of) for user_id, one in found.items()]

    def whole(ask: Ask, found: Mapping[int, Told], as_of_ns: int) -> Mapping[Any, Told]:
        return _BySubject(found)

    return Kept(call, keys=keys, rest=rest, pieces=pieces, whole=whole, many=many, leads=leads)

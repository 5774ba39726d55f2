"""How bulk calls by people's ids are kept: each person's part by itself, under the number that their id is.

Python compares and hashes numbers many times as fast as ids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar
from uuid import UUID

import msgspec

from tidings.platform.cache.keeper import Kept, Piece
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


def kept_by_subject(
    call: Call[Ask, dict[Id, Told]], ask_for: Callable[[list[Any]], Ask]
) -> Kept[Ask, dict[Id, Told]]:
    """A call that tells of each person; who is absent is asked for each time. `ask_for` makes an ask of ids."""

    def keys(viewer: Viewer, ask: Ask) -> Sequence[int]:
        return numbers_of(ask.ids)

    def rest(missing: Sequence[int]) -> Ask:
        return ask_for(ids_of(missing))

    def pieces(viewer: Viewer, ask: Ask, found: dict[Id, Told]) -> list[Piece]:
        return [Piece(user_id.int, one, user_id, one.as_of) for user_id, one in found.items()]

    def whole(ask: Ask, found: Mapping[int, Told], as_of_ns: int) -> dict[Any, Told]:
        return {user_id: told for user_id in ask.ids if (told := found.get(user_id.int)) is not None}

    return Kept(call, keys=keys, rest=rest, pieces=pieces, whole=whole)

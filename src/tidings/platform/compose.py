"""Composites: a skeleton of ids, the needs that hydrate it, and two pure functions that keep and present."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from tidings.platform.cache.keeper import Begun
from tidings.platform.contract import Call, Unavailable
from tidings.platform.request import Viewer
from tidings.platform.together import together
from tidings.platform.world import World

Skeleton = TypeVar("Skeleton")
Ask = TypeVar("Ask")
Kept = TypeVar("Kept")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Need(Generic[Skeleton]):
    """One bulk call. `keys` makes its ask from the skeleton; None means that nothing has to be asked.

    An `optional` need that can't be reached is None among the parts, and its service is `unreachable`.
    """

    call: Call[Any, Any]
    keys: Callable[[Skeleton], Any]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Parts:
    """What the needs brought, by name, and the services that did not answer."""

    values: Mapping[str, Any]
    unreachable: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


@dataclass(frozen=True)
class Composite(Generic[Ask, Skeleton, Kept, Answer]):
    """A resource made from others. It declares what it needs; it codes no I/O beyond its skeleton.

    `skeleton` reads ids; the needs run together; `keep` drops what must not be shown; `present` shapes the rest.
    """

    skeleton: Callable[[Any, Viewer, Ask], Awaitable[Skeleton]]
    needs: Mapping[str, Need[Skeleton]]
    keep: Callable[[Skeleton, Parts], Kept]
    present: Callable[[Kept], Answer]
    name: str = field(default="composite")

    async def read(self, holder: Any, world: World, viewer: Viewer, ask: Ask) -> Answer:
        """Answer. Raises `Unavailable` naming the first needed service that can't be reached."""
        skeleton = await self.skeleton(holder, viewer, ask)
        values, unreachable = dict.fromkeys(self.needs), list[str]()

        async def bring(name: str, begun: Begun[Any]) -> None:
            need = self.needs[name]
            try:
                values[name] = await begun
            except Unavailable:
                if not need.optional:
                    raise
                unreachable.append(need.call.service)

        waited_for: list[tuple[str, Begun[Any]]] = []
        for name, need in self.needs.items():
            if (keys := need.keys(skeleton)) is not None:
                begun = world.begin(need.call, keys)
                values[name] = begun.answer
                if begun.answer is None:
                    waited_for.append((name, begun))
        if waited_for:
            await together(*(bring(*one) for one in waited_for))
        return self.present(self.keep(skeleton, Parts(values, tuple(unreachable))))

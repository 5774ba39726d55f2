"""Composites: a skeleton of ids, the needs that hydrate it, and two pure functions that keep and present."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

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
        names, unreachable = list(self.needs), list[str]()

        async def bring(need: Need[Skeleton]) -> Any:
            keys = need.keys(skeleton)
            if keys is None:
                return None
            try:
                return await world.call(need.call, keys)
            except Unavailable:
                if not need.optional:
                    raise
                unreachable.append(need.call.service)
                return None

        values = await together(*(bring(self.needs[name]) for name in names))
        parts = Parts(dict(zip(names, values, strict=True)), tuple(unreachable))
        return self.present(self.keep(skeleton, parts))

"""The reactions of one process: what happens in it reaches them without a way over the bus."""

from __future__ import annotations

from typing import Protocol, TypeAlias

from tidings.platform.events.roster import Roster
from tidings.platform.occurrence import Occurred


class Neighbour(Protocol):
    """One service's reactions to one producer's events."""

    async def react_here(self, one: Occurred) -> bool:
        """React, and return True once the effect is durable; False where the bus had better see to it."""
        ...


Neighbours: TypeAlias = Roster[Neighbour]
"""By event, all services that own data and react to it."""

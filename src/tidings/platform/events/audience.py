"""Those of one process who hear producers in passing: what is said in it reaches them, and not over the bus."""

from __future__ import annotations

from typing import Protocol, TypeAlias

from tidings.platform.events.beat import Beat
from tidings.platform.events.roster import Roster
from tidings.platform.occurrence import Occurred

Said: TypeAlias = Occurred | Beat


class Hearer(Protocol):
    """A service, or the edge."""

    def hears(self, producer: str, said: Said) -> None:
        """It is taken in behind all that was said before, and not waited for."""
        ...


Audience: TypeAlias = Roster[Hearer]
"""By producer, all who hear what it says in passing."""

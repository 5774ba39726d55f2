"""What timeline holds: its view of the other services, the seal of its cursors, and who listens."""

from __future__ import annotations

from dataclasses import dataclass

from tidings.platform.cursors import Cursors
from tidings.platform.temporary.port import Temporary
from tidings.platform.world import World
from tidings.services.timeline.hub import Hub


@dataclass(frozen=True, slots=True)
class Timeline:
    """Given to every handler."""

    world: World
    cursors: Cursors
    hub: Hub
    temporary: Temporary
    wait: float  # seconds for news; then the edge looks again whether the listener is still signed in

    def missed(self) -> None:
        """Events were lost on their way here."""
        self.hub.missed()

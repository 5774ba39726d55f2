"""What timeline holds: its view of the other services, and the seal of its cursors."""

from __future__ import annotations

from dataclasses import dataclass

from tidings.platform.cursors import Cursors
from tidings.platform.world import World


@dataclass(frozen=True, slots=True)
class Timeline:
    """Given to every handler."""

    world: World
    cursors: Cursors

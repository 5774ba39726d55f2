"""Pauses that differ a little, so that replicas take turns."""

from __future__ import annotations

import os
import random
from typing import Final

# Our own generator: the shared one is for those who seed it, tests above all.
_random: Final = random.Random()  # noqa: S311
os.register_at_fork(after_in_child=_random.seed)


def jittered(seconds: float) -> float:
    """Between half and one and a half of `seconds`."""
    return seconds * _random.uniform(0.5, 1.5)

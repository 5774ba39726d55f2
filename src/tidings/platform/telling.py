"""What a write knows of a bulk call's next answer: caches of its process take that, and need not ask."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from tidings.platform.contract import Call

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")


class Telling(msgspec.Struct, frozen=True):
    """What `call` answers to `ask` from a commit on, by the version that the commit gives to its subject.

    `began` and `began_ns`: a time before the commit, by `time.monotonic` and `time.time_ns`.
    """

    call: Call[Any, Any]
    ask: Any
    answer: Callable[[int], Any]
    began: float
    began_ns: int


def telling(call: Call[Ask, Answer], ask: Ask, answer: Callable[[int], Answer]) -> Telling:
    """Made before the commit. `answer` says, by the version, just what the producer would after it."""
    return Telling(call, ask, answer, time.monotonic(), time.time_ns())

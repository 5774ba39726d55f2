"""The ids that a composite starts from, with what was asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from tidings.contracts import messages, timeline
from tidings.contracts.users import UserId
from tidings.services.timeline.rules import FeedPosition, TimelinePosition

Seal = Callable[[msgspec.Struct], str]


@dataclass(frozen=True, slots=True)
class TimelineSkeleton:
    """Friends who are not muted, and the page that is wanted of them."""

    ask: timeline.TimelineAsk
    friends: list[UserId]
    muted: int
    rules: messages.Rules
    position: TimelinePosition | None
    read_at_ms: int
    seal: Seal


@dataclass(frozen=True, slots=True)
class FeedSkeleton:
    """Friends who are not muted, oneself, and the side of the cursor."""

    friends: list[UserId]
    me: UserId
    muted: int
    position: FeedPosition | None
    limit: int
    room: int
    seal: Seal

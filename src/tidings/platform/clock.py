"""Time as the product uses it: milliseconds since 1970 inside, RFC 3339 in UTC outside."""

from __future__ import annotations

import time
from typing import Annotated, Final

import msgspec

SKEW_NS: Final = 200_000_000  # by which the clocks of one fleet may differ
Instant = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def stamp_ns() -> int:
    """Nanoseconds since 1970, never the same twice and never back in one process: the end of a read is known by it.

    Always even: see `seen.merged`.
    """
    global _last_ns  # noqa: PLW0603 - one clock, one process
    _last_ns = max(_last_ns + 2, time.time_ns() & ~1)
    return _last_ns


_last_ns = 0


def rfc3339(ms: int) -> str:
    """`2026-01-31T23:59:59.042Z` (RFC 3339, always UTC, always three decimals)."""
    seconds, rest = divmod(ms, 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:03d}Z"

"""Temporary data: counters and marks that end by themselves. Lost, things are laxer for a minute, never wrong."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, Protocol

import msgspec

# All that a service's user may do in Valkey, beside what a connection says of itself.
COMMANDS: Final = (
    "incrby", "expire", "set", "exists", "ping", "hello", "auth", "select", "client|setinfo", "client|setname",
    "cluster|slots", "cluster|shards", "readonly",
)  # fmt: skip


class ValkeyAddress(msgspec.Struct, frozen=True):
    """Where it is (`valkey://HOST:PORT`; `?cluster=true` for a cluster), and as whom to come."""

    url: str
    user: str
    password: str

    def __repr__(self) -> str:  # the default one would show the password
        return f"ValkeyAddress(url={self.url!r}, user={self.user!r})"


class Temporary(Protocol):
    """Of one service, whose keys are its own. None, or nothing, where nobody can be asked: then go on without."""

    async def add(self, counts: Mapping[str, int], *, seconds: int) -> dict[str, int] | None:
        """Add to counters; what each is now, of all processes together. A counter ends so long after its first."""
        ...

    async def mark(self, keys: Collection[str], *, seconds: int) -> None:
        """Note each, for so long from now."""
        ...

    async def marked(self, keys: Collection[str]) -> set[str]:
        """Those that are noted."""
        ...

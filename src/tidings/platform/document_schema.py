"""How a service declares its collections in a document database: their indexes, and the key that routes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import msgspec


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """`keys` ascend, but for those that begin with a minus.

    `where`: only documents that match it, which each query that uses the index says too (a partial index).
    `expires`: how long after the time in its only key a document is removed.
    """

    keys: tuple[str, ...]
    unique: bool = False
    where: dict[str, Any] | None = None
    expires: timedelta | None = None

    @property
    def name(self) -> str:
        named = "_".join(key.strip("-_") for key in self.keys)
        return f"by_{named}{'_expires' if self.expires else ''}"

    @property
    def directions(self) -> list[tuple[str, int]]:
        return [(key.removeprefix("-"), -1 if key.startswith("-") else 1) for key in self.keys]


class Collection(msgspec.Struct, frozen=True, kw_only=True):
    """`routed` collections hold `bucket`: all that lies with one person is on one shard. Others are small."""

    name: str
    indexes: tuple[Index, ...] = ()
    routed: bool = True


class DocumentSchema(msgspec.Struct, frozen=True, kw_only=True):
    """`compatible_down_to` is the oldest revision whose code still works on it."""

    revision: str
    compatible_down_to: str
    collections: tuple[Collection, ...]


BY_ID: Final = Index(keys=("bucket", "_id"))  # the key of each routed collection

FOUNDATION: Final = (
    Collection(name="fence"),
    Collection(
        name="outbox",
        indexes=(
            Index(keys=("waiting", "created_at"), where={"waiting": True}),
            Index(keys=("published_at", "_id")),
            Index(keys=("published_at",), expires=timedelta(days=7)),
        ),
    ),
    Collection(
        name="idempotency",
        indexes=(Index(keys=("bucket", "scope")), Index(keys=("created_at",), expires=timedelta(hours=24))),
    ),
    Collection(
        name="branch",
        indexes=(
            Index(keys=("state", "prepared_at"), where={"state": "prepared"}),
            Index(keys=("ended_at",)),
        ),
        routed=False,
    ),
    Collection(name="relay_lease", routed=False),
    Collection(name="cache_register", routed=False),
    Collection(name="inbox", indexes=(Index(keys=("done_at",), expires=timedelta(days=14)),), routed=False),
    Collection(name="reaction_failures", routed=False),
    Collection(name="dead_letters", indexes=(Index(keys=("dead_at", "_id")),), routed=False),
    Collection(name="reconciled", routed=False),
)

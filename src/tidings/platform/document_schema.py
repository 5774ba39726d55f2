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
    """`key` routes: what lies with one person has their `bucket`, and is on one shard. None: it is small, on one.

    NOTE: a second index that begins with the bucket may be taken for the first, and walks all of a bucket.
    """

    name: str
    indexes: tuple[Index, ...] = ()
    key: tuple[str, ...] | None = ("bucket", "_id")

    @property
    def all_indexes(self) -> tuple[Index, ...]:
        """With one that begins with the key."""
        if self.key is None or any(one.keys[: len(self.key)] == self.key for one in self.indexes):
            return self.indexes
        return (Index(keys=self.key), *self.indexes)


class DocumentSchema(msgspec.Struct, frozen=True, kw_only=True):
    """`compatible_down_to` is the oldest revision whose code still works on it."""

    revision: str
    compatible_down_to: str
    collections: tuple[Collection, ...]


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
        key=("bucket", "scope", "_id"),
        indexes=(Index(keys=("created_at",), expires=timedelta(hours=24)),),
    ),
    Collection(
        name="branch",
        indexes=(
            Index(keys=("state", "prepared_at"), where={"state": "prepared"}),
            Index(keys=("ended_at",)),
        ),
        key=None,
    ),
    Collection(name="relay_lease", key=None),
    Collection(name="cache_register", key=None),
    Collection(name="inbox", indexes=(Index(keys=("done_at",), expires=timedelta(days=14)),), key=None),
    Collection(name="reaction_failures", key=None),
    Collection(name="dead_letters", indexes=(Index(keys=("dead_at", "_id")),), key=None),
    Collection(name="reconciled", key=None),
)

"""Which engine a database's URL means."""

from __future__ import annotations

from typing import Final

POSTGRES_SCHEMES: Final = ("postgres", "postgresql")
MONGO_SCHEMES: Final = ("mongodb", "mongodb+srv")


def is_mongo(url: str) -> bool:
    scheme, slashes, _ = url.partition("://")
    return bool(slashes) and scheme in MONGO_SCHEMES

"""Whatever a driver says of a connection that broke is the database being away, and no fault of ours."""

from __future__ import annotations

from typing import Any, cast

import asyncpg
import pytest

from tidings.platform.contract import Unavailable
from tidings.platform.storage.postgres import Database


class BrokenPool:
    """Its connection broke in the middle of something."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def fetch(self, *_: Any) -> Any:
        raise self._error

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress"),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        asyncpg.InterfaceError("cannot perform operation: connection is closed"),
        ConnectionResetError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_broken_connection_is_a_database_that_is_away(error: Exception) -> None:
    pool = cast("Any", BrokenPool(error))
    database = Database("test", "", pool, pool)
    try:
        with pytest.raises(Unavailable) as refused:
            await database.ready()
        assert refused.value.service == "test"
    finally:
        await database.close()

"""A service's temporary data: in Valkey where there is one, else in each process alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tidings.platform.temporary.memory import InMemory
from tidings.platform.temporary.port import Temporary, ValkeyAddress


@asynccontextmanager
async def open_temporary(address: ValkeyAddress | None) -> AsyncIterator[Temporary]:
    if address is None:
        yield InMemory()
        return
    # Here, so that who has none does without the driver's memory.
    from tidings.platform.temporary import valkey

    async with valkey.opened(address) as temporary:
        yield temporary

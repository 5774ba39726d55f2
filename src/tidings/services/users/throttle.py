"""Wrong passwords: few for one account, and not many from one address, whichever accounts they were for."""

from __future__ import annotations

import time
from collections.abc import Collection
from hashlib import blake2b
from typing import Final

from tidings.platform.contract import TooManyRequests
from tidings.platform.request import current
from tidings.platform.temporary.memory import InMemory
from tidings.platform.temporary.port import Temporary

WINDOW: Final = 900  # seconds
AN_ADDRESS: Final = 5  # times as many as for one account


class Throttle:
    """Counted with all processes together, and in this one: without Valkey that is what is left."""

    def __init__(self, temporary: Temporary, *, most: int) -> None:
        self._shared = temporary
        self._own = InMemory()
        self._most = most  # for one account; 0: no limit

    async def spend(self, account: str) -> Collection[str]:
        """Count a try before the password is looked at, so that many at once are as many. What `refund` takes.

        Raises `TooManyRequests`, alike for an account that is there and one that is not.
        """
        if not self._most:
            return ()
        limits, ends = self._limits(account)
        own, shared = await self._add(limits, 1)
        if any(max(own[key], shared.get(key, 0)) > most for key, most in limits.items()):
            wait = max(1, int(ends - time.time()))
            raise TooManyRequests(
                f"Too many wrong passwords. Try again in {-(-wait // 60)} minutes.", retry_after=wait
            )

        return limits

    async def refund(self, spent: Collection[str]) -> None:
        """The password was right."""
        await self._add(spent, -1)

    async def _add(self, keys: Collection[str], count: int) -> tuple[dict[str, int], dict[str, int]]:
        counts = dict.fromkeys(keys, count)
        own = await self._own.add(counts, seconds=WINDOW)
        return own, await self._shared.add(counts, seconds=WINDOW) or {}

    def _limits(self, account: str) -> tuple[dict[str, int], float]:
        """What counts for whom, and when it is forgotten. No key names anybody."""
        window = int(time.time() // WINDOW)
        limits = {f"account {window} {_digest(account)}": self._most}
        if address := current().address:
            limits[f"address {window} {_digest(address)}"] = self._most * AN_ADDRESS
        return limits, (window + 1) * WINDOW


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()

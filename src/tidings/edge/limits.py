"""How often somebody may ask: counted here for each request, and now and then with all other fronts together.

A person who is signed in is counted as such, anybody else by their address. Without Valkey each front counts alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network
from typing import Final, Literal
from uuid import UUID

import msgspec

from tidings.platform import logs
from tidings.platform.contract import TooManyRequests
from tidings.platform.ending import ended
from tidings.platform.settings import Settings
from tidings.platform.temporary.port import Temporary

log = logs.get_logger("limits")

WINDOW: Final = 60  # seconds
HEADERS: Final = (b"ratelimit-policy", b"ratelimit")
TOLD_EVERY: Final = 0.5  # seconds between two exchanges with the others
WORTH_TELLING: Final = 100  # the part of a limit that somebody has to have used since they were told of

Policy = Literal["person", "address"]


class Allowance(msgspec.Struct, frozen=True):
    """What is left of a limit, as its header fields say it (draft-ietf-httpapi-ratelimit-headers)."""

    policy: Policy
    limit: int
    left: int
    seconds: int  # until the window ends

    def check(self) -> None:
        """Raises `TooManyRequests` where nothing was left."""
        if self.left < 0:
            who = "This address" if self.policy == "address" else "You"
            raise TooManyRequests(
                f"{who} asked more than {self.limit} times in {WINDOW} seconds. Go on in {self.seconds} seconds.",
                retry_after=self.seconds,
            )

    def fields(self) -> list[tuple[bytes, bytes]]:
        policy = f'"{self.policy}";q={self.limit};w={WINDOW}'
        left = f'"{self.policy}";r={max(0, self.left)};t={self.seconds}'
        return [(HEADERS[0], policy.encode()), (HEADERS[1], left.encode())]


class Limits:
    """Of one front."""

    def __init__(self, temporary: Temporary, settings: Settings) -> None:
        self._temporary = temporary
        self._most = {"person": settings.limit_person, "address": settings.limit_address}
        self._window = 0
        self._untold: dict[Hashable, int] = {}
        self._known: dict[Hashable, int] = {}  # of all fronts, as of the last exchange

    def spend(self, viewer: UUID | None, address: str) -> Allowance | None:
        """Count one request; what is left. None where nothing is limited."""
        policy: Policy = "address" if viewer is None else "person"
        most = self._most[policy]
        if not most:
            return None
        now = time.time()
        self._turn(int(now // WINDOW))
        who: Hashable = network_of(address) if viewer is None else viewer
        count = self._untold[who] = self._untold.get(who, 0) + 1
        left = most - self._known.get(who, 0) - count
        return Allowance(policy, most, left, max(1, int((self._window + 1) * WINDOW - now)))

    def give_back(self, viewer: UUID) -> None:
        """Take back one request that is going to be counted again."""
        if viewer in self._untold:
            self._untold[viewer] -= 1

    async def exchange(self) -> None:
        """Tell what was counted here, and learn what it is by now with that of all others.

        Who asks seldom is told of when it adds up: else all would be told of each time, while nothing is answered.
        """
        worth = {policy: max(1, most // WORTH_TELLING) for policy, most in self._most.items()}
        told = {
            who: count
            for who, count in self._untold.items()
            if count >= worth["address" if isinstance(who, str) else "person"]
        }
        if not told:
            return
        window = self._window
        for who, count in told.items():
            self._known[who] = self._known.get(who, 0) + count
            del self._untold[who]
        names = {who: f"{'address' if isinstance(who, str) else 'person'} {window} {who}" for who in told}
        totals = await self._temporary.add({names[who]: count for who, count in told.items()}, seconds=2 * WINDOW)
        if totals is not None and window == self._window:  # else we go on with what we know
            self._known.update({who: totals[name] for who, name in names.items() if name in totals})

    def _turn(self, window: int) -> None:
        if window != self._window:
            self._window = window
            self._untold.clear()
            self._known.clear()


def network_of(address: str) -> str:
    """What counts as one address: of IPv6 a household has 2^64 of them (RFC 6177)."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ip_network((parsed, 64), strict=False))


@asynccontextmanager
async def limiting(temporary: Temporary, settings: Settings) -> AsyncIterator[Limits]:
    """Count within the block."""
    limits = Limits(temporary, settings)
    task = asyncio.create_task(_exchanging(limits), name="exchange of limits")
    try:
        yield limits
    finally:
        await ended(task)


async def _exchanging(limits: Limits) -> None:
    while True:
        await asyncio.sleep(TOLD_EVERY)
        try:
            await limits.exchange()
        except Exception:
            log.exception("limits_not_exchanged")

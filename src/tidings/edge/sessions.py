"""Who holds a session's token. While what was found still stands it is not looked up again."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from tidings.contracts import users
from tidings.platform import metrics
from tidings.platform.cache.resting import Part, gathering, resting_on
from tidings.platform.cache.shelf import TOUCHED
from tidings.platform.contract import Unauthenticated
from tidings.platform.request import Request, Viewer
from tidings.platform.seen import seen
from tidings.platform.world import World

STRANGER: Final = Viewer()
MOST: Final = 10_000  # sessions that are remembered


@dataclass(slots=True)
class _Found:
    viewer: Viewer
    part: Part  # that it rests on
    touched_at: float  # time.monotonic()


def digest_of(token: str) -> bytes:
    """By which a token is known."""
    return hashlib.sha256(token.encode()).digest()


class Sessions:
    """Of one front. A token is known by its digest."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._found: OrderedDict[bytes, _Found] = OrderedDict()  # who asked longest ago first

    async def holder(self, digest: bytes, deadline: float) -> Viewer:
        """`Unauthenticated` if nobody holds it."""
        found = self._found.get(digest)
        if found is not None and self._stands(found):
            self._found.move_to_end(digest)
            return found.viewer
        self._found.pop(digest, None)
        outer = resting_on()
        with gathering() as resting:
            asked = users.TokenDigests(digests=[digest])
            stranger = Request(viewer=STRANGER, caller="edge", deadline=deadline)
            [signed_in] = await self._world.call(users.whois, asked, request=stranger)
        if outer is not None:
            outer.also(resting)
        if signed_in is None:
            raise Unauthenticated("This token is unknown, expired or revoked. Sign in again.")
        viewer = Viewer(user_id=signed_in.user_id, role=signed_in.role, session_id=signed_in.session_id)
        if resting.whole and len(resting.parts) == 1:
            self._found[digest] = _Found(viewer, resting.parts[0], time.monotonic())
            if len(self._found) > MOST:
                self._found.popitem(last=False)
        return viewer

    def _stands(self, found: _Found) -> bool:
        """Whether it would be found again; then it counts as used, and as rested on."""
        part = found.part
        if not part.shelf.still(part.held, seen()):
            return False
        metrics.cache_read(holder=part.holder, call=part.call, hits=len(part.held.entries), misses=0)
        if (now := time.monotonic()) - found.touched_at > TOUCHED:
            found.touched_at = now
            part.shelf.touch(part.held.entries)
        if (resting := resting_on()) is not None:
            resting.on(part)
        return True

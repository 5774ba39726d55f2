"""What stands before each service that is called from here: a limit, a breaker, and a budget for second tries."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

from tidings.platform import logs, metrics
from tidings.platform.contract import Unavailable

WINDOW: Final = 5.0  # seconds in which failures are counted together
FAILURES: Final = 10  # that many in the window, and half of all calls that ended in it: then it is open
OPEN_FOR: Final = 1.0  # seconds until one call may look whether the service is back
RETRY_COSTS: Final = 10  # each answer brings 1: one in ten calls may be tried again
RETRIES_SAVED: Final = 10
RETRY_ANYWAY: Final = 1.0  # seconds; a service that is hardly asked has one second try as often

CLOSED, OPEN, PROBING = 0, 1, 2

log = logs.get_logger("dependency")


class Dependency:
    """One service, for all who call it in this process: `enter`, and `leave` whatever came of it.

    It has no lock and is for one event loop. Calls that change something have a fifth of the room to themselves.
    `slow`: seconds after which an answer does not show that it is back.
    """

    __slots__ = (
        "_anyway_at",
        "_clock",
        "_closed_at",
        "_ended",
        "_failed",
        "_most",
        "_most_safe",
        "_opened_at",
        "_saved",
        "_slow",
        "service",
        "state",
        "under_way",
    )

    def __init__(
        self, service: str, *, most: int, slow: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.service = service
        self._slow = slow
        self.state = CLOSED
        self.under_way = 0
        self._most = most
        self._most_safe = max(1, most - most // 5)
        self._clock = clock
        self._ended = 0
        self._failed: deque[tuple[float, int]] = deque()  # when, and how many calls had ended by then
        self._opened_at = self._closed_at = self._anyway_at = 0.0
        self._saved = RETRIES_SAVED * RETRY_COSTS

    def enter(self, safe: bool) -> bool:
        """Begin a call; True for the one that looks whether the service is back.

        Raises `Unavailable` at once, for nobody is made to wait here: who waits holds what others wait for.
        """
        if self.under_way >= (self._most_safe if safe else self._most):
            metrics.call_held_back(callee=self.service, reason="full")
            raise Unavailable(
                f"{self.service} has as much to do as it can. Try again.", service=self.service, retry_after=1
            )
        probe = self.state != CLOSED and self._probe()
        self.under_way += 1
        return probe

    def leave(self, failed: bool | None, probe: bool, began: float) -> None:
        """End what `enter` began, at `began` by the clock. `failed` is None if it was given up by who asked.

        It failed if nothing came back in time, or at all; a refusal is an answer.
        """
        self.under_way -= 1
        if self.state != CLOSED:
            if probe:
                self._settle(failed, began)
            return  # all others are from before
        self._ended += 1
        if failed is not False:
            if failed:
                self._note(began)
        elif self._saved < RETRIES_SAVED * RETRY_COSTS:
            self._saved += 1

    def may_retry(self) -> bool:
        """Take a second try from the budget: what is too weak to answer is not asked twice by everybody."""
        if self._saved >= RETRY_COSTS:
            self._saved -= RETRY_COSTS
            return True
        now = self._clock()
        if now - self._anyway_at < RETRY_ANYWAY:
            return False
        self._anyway_at = now
        return True

    def _probe(self) -> bool:
        now = self._clock()
        # One that takes long by its nature (an export) must not keep all others waiting.
        if now - self._opened_at < (OPEN_FOR if self.state == OPEN else self._slow):
            metrics.call_held_back(callee=self.service, reason="open")
            raise Unavailable(
                f"{self.service} does not answer now. Try again.", service=self.service, retry_after=1
            )
        self.state, self._opened_at = PROBING, now
        return True

    def _settle(self, failed: bool | None, began: float) -> None:
        now = self._clock()
        if failed is False and now - began < self._slow:
            self.state, self._closed_at = CLOSED, now
            log.info("dependency_back", callee=self.service)
            return
        self.state = OPEN
        self._opened_at = now - OPEN_FOR if failed is None else now  # given up: the next may look at once

    def _note(self, began: float) -> None:
        if began < self._closed_at:  # from before it was found to be back
            return
        now, failed = self._clock(), self._failed
        failed.append((now, self._ended))
        while failed[0][0] < now - WINDOW:
            failed.popleft()
        if len(failed) >= FAILURES and 2 * len(failed) > self._ended - failed[0][1]:
            failed.clear()
            self.state, self._opened_at = OPEN, now
            log.warning("dependency_cut_off", callee=self.service, under_way=self.under_way)


class Dependencies:
    """All of one process, made as they are first called."""

    def __init__(self, *, most: int, slow: float) -> None:
        self._most = most
        self._slow = slow
        self._made: dict[str, Dependency] = {}

    def __call__(self, service: str) -> Dependency:
        made = self._made.get(service)
        if made is None:
            made = self._made[service] = Dependency(service, most=self._most, slow=self._slow)
            metrics.watch_dependency(service, made)
        return made

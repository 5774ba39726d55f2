"""One bulk call for several requests: while enough of them are under way, keys gather, and then go together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Final, Generic, TypeVar
from weakref import WeakSet

Answer = TypeVar("Answer")
Send = Callable[[Sequence[Hashable]], Awaitable[Answer]]

AT_ONCE: Final = 1  # calls; while fewer are under way, only those of the same turn of the loop go together
WINDOW: Final = 0.002  # seconds; nobody waits longer for others, but for a crowd
CROWD: Final = 4  # requests that a leading call answers, and that are not done yet
PATIENCE: Final = 0.25  # seconds; nobody waits longer for a crowd
LOOK: Final = 0.005  # seconds; after so long in which this process hardly did anything nobody waits for a crowd
BEFORE: Final = 0.02  # seconds and more; after so long in which it hardly did anything nobody begins to wait
BUSY: Final = 0.4  # of that time, on a processor
MOST_KEYS: Final = 2000  # of several requests together


class _Gathering(Generic[Answer]):
    """Keys that go with the next call, and who waits for its answer. The first who came sends it."""

    def __init__(self, send: Send[Answer]) -> None:
        self.send = send
        self.keys: set[Hashable] = set()
        self.waiting: list[asyncio.Future[Answer]] = []
        self.askers: set[asyncio.Task[Any]] = set()
        self.context = copy_context()  # of who sends it: its trace goes on there
        self.gone = False
        self.for_a_crowd = False  # it waits until one is done


class Sharing(Generic[Answer]):
    """Of one call of one caller. A call that was sent is nobody's request any more: it ends even if all give up.

    One that `leads` to further calls of the same requests goes again once those whom it answered are done: whoever
    came meanwhile is then together in all that follows, too. That is worth it while there is much to do here: a
    crowd that waits itself (for a slow service, or for news) is not waited for, nor is who takes long.
    """

    def __init__(self, *, leads: bool = False) -> None:
        self._leads = leads
        self._gathering: _Gathering[Answer] | None = None
        self._under_way: set[asyncio.Task[None]] = set()
        self._at_work: set[asyncio.Task[Any]] = set()  # who asked of late, and is not done
        self._lasting: WeakSet[asyncio.Task[Any]] = WeakSet()  # who took long
        self._looked: tuple[float, float] | None = None  # by the clock, and what this thread had worked by then
        self._is_busy = True

    async def ask(self, keys: Sequence[Hashable], send: Send[Answer]) -> tuple[Answer, bool]:
        """The answer to a call that was sent after this, for these keys and maybe more; and whether `send` made it.

        Raises what the call raises.
        """
        loop = asyncio.get_running_loop()
        asker = asyncio.current_task() if self._leads else None
        again = asker is not None and asker in self._at_work
        if asker is not None:
            self._at_work.discard(asker)  # it does not wait for itself
        gathering = self._gathering
        if gathering is not None and len(gathering.keys) + len(keys) > MOST_KEYS:
            self._go(gathering)
            gathering = None
        first = gathering is None
        if gathering is None:
            gathering = self._gathering = _Gathering(send)
            busy = self._leads and self._was_busy()
            gathering.for_a_crowd = busy and self._is_crowded()  # which is none when its `PATIENCE` is over
            if gathering.for_a_crowd:
                loop.call_later(LOOK, self._look_whether_busy, gathering, time.thread_time())
            elif len(self._under_way) < AT_ONCE:
                self._go(gathering)
            else:
                loop.call_later(WINDOW, self._go_on, gathering)
        gathering.keys.update(keys)
        if asker is not None and asker not in self._lasting:
            gathering.askers.add(asker)
        answered: asyncio.Future[Answer] = loop.create_future()  # of each one's own: who gives up, gives up alone
        gathering.waiting.append(answered)
        if again:
            self._look_on()
        return await answered, first

    def _go_on(self, gathering: _Gathering[Answer]) -> None:
        """It goes, unless it went, or all have given up who asked."""
        if not gathering.gone and all(waits.done() for waits in gathering.waiting):
            gathering.gone = True
            if gathering is self._gathering:
                self._gathering = None
        self._go(gathering)

    def _go(self, gathering: _Gathering[Answer]) -> None:
        if gathering.gone:
            return
        gathering.gone = True
        task = asyncio.get_running_loop().create_task(self._call(gathering), context=gathering.context)
        self._under_way.add(task)
        task.add_done_callback(partial(self._ended, gathering))

    async def _call(self, gathering: _Gathering[Answer]) -> None:
        if gathering is self._gathering:  # until here, in the next turn of the loop, keys came to it
            self._gathering = None
        self._wait_for(gathering.askers)
        try:
            answer = await gathering.send(list(gathering.keys))
        except asyncio.CancelledError:
            for waits in gathering.waiting:
                waits.cancel()
            raise
        except Exception as error:
            for waits in gathering.waiting:
                if not waits.done():
                    waits.set_exception(error)
        else:
            for waits in gathering.waiting:
                if not waits.done():
                    waits.set_result(answer)

    def _ended(self, gathering: _Gathering[Answer], task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if gathering is self._gathering:  # it was ended before it began
            self._gathering = None
            for waits in gathering.waiting:
                waits.cancel()
        if not task.cancelled():
            self._look_on()

    # Who is waited for.

    def _is_crowded(self) -> bool:
        return len(self._at_work) >= CROWD

    def _was_busy(self) -> bool:
        """Whether there was much to do since calls were gathered last. Where not, nobody begins to wait."""
        now = time.monotonic()
        before = self._looked
        if before is None or now - before[0] >= BEFORE:
            self._looked = now, time.thread_time()
            if before is not None:
                self._is_busy = self._looked[1] - before[1] >= BUSY * (now - before[0])
        return self._is_busy

    def _look_whether_busy(self, gathering: _Gathering[Answer], worked_before: float) -> None:
        if gathering.gone or not gathering.for_a_crowd:
            return
        worked = time.thread_time()
        if worked - worked_before < BUSY * LOOK:
            self._go_on(gathering)
        else:
            asyncio.get_running_loop().call_later(LOOK, self._look_whether_busy, gathering, worked)

    def _wait_for(self, askers: set[asyncio.Task[Any]]) -> None:
        if askers:
            self._at_work |= askers
            for asker in askers:
                asker.add_done_callback(self._done, context=Context())
            asyncio.get_running_loop().call_later(PATIENCE, self._take_long, askers, context=Context())

    def _done(self, asker: asyncio.Task[Any]) -> None:
        self._at_work.discard(asker)
        self._look_on()

    def _take_long(self, askers: set[asyncio.Task[Any]]) -> None:
        still = self._at_work & askers
        for asker in still:
            asker.remove_done_callback(self._done)
        self._at_work -= still
        self._lasting |= still
        self._look_on()

    def _look_on(self) -> None:
        """Somebody is done: what waits may go, or wait for the call that is under way alone."""
        gathering = self._gathering
        if gathering is None or self._is_crowded():
            return
        if len(self._under_way) < AT_ONCE:
            self._go_on(gathering)
        elif gathering.for_a_crowd:
            gathering.for_a_crowd = False
            asyncio.get_running_loop().call_later(WINDOW, self._go_on, gathering)

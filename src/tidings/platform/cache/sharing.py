"""One bulk call for several requests: while enough of them are under way, keys gather, and then go together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextvars import copy_context
from functools import partial
from typing import Any, Final, Generic, TypeVar

Answer = TypeVar("Answer")
Send = Callable[[Sequence[Hashable]], Awaitable[Answer]]

AT_ONCE: Final = 1  # calls; while fewer are under way, only those of the same turn of the loop go together
WINDOW: Final = 0.002  # seconds; nobody waits longer for others
CROWD: Final = 4  # requests that a leading call has answered, and that are at work still
PATIENCE: Final = 0.25  # seconds; nobody waits longer for a crowd
IMPATIENCE: Final = 60.0  # seconds, after a crowd that took longer
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


class Sharing(Generic[Answer]):
    """Of one call of one caller. A call that was sent is nobody's request any more: it ends even if all give up.

    One that `leads` to further calls of the same requests goes again once those whom it answered are done: whoever
    came meanwhile is then together in all that follows, too. A crowd that takes long is not waited for, nor is any
    other for a while.
    """

    def __init__(self, *, leads: bool = False) -> None:
        self._leads = leads
        self._gathering: _Gathering[Answer] | None = None
        self._under_way: set[asyncio.Task[None]] = set()
        self._at_work: set[asyncio.Task[Any]] = set()  # who was answered of late, or is about to be
        self._crowds_from = 0.0  # by the loop's clock

    async def ask(self, keys: Sequence[Hashable], send: Send[Answer]) -> tuple[Answer, bool]:
        """The answer to a call that was sent after this, for these keys and maybe more; and whether `send` made it.

        Raises what the call raises.
        """
        loop = asyncio.get_running_loop()
        gathering = self._gathering
        if gathering is not None and len(gathering.keys) + len(keys) > MOST_KEYS:
            self._go(gathering)
            gathering = None
        first = gathering is None
        if gathering is None:
            gathering = self._gathering = _Gathering(send)
            if self._is_free():
                self._go(gathering)
            else:
                loop.call_later(PATIENCE if self._is_crowded() else WINDOW, self._go, gathering)
        gathering.keys.update(keys)
        if self._leads and (asker := asyncio.current_task()) is not None:
            gathering.askers.add(asker)
        answered: asyncio.Future[Answer] = loop.create_future()  # of each one's own: who gives up, gives up alone
        gathering.waiting.append(answered)
        return await answered, first

    def _is_crowded(self) -> bool:
        return len(self._at_work) >= CROWD and asyncio.get_running_loop().time() >= self._crowds_from

    def _is_free(self) -> bool:
        return len(self._under_way) < AT_ONCE and not self._is_crowded()

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
            self._go_on()

    def _wait_for(self, askers: set[asyncio.Task[Any]]) -> None:
        if askers:
            self._at_work |= askers
            for asker in askers:
                asker.add_done_callback(self._done)
            asyncio.get_running_loop().call_later(PATIENCE, self._take_long, askers)

    def _done(self, asker: asyncio.Task[Any]) -> None:
        self._at_work.discard(asker)
        self._go_on()

    def _take_long(self, askers: set[asyncio.Task[Any]]) -> None:
        still = self._at_work & askers
        self._at_work -= still
        if len(still) >= CROWD:
            self._crowds_from = asyncio.get_running_loop().time() + IMPATIENCE
        self._go_on()

    def _go_on(self) -> None:
        if self._gathering is not None and self._is_free():
            self._go(self._gathering)

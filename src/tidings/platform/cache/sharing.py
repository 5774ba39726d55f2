"""One bulk call for several requests: while enough of them are under way, keys gather, and then go together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextvars import copy_context
from functools import partial
from typing import Final, Generic, TypeVar

Answer = TypeVar("Answer")
Send = Callable[[Sequence[Hashable]], Awaitable[Answer]]

AT_ONCE: Final = 1  # calls; while fewer are under way, only those of the same turn of the loop go together
WINDOW: Final = 0.002  # seconds; nobody waits longer for others
MOST_KEYS: Final = 2000  # of several requests together


class _Gathering(Generic[Answer]):
    """Keys that go with the next call, and who waits for its answer. The first who came sends it."""

    def __init__(self, send: Send[Answer]) -> None:
        self.send = send
        self.keys: set[Hashable] = set()
        self.waiting: list[asyncio.Future[Answer]] = []
        self.context = copy_context()  # of who sends it: its trace goes on there
        self.gone = False


class Sharing(Generic[Answer]):
    """Of one call of one caller. A call that was sent is nobody's request any more: it ends even if all give up."""

    def __init__(self) -> None:
        self._gathering: _Gathering[Answer] | None = None
        self._under_way: set[asyncio.Task[None]] = set()

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
            if len(self._under_way) < AT_ONCE:
                self._go(gathering)
            else:
                loop.call_later(WINDOW, self._go, gathering)
        gathering.keys.update(keys)
        answered: asyncio.Future[Answer] = loop.create_future()  # of each one's own: who gives up, gives up alone
        gathering.waiting.append(answered)
        return await answered, first

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
        if self._gathering is not None and not task.cancelled():
            self._go(self._gathering)

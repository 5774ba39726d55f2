"""One turn of a side under the load of a closed loop, with the processor time that it took."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Final

from tidings.bench import sides
from tidings.bench.monolith import PATH
from tidings.bench.rounds import Turn
from tidings.bench.sides import Side
from tidings.bench.town import AUTHORS
from tidings.bench.wrk import load

CONNECTIONS: Final = 32
BETWEEN: Final = 0.3  # seconds: what the last side was still asked, it ends in its own time


async def take(
    side: Side,
    degree: int,
    *,
    seconds: float,
    cores: Sequence[int],
    connections: int = CONNECTIONS,
    post_every: int = 0,
    meanwhile: AbstractAsyncContextManager[None] | None = None,
) -> Turn:
    """Readers with so many friends ask for their timelines, from those cores. Raises `WrongAnswers`.

    With posts, processor time is taken until all that follows from them is done, what happens `meanwhile` included.
    """
    await asyncio.sleep(BETWEEN)
    (own, engines), before = sides.worked_by(side), sides.worked_in(side)
    async with meanwhile or nullcontext():
        rate = await load(
            side.url + PATH,
            side.tokens[degree],
            seconds=seconds,
            connections=connections,
            cores=cores,
            authors=side.tokens.get(AUTHORS),
            post_every=post_every,
        )
    if post_every and side.is_ours:
        await sides.at_rest(side)
    (own_now, engines_now), now = sides.worked_by(side), sides.worked_in(side)
    return Turn(
        rate.per_second,
        rate.p50_ms,
        rate.p99_ms,
        rate.bytes_each,
        server_us=(own_now - own) / rate.requests * 1e6,
        engines_us=(engines_now - engines) / rate.requests * 1e6,
        parts={name: (spent - before.get(name, 0.0)) / rate.requests * 1e6 for name, spent in now.items()},
    )

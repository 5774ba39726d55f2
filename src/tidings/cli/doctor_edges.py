"""What `tidings doctor` says of friendships, requests, blocks and mutes with somebody who has no account."""

from __future__ import annotations

import asyncio
import time
from typing import Final
from uuid import UUID

from tidings.cli.findings import Finding
from tidings.cli.operator import Operator, operator
from tidings.cli.options import Problem
from tidings.cli.twophase import in_doubt
from tidings.contracts import friends, users
from tidings.contracts.friends import EverybodyAsk
from tidings.contracts.users import ByIds, UserId
from tidings.platform.contract import Refusal
from tidings.platform.data_directory import StartRefused
from tidings.platform.settings import Settings

LINK: Final = "edges"
PATIENCE: Final = 10.0  # seconds of looking
AT_ONCE: Final = 1000  # people of one page
NAMED: Final = 5
MEND: Final = (
    "users and friends are not of one moment: one of them came from an older copy. Restore both as of the same one."
    " Nobody is shown them, and nothing removes them by itself: those people may be real."
)


async def about_edges(settings: Settings, *, patience: float = PATIENCE, at_once: int = AT_ONCE) -> Finding:
    """Page through all who stand in friends, and ask users who of them is there; as many as the time allows."""
    try:
        async with asyncio.timeout(patience + PATIENCE), operator(settings) as reached:
            return await _compared(reached, time.monotonic() + patience, at_once)
    except (Refusal, Problem, StartRefused, OSError, TimeoutError) as problem:
        why = getattr(problem, "detail", "") or str(problem) or "no answer in time"
        mend = "See the services friends and users above."
        return Finding(link=LINK, state="warning", detail=f"not known: {why}", mend=mend)


async def _compared(reached: Operator, until: float, at_once: int) -> Finding:
    looked_at, dangling, ask = 0, list[UserId](), EverybodyAsk(limit=at_once)
    while page := (await reached.call(friends.everybody, ask)).ids:
        there = set((await reached.call(users.living, ByIds(ids=page))).ids)
        dangling += [one for one in page if one not in there]
        looked_at += len(page)
        ask = EverybodyAsk(after=page[-1], limit=at_once)
        if time.monotonic() > until or len(dangling) > AT_ONCE:
            break
    dangling = await _still(reached, dangling)
    among = f"among {'all' if not page else 'the first'} {looked_at:,} people"
    if not dangling:
        return Finding(link=LINK, state="ok", detail=f"none with somebody who has no account, {among}")
    named = ", ".join(str(one) for one in dangling[:NAMED]) + (", ..." if len(dangling) > NAMED else "")
    detail = f"{len(dangling):,} without an account, {among}: {named}"
    return Finding(link=LINK, state="warning", detail=detail, mend=MEND)


async def _still(reached: Operator, found: list[UserId]) -> list[UserId]:
    """Without those who are being deleted, or were while we looked: what users has decided, friends does soon."""
    if not found:
        return []
    leaving = {one.user_id for one in (await in_doubt(reached)).transactions}
    left: list[UserId] = []
    for one in found:
        just_before = EverybodyAsk(after=UserId(UUID(int=one.int - 1)), limit=1)
        if one not in leaving and (await reached.call(friends.everybody, just_before)).ids == [one]:
            left.append(one)
    return left

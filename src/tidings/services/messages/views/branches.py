"""Branches of two-phase transactions, for the operator."""

from __future__ import annotations

from datetime import UTC, datetime

from tidings.contracts.users import Branches, HeldBranch
from tidings.platform.twophase.participant import Participant


async def branches(removal: Participant, gid: str | None) -> Branches:
    """What is prepared here, or what became of one branch."""
    if gid is not None:
        return Branches(branches=[HeldBranch(gid=gid, state=await removal.branch(gid))])
    now = datetime.now(UTC)
    return Branches(
        branches=[
            HeldBranch(gid=one.gid, state="prepared", age=round((now - one.prepared_at).total_seconds(), 3))
            for one in await removal.prepared()
        ]
    )

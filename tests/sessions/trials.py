"""The kinds of trial: each warms what it will read again, changes something, and reads at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from tests.sessions.cell import Cell

Trial = Callable[[Cell], Awaitable[None]]


async def mute(cell: Cell) -> None:
    """Read your writes: whom one mutes is gone from one's timeline; whom one no longer mutes is back."""
    await cell.timeline(cell.ada)
    await cell.mutes(cell.ada, cell.cy, muted=not cell.muted)
    cell.muted = not cell.muted
    await cell.timeline(cell.ada)


async def befriend_or_unfriend(cell: Cell) -> None:
    """Read your writes: a new friend is on one's timeline, a former one is not."""
    if cell.with_dee:
        await cell.timeline(cell.ada)
        await cell.unfriends(cell.ada, cell.dee)
        cell.with_dee = False
    else:
        await cell.befriends(cell.dee, cell.ada, accepts=False)
        await cell.timeline(cell.ada)
        await cell.befriends(cell.ada, cell.dee, accepts=True)
        cell.with_dee = True
    await cell.timeline(cell.ada)


async def rename(cell: Cell) -> None:
    """Read your writes: one's own card beside one's own messages has the new name."""
    await cell.feed(cell.bob)
    await cell.renames(cell.bob)
    await cell.feed(cell.bob)


async def read_elsewhere(cell: Cell) -> None:
    """Monotonic reads: what one saw among the author's messages is not older on one's timeline."""
    await cell.timeline(cell.ada)
    await cell.posts(cell.bob)
    await cell.newest_of(cell.ada, cell.bob)
    await cell.timeline(cell.ada)


async def told_of_a_message(cell: Cell) -> None:
    """Causality across people: who is told of a message, and goes on with the author's token, sees it."""
    await cell.timeline(cell.cy)
    await cell.posts(cell.bob)
    cell.tells(cell.bob, cell.cy)
    await cell.timeline(cell.cy)


async def told_of_a_name(cell: Cell) -> None:
    """Causality across people, of what another service owns."""
    await cell.timeline(cell.cy)
    await cell.renames(cell.bob)
    cell.tells(cell.bob, cell.cy)
    await cell.timeline(cell.cy)


async def answer_what_was_read(cell: Cell) -> None:
    """Writes follow reads: who sees what Ada said after she had read Bob sees what Bob said."""
    await cell.timeline(cell.cy)
    await cell.posts(cell.bob)
    await cell.newest_of(cell.ada, cell.bob)
    await cell.posts(cell.ada)
    await cell.newest_of(cell.cy, cell.ada)
    await cell.timeline(cell.cy)


async def withdraw(cell: Cell) -> None:
    """Deleted content never comes back, for nobody."""
    said, identifier = await cell.posts(cell.bob)
    cell.tells(cell.bob, cell.cy)
    await cell.timeline(cell.cy)
    await cell.withdraws(cell.bob, said, identifier)
    await cell.timeline(cell.cy)
    await cell.message(cell.cy, said, identifier)


async def narrow(cell: Cell) -> None:
    """A narrower audience holds for whom it leaves out."""
    said, identifier = await cell.posts(cell.bob)
    cell.tells(cell.bob, cell.cy)
    await cell.timeline(cell.cy)
    await cell.narrows(cell.bob, said, identifier, to=cell.ada)
    await cell.timeline(cell.cy)
    await cell.message(cell.cy, said, identifier)


async def leave(cell: Cell) -> None:
    """No message without its author, no edge to a tombstone."""
    eve = await cell.joins("Eve")
    said, identifier = await cell.posts(eve)
    await cell.befriends(eve, cell.ada, accepts=False)
    await cell.befriends(cell.ada, eve, accepts=True)
    await cell.timeline(cell.ada)
    await cell.leaves(eve)
    await cell.timeline(cell.ada)
    await cell.friends(cell.ada)
    await cell.message(cell.ada, said, identifier)


SHARES: Final[dict[Trial, int]] = {
    mute: 20,
    befriend_or_unfriend: 15,
    rename: 12,
    read_elsewhere: 18,
    told_of_a_message: 12,
    told_of_a_name: 6,
    answer_what_was_read: 10,
    withdraw: 4,
    narrow: 2,
    leave: 1,
}

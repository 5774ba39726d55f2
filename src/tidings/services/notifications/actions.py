"""Writes: one transaction for each event, which the platform makes once."""

from __future__ import annotations

from tidings.contracts.messages import MessageChanged
from tidings.contracts.users import UserId
from tidings.services.notifications import rules
from tidings.services.notifications.shapes import Effect
from tidings.services.notifications.store.port import NotificationStore, NotificationWrite


async def keep(store: NotificationStore, effects: list[Effect]) -> None:
    """Keep what is newer than what is there."""
    if not effects:
        return
    async with store.write() as write:
        await _keep(write, effects)


async def message_changed(store: NotificationStore, body: MessageChanged, *, withdrawn: bool) -> None:
    """A message as it is at this version: posted, edited or gone. An older version changes nothing."""
    effects = [] if withdrawn else rules.of_message(body)
    async with store.write() as write:
        if not await write.advance_message(body.message_id, body.version):
            return
        await write.drop_about(body.message_id, keep_mentions=[] if withdrawn else body.mentions, all_=withdrawn)
        await _keep(write, effects)


async def mark_read(store: NotificationStore, user_id: UserId, read_ms: int) -> int:
    """The mark by now: it never goes back."""
    async with store.write() as write:
        return await write.mark_read(user_id, read_ms)


async def forget(store: NotificationStore, person: UserId) -> None:
    """Nothing of this person, and about them, is left; what comes later finds their fence."""
    async with store.write() as write:
        await write.fence([person])
        await write.remove_person(person)


async def _keep(write: NotificationWrite, effects: list[Effect]) -> None:
    """But for those whose account was deleted: the event of that may come before this one."""
    if not effects:
        return
    fences = await write.fence((), others=rules.people_in(effects))
    live = [
        effect
        for effect in effects
        if fences[effect.user_id].state == "live" and fences[effect.actor_id].state == "live"
    ]
    await write.put(live)

"""Writes: one transaction for each event, which the platform makes once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from uuid import UUID

from tidings.contracts.messages import MessageChanged
from tidings.contracts.notifications import NotificationsChanged, changed
from tidings.contracts.users import UserId
from tidings.services.notifications import rules
from tidings.services.notifications.shapes import Effect
from tidings.services.notifications.store.port import NotificationStore, NotificationWrite


async def keep(store: NotificationStore, effects: list[Effect]) -> None:
    """Keep what is newer than what is there."""
    if not effects:
        return
    async with store.write() as write:
        live = await _live(write, effects)
        await _bump(write, await write.put(live))


async def message_posted(store: NotificationStore, body: MessageChanged) -> None:
    """A new message. Where a later state of it came first, it changes nothing."""
    effects = rules.of_message(body)
    if not effects:  # there is no older state of it that could come later
        return
    if await store.tell_at_once(effects, body.message_id, body.version, fenced=rules.people_in(effects)):
        return
    async with store.write() as write:
        live = await _live(write, effects)
        _announce(write, await write.tell(live, body.message_id, body.version))


async def message_changed(store: NotificationStore, body: MessageChanged, *, withdrawn: bool) -> None:
    """A message as it is at this version: edited or gone. An older version changes nothing."""
    effects = [] if withdrawn else rules.of_message(body)
    async with store.write() as write:
        live = await _live(write, effects, also=await write.concerned(body.message_id))
        if not await write.advance_message(body.message_id, body.version):
            return
        kept = [] if withdrawn else body.mentions
        dropped = await write.drop_about(body.message_id, keep_mentions=kept, all_=withdrawn)
        await _bump(write, {*dropped, *await write.put(live)})


async def mark_read(store: NotificationStore, user_id: UserId, read_ms: int) -> int:
    """The mark by now: it never goes back."""
    async with store.write() as write:
        await write.fence([user_id])
        marked = await write.mark_read(user_id, read_ms)
        await _bump(write, {user_id})
    return marked


async def forget(store: NotificationStore, person: UserId) -> None:
    """Nothing of this person, and about them, is left; what comes later finds their fence."""
    async with store.write() as write:
        await write.fence([person])
        await write.remove_person(person)


async def _live(write: NotificationWrite, effects: list[Effect], also: Iterable[UserId] = ()) -> list[Effect]:
    """Without those whose account was deleted: the event of that may come before this one.

    Holds the fences of all who are told, and of `also`: their versions may rise. Those who did it are held alike:
    in the order of keys, each change of the lock would take a statement.
    """
    fences = await write.fence({*also, *rules.people_in(effects)})
    return [
        effect
        for effect in effects
        if fences[effect.user_id].state == "live" and fences[effect.actor_id].state == "live"
    ]


async def _bump(write: NotificationWrite, people: Collection[UserId]) -> None:
    if people:
        _announce(write, await write.bump(people))


def _announce(write: NotificationWrite, versions: Mapping[UUID, int]) -> None:
    for person, version in versions.items():
        body = NotificationsChanged(user_id=UserId(person), version=version)
        write.announce(changed, subject=person, version=version, body=body)

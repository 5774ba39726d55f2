"""What uses a picture, and what no longer does: held for a post, shown by messages, worn as an avatar, deleted."""

from __future__ import annotations

from typing import Final

from tidings.contracts.media import Attachable, MediaInUse, OwnMedia, PatchMedia, Picture, upload
from tidings.contracts.messages import MediaId, MessageChanged
from tidings.contracts.users import UserChanged, UserId
from tidings.platform.contract import NotFound
from tidings.platform.request import Viewer, current
from tidings.services.media import rules
from tidings.services.media.holder import Media

# Longer than the way of any event: a bus that is down for as long is seen by its operator.
HELD_FOR: Final = 7 * 86_400.0  # seconds


async def hold(svc: Media, viewer: Viewer, ask: OwnMedia) -> dict[MediaId, Attachable]:
    """What is said of those of the viewer's own that are ready. None is collected before its use is heard of."""
    to_wear = current().caller == "users"
    rows = await svc.store.hold(ask.ids, UserId(viewer.known), seconds=HELD_FOR, to_wear=to_wear)
    return {row.id: rules.as_attachable(row) for row in rows}


async def describe(svc: Media, viewer: Viewer, ask: PatchMedia) -> Picture:
    """Say in other words what it shows. `NotFound` unless it is one's own, and ready."""
    async with svc.store.write() as write:
        row = await write.describe(ask.media_id, UserId(viewer.known), ask.body.alt)
    if row is None:
        raise NotFound("There is no such picture here.")
    return rules.as_picture(row)


async def delete(svc: Media, viewer: Viewer, media_id: MediaId) -> None:
    """Delete one's own; an upload under way, too. `MediaInUse` while something shows it."""
    async with svc.store.write() as write:
        outcome = await write.leave(media_id, UserId(viewer.known))
    if outcome == "unknown":
        raise NotFound("There is no such picture here.")
    if outcome == "used":
        raise MediaInUse("A message shows this picture, or it is your avatar. Take it out of there first.")
    _stop(svc, media_id)
    svc.collect_soon.set()


async def show(svc: Media, body: MessageChanged) -> None:
    """A message shows these: they stay as long as it does, also where an edit takes them out, for its history."""
    author = UserId(body.author_id)
    if await svc.store.show_at_once(body.message_id, body.media, author):
        return
    async with svc.store.write() as write:
        if (await write.fence([author]))[author].state == "live":
            await write.show(body.message_id, body.media, author)


async def unshow(svc: Media, body: MessageChanged) -> None:
    """A message is gone. What nothing else shows is collected."""
    async with svc.store.write() as write:
        await write.fence([body.author_id])
        await write.unshow(body.message_id, UserId(body.author_id))
    svc.collect_soon.set()


async def wear(svc: Media, body: UserChanged) -> None:
    """A profile changed; perhaps its avatar. What was worn before is collected unless something else shows it."""
    async with svc.store.write() as write:
        if (await write.fence([body.user_id]))[body.user_id].state != "live":
            return
        avatar = None if body.avatar is None else MediaId(body.avatar)
        await write.wear(body.user_id, avatar, body.version)
    svc.collect_soon.set()


async def forget(svc: Media, person: UserId) -> None:
    """Nothing of this person is left."""
    async with svc.store.write() as write:
        await write.fence([person])
        await write.remove_person(person, answers=f"{upload.name} {person}")
    svc.collect_soon.set()


def _stop(svc: Media, media_id: MediaId) -> None:
    """Work on what was deleted ends: it would hold up others."""
    developing = svc.developing.get(media_id)
    if developing is not None:
        developing.cancel()

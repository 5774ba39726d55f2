"""What happens elsewhere that makes a picture used, or no more: messages and profiles, and who is gone."""

from __future__ import annotations

from tidings.contracts import messages, users
from tidings.contracts.messages import MessageChanged
from tidings.contracts.users import UserChanged
from tidings.platform.occurrence import Occurrence
from tidings.platform.service import reacts
from tidings.services.media.actions import using
from tidings.services.media.holder import Media


@reacts(messages.posted, messages.edited)
async def on_message_changed(svc: Media, happened: Occurrence[MessageChanged]) -> None:
    if happened.body.media:
        await using.show(svc, happened.body)


@reacts(messages.withdrawn)
async def on_message_withdrawn(svc: Media, happened: Occurrence[MessageChanged]) -> None:
    await using.unshow(svc, happened.body)


@reacts(users.changed)
async def on_profile_changed(svc: Media, happened: Occurrence[UserChanged]) -> None:
    await using.wear(svc, happened.body)


@reacts(users.removed)
async def on_user_removed(svc: Media, happened: Occurrence[UserChanged]) -> None:
    await using.forget(svc, happened.body.user_id)

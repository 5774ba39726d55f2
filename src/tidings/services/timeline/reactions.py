"""What happened elsewhere, as it concerns those who listen. Each event comes once, or not at all."""

from __future__ import annotations

from tidings.contracts import friends, messages, notifications, users
from tidings.contracts.friends import FriendsImported, GraphChanged
from tidings.contracts.messages import MessageChanged, MessagesImported, ReactionChanged
from tidings.contracts.notifications import NotificationsChanged
from tidings.contracts.users import UserChanged
from tidings.platform.clock import now_ms
from tidings.platform.ids import ms_of
from tidings.platform.occurrence import Occurrence
from tidings.platform.service import reacts
from tidings.services.timeline import rules
from tidings.services.timeline.holder import Timeline


@reacts(messages.posted, messages.edited, messages.withdrawn)
async def on_message_changed(svc: Timeline, happened: Occurrence[MessageChanged]) -> None:
    body = happened.body
    if happened.event == messages.posted and now_ms() - ms_of(body.message_id) > rules.SETTLED_MS:
        svc.hub.resync_for_readers_of(body.author_id)  # below what a newer-than cursor has passed
    if body.reply_to is None:
        svc.hub.changed_by(body.author_id, "timeline")
    else:
        svc.hub.changed_by(body.author_id, "replies")


@reacts(messages.imported)
async def on_messages_imported(svc: Timeline, happened: Occurrence[MessagesImported]) -> None:
    svc.hub.resync_for_readers_of(happened.body.author_id)  # they are of any time
    svc.hub.changed_by(happened.body.author_id, "timeline")


@reacts(messages.reacted, messages.unreacted)
async def on_reaction_changed(svc: Timeline, happened: Occurrence[ReactionChanged]) -> None:
    svc.hub.changed_for(happened.body.author_id, "reactions")


@reacts(friends.befriended, friends.unfriended, friends.blocked)
async def on_friendship_changed(svc: Timeline, happened: Occurrence[GraphChanged]) -> None:
    body = happened.body
    move = svc.hub.befriended if happened.event == friends.befriended else svc.hub.parted
    move(body.user_id, body.other_id)
    svc.hub.changed_for(body.user_id, "friends")
    svc.hub.changed_for(body.user_id, "timeline")


@reacts(friends.imported)
async def on_friends_imported(svc: Timeline, happened: Occurrence[FriendsImported]) -> None:
    body = happened.body
    for other in body.friend_ids:
        svc.hub.befriended(body.user_id, other)
    svc.hub.changed_for(body.user_id, "friends")
    svc.hub.changed_for(body.user_id, "timeline")


@reacts(friends.requested, friends.request_withdrawn, friends.unblocked)
async def on_requests_changed(svc: Timeline, happened: Occurrence[GraphChanged]) -> None:
    svc.hub.changed_for(happened.body.user_id, "friends")


@reacts(friends.muted, friends.unmuted)
async def on_muted(svc: Timeline, happened: Occurrence[GraphChanged]) -> None:
    body = happened.body
    svc.hub.muted(body.user_id, body.other_id, is_muted=happened.event == friends.muted)
    svc.hub.changed_for(body.user_id, "timeline")


@reacts(users.changed, users.suspended, users.reinstated, users.removed)
async def on_user_changed(svc: Timeline, happened: Occurrence[UserChanged]) -> None:
    svc.hub.changed_by(happened.body.user_id, "timeline")
    svc.hub.changed_by(happened.body.user_id, "friends")


@reacts(notifications.changed)
async def on_notifications_changed(svc: Timeline, happened: Occurrence[NotificationsChanged]) -> None:
    svc.hub.changed_for(happened.body.user_id, "notifications")

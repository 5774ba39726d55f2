"""The two composites: what each friend said last, and everything in one order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from tidings.contracts import friends, messages, timeline, users
from tidings.contracts.messages import MessageId
from tidings.contracts.users import UserId
from tidings.platform.clock import SKEW_NS, now_ms, stamp_ns
from tidings.platform.compose import Composite, Need
from tidings.platform.contract import FieldError, Invalid
from tidings.platform.request import Viewer
from tidings.platform.seen import seen
from tidings.services.timeline import present, rules
from tidings.services.timeline.holder import Timeline
from tidings.services.timeline.skeletons import FeedSkeleton, TimelineSkeleton

ONLINE: Final = 60  # seconds after which nobody who is silent counts as online


async def friends_and_rules(svc: Timeline, viewer: Viewer, ask: timeline.TimelineAsk) -> TimelineSkeleton:
    """Whose latest messages are wanted, under which rules, from where on."""
    now = now_ms()
    of = rules.list_name(ask)
    position = (
        svc.cursors.open(ask.cursor, rules.TimelinePosition, asker=viewer.known, of=of) if ask.cursor else None
    )
    wanted = rules.asked_rules(ask, now)
    if position is not None:
        wanted = messages.Rules(since_ms=position.since_ms, has_media=wanted.has_media, near=wanted.near)
    circle = await _circle(svc, viewer.known)
    muted = set(circle.muted)
    return TimelineSkeleton(
        ask=ask,
        friends=[friend for friend in circle.friends if friend not in muted] if muted else circle.friends,
        muted=len(muted),
        rules=wanted,
        position=position,
        read_at_ms=now,
        seal=lambda place: svc.cursors.seal(place, asker=viewer.known, of=of),
    )


async def friends_and_self(svc: Timeline, viewer: Viewer, ask: timeline.FeedAsk) -> FeedSkeleton:
    """Whose messages are wanted, and on which side of the cursor."""
    position = rules.feed_from(ask.at) if ask.at is not None else None
    if ask.cursor is not None:
        if position is not None:
            raise Invalid("Begin at a cursor or at a message.", errors=(FieldError("?at", "not with a cursor"),))
        position = svc.cursors.open(ask.cursor, rules.FeedPosition, asker=viewer.known, of="feed")
    circle = await _circle(svc, viewer.known)
    muted = set(circle.muted)
    return FeedSkeleton(
        friends=[friend for friend in circle.friends if friend not in muted] if muted else circle.friends,
        me=UserId(viewer.known),
        muted=len(muted),
        position=position,
        limit=ask.limit,
        room=rules.room_for(position, ask.limit, now_ms=now_ms()),
        seal=lambda place: svc.cursors.seal(place, asker=viewer.known, of="feed"),
    )


async def _circle(svc: Timeline, me: UUID) -> friends.Circle:
    [circle] = (await svc.world.call(friends.circles, users.ByIds(ids=[UserId(me)]))).values()
    return circle


def latest_of_friends(page: TimelineSkeleton) -> messages.LatestAsk | None:
    place = page.position
    left_out = set(place.newer_shown) if place else set()
    return messages.LatestAsk(
        friends=[friend for friend in page.friends if friend not in left_out] if left_out else page.friends,
        others=[],
        per_author=page.ask.per_friend,
        rules=page.rules,
        as_of_ms=place.as_of_ms if place else None,
        before=MessageId(place.before) if place else None,
        limit=page.ask.limit,
    )


def page_of_feed(page: FeedSkeleton) -> messages.PageByAuthorsAsk | None:
    if page.room <= 0:
        return None
    place = page.position or rules.FeedPosition()
    return messages.PageByAuthorsAsk(
        friends=[*page.friends, page.me],
        others=[],
        before=MessageId(place.before) if place.before else None,
        after=MessageId(place.after) if place.after else None,
        seen=[MessageId(one) for one in place.seen],
        limit=page.room,
    )


async def listen(svc: Timeline, me: UserId, ask: timeline.StreamAsk) -> timeline.Heard:
    """What changed for one person since the last event that they know; waits a little for something to."""
    if not svc.hub.knows(me):
        await svc.hub.welcome(me, lambda: _circle(svc, me))
    if svc.hub.is_to_be_marked(me, svc.wait):  # whoever hears much asks more often than that
        await svc.temporary.mark([str(me)], seconds=ONLINE)
    heard = await svc.hub.heard(me, ask.last_event_id, svc.wait)
    if heard.changed or heard.resync:  # what is read next is as new as this
        for service in ("users", "friends", "messages"):
            seen().shown(service, stamp_ns() + SKEW_NS)  # of their clocks
    return heard


async def presence(svc: Timeline, me: UserId, ids: Sequence[UserId]) -> timeline.Presence:
    """Of one's friends: who listens, and lets it be seen. Asked for each time, so that hiding holds at once."""
    circle = await _circle(svc, me)
    friends_asked = set(circle.friends).intersection(ids) if ids else circle.friends
    listening = await svc.temporary.marked([str(one) for one in friends_asked])
    online = sorted(one for one in friends_asked if str(one) in listening)
    if not online:
        return timeline.Presence(online=[])
    showing = set((await svc.world.call(users.showing_presence, users.ByIds(ids=online))).ids)
    return timeline.Presence(online=[one for one in online if one in showing])


timeline_page = Composite(
    skeleton=friends_and_rules,
    needs={
        "latest": Need(messages.latest_by_authors, keys=latest_of_friends, optional=True),
        "cards": Need(users.cards_as_of, keys=lambda page: users.ByIds(ids=page.friends)),
    },
    keep=present.keep_timeline,
    present=present.as_timeline,
)

feed_page = Composite(
    skeleton=friends_and_self,
    needs={
        "page": Need(messages.page_by_authors, keys=page_of_feed, optional=True),
        "cards": Need(users.cards_as_of, keys=lambda page: users.ByIds(ids=[*page.friends, page.me])),
    },
    keep=present.keep_feed,
    present=present.as_feed,
)

"""timeline's routes."""

from __future__ import annotations

from tidings.contracts import timeline as contract
from tidings.contracts.users import UserId
from tidings.platform.contract import Reply
from tidings.platform.request import Viewer
from tidings.platform.service import serves
from tidings.services.timeline import views
from tidings.services.timeline.holder import Timeline


@serves(contract.get_timeline)
async def get_timeline(svc: Timeline, viewer: Viewer, ask: contract.TimelineAsk) -> Reply[contract.Timeline]:
    return await views.timeline_page.read(svc, svc.world, viewer, ask)


@serves(contract.stream)
async def stream(svc: Timeline, viewer: Viewer, ask: contract.StreamAsk) -> contract.Heard:
    return await views.listen(svc, UserId(viewer.known), ask)


@serves(contract.get_presence)
async def get_presence(svc: Timeline, viewer: Viewer, ask: contract.PresenceAsk) -> contract.Presence:
    return await views.presence(svc, UserId(viewer.known), ask.ids)


@serves(contract.get_feed)
async def get_feed(svc: Timeline, viewer: Viewer, ask: contract.FeedAsk) -> Reply[contract.Feed]:
    return await views.feed_page.read(svc, svc.world, viewer, ask)

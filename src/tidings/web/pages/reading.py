"""Pages for reading: the timeline, the feed, a message with its replies."""

from __future__ import annotations

import secrets

import msgspec

from tidings.contracts import messages, timeline, users, web
from tidings.contracts.messages import MessageId
from tidings.platform.contract import BadCursor, Nothing, Refusal, Reply, Stale, Unavailable
from tidings.platform.request import Viewer
from tidings.platform.service import serves
from tidings.platform.together import together
from tidings.web.asking import ask, asked, versioned
from tidings.web.holder import Web
from tidings.web.shapes import Feed, Seen, Timeline
from tidings.web.shell import onward, shell

PAGE = 50  # friends
FEED_PAGE = 30  # messages
REPLIES = 50


@serves(web.home)
async def home(svc: Web, viewer: Viewer, wanted: web.TimelinePage) -> Reply[bytes]:
    """The timeline; to strangers, a welcome."""
    if viewer.user_id is None:
        around = await shell(svc, viewer, wanted.visit)
        return around.page("welcome.html", open_sign_up=svc.open_sign_up)
    around, served = await together(
        shell(svc, viewer, wanted.visit),
        asked(svc, timeline.get_timeline, timeline.TimelineAsk(limit=PAGE, cursor=wanted.cursor)),
    )
    page = msgspec.json.decode(served.body, type=Timeline)
    return around.page("timeline.html", here="timeline", page=page)


@serves(web.feed)
async def feed(svc: Web, viewer: Viewer, wanted: web.FeedPage) -> Reply[bytes]:
    """Everything in one order. Where the marker is not on the newest page, a link leads back to it."""
    wish = timeline.FeedAsk(limit=FEED_PAGE, cursor=wanted.cursor, at=None if wanted.cursor else wanted.at)
    around, served = await together(shell(svc, viewer, wanted.visit), asked(svc, timeline.get_feed, wish))
    page = msgspec.json.decode(served.body, type=Feed)
    at_top = wanted.cursor is None and wanted.at is None
    marker = around.greeting.preferences.feed_marker if around.greeting is not None else None
    shown = {item.message.id for item in page.items}
    return around.page(
        "feed.html",
        here="feed",
        page=page,
        items=await _counted(svc, page),
        at_top=at_top,
        resume=marker if at_top and page.items and marker is not None and marker not in shown else None,
    )


async def _counted(svc: Web, page: Feed) -> list[Seen]:
    """The items with their reactions and replies; without, where messages cannot tell."""
    if not page.items:
        return []
    ids = [item.message.id for item in page.items]
    counted: dict[MessageId, messages.Shown] = {}
    try:
        found = await ask(svc, messages.find_messages, messages.FindMessages(ids=ids, limit=len(ids)))
        counted = {one.message.id: one for one in found.messages}
    except Unavailable:
        pass
    return [
        Seen(author=item.author, message=item.message, reactions=one.reactions, replies=one.replies)
        if (one := counted.get(item.message.id)) is not None
        else Seen(author=item.author, message=item.message)
        for item in page.items
    ]


@serves(web.mark_feed)
async def mark_feed(svc: Web, viewer: Viewer, wanted: web.Marker) -> Reply[bytes]:
    """Remember up to where one has read, unless one has read further since."""
    for _ in range(3):
        kept, version = await versioned(svc, users.get_preferences, Nothing())
        if kept.feed_marker is not None and kept.feed_marker >= wanted.body.at:
            break
        body = msgspec.structs.replace(kept, feed_marker=wanted.body.at)
        try:
            await ask(svc, users.replace_preferences, users.ReplacePreferences(body=body), version=version)
            break
        except Stale:
            continue
    return onward("/feed")


@serves(web.message)
async def message(svc: Web, viewer: Viewer, wanted: web.MessagePage) -> Reply[bytes]:
    """One message, and a page of its replies: from the first, or from `at` on where that one comes later."""
    one = messages.OneMessage(message_id=wanted.message_id)
    around, shown, (replies, from_first) = await together(
        shell(svc, viewer, wanted.visit), ask(svc, messages.get_message, one), _replies(svc, wanted)
    )
    return around.page(
        "message.html", shown=shown, replies=replies, from_first=from_first, key=secrets.token_urlsafe(16)
    )


async def _replies(svc: Web, wanted: web.MessagePage) -> tuple[messages.Messages | None, bool]:
    """A page of them, and whether it begins with the first. None where nobody can tell."""
    wish = messages.RepliesAsk(message_id=wanted.message_id, limit=REPLIES, cursor=wanted.cursor)
    try:
        found = await ask(svc, messages.list_replies, wish)
        if wanted.cursor is not None or wanted.at is None or found.next_cursor is None:
            return found, wanted.cursor is None
        if any(reply.message.id == wanted.at for reply in found.messages):
            return found, True
        return await ask(svc, messages.list_replies, msgspec.structs.replace(wish, at=wanted.at)), False
    except BadCursor:
        raise
    except Refusal:  # whether there is such a message is told by the other half
        return None, True


@serves(web.history)
async def history(svc: Web, viewer: Viewer, wanted: web.MessagePage) -> Reply[bytes]:
    """What a message said before it was edited."""
    around, found = await together(
        shell(svc, viewer, wanted.visit),
        ask(svc, messages.history, messages.OneMessage(message_id=wanted.message_id)),
    )
    return around.page("history.html", history=found, message_id=wanted.message_id)

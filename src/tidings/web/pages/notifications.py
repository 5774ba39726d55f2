"""The page of notifications: what concerns oneself, and that it has been read."""

from __future__ import annotations

from tidings.contracts import notifications, web
from tidings.contracts.notifications import Notifications
from tidings.platform.clock import now_ms, rfc3339
from tidings.platform.contract import Reply, Unavailable
from tidings.platform.request import Viewer
from tidings.platform.service import serves
from tidings.platform.together import together
from tidings.web.asking import ask
from tidings.web.holder import Web
from tidings.web.shell import onward, shell
from tidings.web.typed import as_typed

PAGE = 30


@serves(web.notifications)
async def notifications_page(svc: Web, viewer: Viewer, wanted: web.ListPage) -> Reply[bytes]:
    """Groups, newest first. What comes while the page is made is not marked with it: `until` is from before."""
    until = rfc3339(now_ms())
    around, page = await together(shell(svc, viewer, wanted.visit), _page(svc, wanted.cursor))
    return around.page(
        "notifications.html", here="notifications", page=page, until=until, first=wanted.cursor is None
    )


@serves(web.mark_read)
async def mark_read(svc: Web, viewer: Viewer, wanted: web.MarkRead) -> Reply[bytes]:
    """All that came until then has been read."""
    mark = as_typed({"body": {"read_until": wanted.body.until}}, notifications.MarkRead)
    await ask(svc, notifications.mark_read, mark)
    return onward("/notifications")


async def _page(svc: Web, cursor: str | None) -> Notifications | None:
    wish = notifications.NotificationsAsk(limit=PAGE, cursor=cursor)
    try:
        return await ask(svc, notifications.list_notifications, wish)
    except Unavailable:
        return None

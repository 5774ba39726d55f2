"""web: pages for people, rendered here from what other services give; it owns nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tidings.contracts import web as contract
from tidings.platform.process import Resources
from tidings.platform.service import ServiceKind
from tidings.web import routes
from tidings.web.holder import Web


@asynccontextmanager
async def open_web(resources: Resources) -> AsyncIterator[Web]:
    """Nothing to open: pages are made of other services' answers."""
    yield Web(
        world=resources.world,
        secret=resources.secret,
        open_sign_up=resources.settings.signup == "open",
        max_upload=resources.settings.max_upload,
    )


web = ServiceKind.of(contract, routes, open_web)

"""The store on whichever engine the URL of the service's database means."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from tidings.platform.engine_url import is_mongo
from tidings.platform.settings import Settings
from tidings.services.messages.store.port import MessageStore
from tidings.services.messages.store.postgres import open_postgres


def open_store(url: str, settings: Settings) -> AbstractAsyncContextManager[MessageStore]:
    if is_mongo(url):
        # Here, so that who has no such store does without the driver's memory.
        from tidings.services.messages.store.mongo import open_mongo

        return open_mongo(url, settings)
    return open_postgres(url, settings)

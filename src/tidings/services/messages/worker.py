"""In the background: the contents of deleted people are erased, batch by batch, until nothing of them is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from tidings.contracts import messages as contract
from tidings.contracts.users import UserId
from tidings.platform import logs
from tidings.platform.contract import Refusal
from tidings.platform.ending import ended
from tidings.services.messages.holder import Messages
from tidings.services.messages.store.port import MessageStore

log = logs.get_logger("messages")

BATCH: Final = 500  # rows of each kind
PAUSE: Final = 0.01  # seconds, for others who write
KEYED: Final = (contract.post, contract.reply)  # routes that keep answers under Idempotency-Keys


@asynccontextmanager
async def erasing(svc: Messages, *, every: float) -> AsyncIterator[None]:
    """Within the block, erase soon after a deletion, and what an earlier run has left."""
    task = asyncio.create_task(_rounds(svc, every), name="erase the deleted")
    try:
        yield
    finally:
        await ended(task)


async def _rounds(svc: Messages, every: float) -> None:
    while True:
        svc.erase_soon.clear()
        try:
            for author in await svc.store.unerased():
                await _erase_or_log(svc.store, author)
        except Refusal as refusal:  # the database is away: the next round goes on
            log.warning("not_erased", why=refusal.detail)
        except Exception:
            log.exception("erasing_failed")
        try:
            async with asyncio.timeout(every):
                await svc.erase_soon.wait()
        except TimeoutError:
            continue


async def _erase_or_log(store: MessageStore, author: UserId) -> None:
    """One who cannot be erased now keeps nobody else waiting."""
    try:
        await erase(store, author)
    except Refusal as refusal:
        log.warning("not_erased", subject=str(author), why=refusal.detail)
    except Exception:
        log.exception("erasing_failed", subject=str(author))


async def erase(store: MessageStore, author: UserId) -> None:
    """All that a deleted person left. Each batch is one transaction; doing it again does nothing."""
    answers = [f"{route.name} {author}" for route in KEYED]
    while await store.erase_some(author, answers=answers, limit=BATCH):
        await asyncio.sleep(PAUSE)
    log.info("erased", subject=str(author))

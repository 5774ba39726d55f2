"""messages, assembled: what it holds, serves and owns."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tidings.contracts import messages as contract
from tidings.contracts import users
from tidings.platform.process import Resources
from tidings.platform.request import Request, Viewer
from tidings.platform.service import ServiceKind
from tidings.platform.twophase.failpoints import failpoints_of
from tidings.platform.twophase.participant import OrphanSweep
from tidings.platform.twophase.recovery import repeating
from tidings.platform.twophase.transaction import Outcome
from tidings.services.messages import actions, routes
from tidings.services.messages.holder import Messages
from tidings.services.messages.kept import KEPT
from tidings.services.messages.store.mongo_schema import SCHEMA
from tidings.services.messages.store.opening import open_store
from tidings.services.messages.worker import erasing


@asynccontextmanager
async def open_messages(resources: Resources) -> AsyncIterator[Messages]:
    """Start messages; stop it when the block ends."""
    settings = resources.settings

    async def outcome(gid: str) -> tuple[bool, Outcome | None]:
        asked = Request(
            viewer=Viewer(), caller=resources.service, deadline=time.monotonic() + settings.call_deadline
        )
        answer = await resources.world.call(users.outcome, users.OneTransaction(gid=gid), request=asked)
        return answer.known, answer.outcome

    async with open_store(resources.database, settings) as store:
        removal = store.participant(actions.remove_author, failpoints_of(settings, resources.service))
        sweep = OrphanSweep(removal, outcome, service=resources.service, after=settings.twophase_orphan_after)
        svc = Messages(
            world=resources.world,
            store=store,
            cursors=resources.cursors(),
            mailroom=resources.mailroom,
            removal=removal,
        )
        async with (
            repeating(sweep.look, every=settings.twophase_recover_every, name="orphans of messages"),
            erasing(svc, every=settings.erase_every),
        ):
            yield svc


messages = ServiceKind.of(
    contract, routes, open_messages, Path(__file__).parent / "migrations", kept=KEPT, documents=SCHEMA
)

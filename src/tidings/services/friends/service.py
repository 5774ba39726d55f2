"""friends, assembled: what it holds, serves and owns."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from tidings.contracts import friends as contract
from tidings.contracts import users
from tidings.platform.process import Resources
from tidings.platform.request import Request, Viewer
from tidings.platform.service import ServiceKind
from tidings.platform.settings import Settings
from tidings.platform.twophase.failpoints import failpoints_of
from tidings.platform.twophase.participant import OrphanSweep
from tidings.platform.twophase.recovery import repeating
from tidings.platform.twophase.transaction import Outcome
from tidings.services.friends import actions, reactions, routes
from tidings.services.friends.holder import Friends
from tidings.services.friends.store.port import FriendsStore
from tidings.services.friends.store.postgres import open_postgres

OpenStore = Callable[[str, Settings], AbstractAsyncContextManager[FriendsStore]]


@asynccontextmanager
async def open_friends(resources: Resources, open_store: OpenStore = open_postgres) -> AsyncIterator[Friends]:
    """Start friends; stop it when the block ends."""
    settings = resources.settings

    async def outcome(gid: str) -> tuple[bool, Outcome | None]:
        asked = Request(
            viewer=Viewer(), caller=resources.service, deadline=time.monotonic() + settings.call_deadline
        )
        answer = await resources.world.call(users.outcome, users.OneTransaction(gid=gid), request=asked)
        return answer.known, answer.outcome

    async with open_store(resources.database, settings) as store:
        removal = store.participant(actions.remove_person, failpoints_of(settings, resources.service))
        sweep = OrphanSweep(removal, outcome, service=resources.service, after=settings.twophase_orphan_after)
        async with repeating(sweep.look, every=settings.twophase_recover_every, name="orphans of friends"):
            yield Friends(
                world=resources.world,
                store=store,
                cursors=resources.cursors(),
                mailroom=resources.mailroom,
                removal=removal,
            )


friends = ServiceKind.of(contract, routes, open_friends, Path(__file__).parent / "migrations", reactions)

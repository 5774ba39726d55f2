"""users, assembled: what it holds, serves and owns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

from tidings import contracts
from tidings.contracts import users as contract
from tidings.platform.export import exports_in
from tidings.platform.process import Resources
from tidings.platform.service import ServiceKind
from tidings.platform.settings import Settings
from tidings.platform.twophase.coordinator import Coordinator
from tidings.platform.twophase.failpoints import failpoints_of
from tidings.platform.twophase.recovery import Recovery, repeating
from tidings.services.users import routes
from tidings.services.users.actions import deletion
from tidings.services.users.codes import Codes
from tidings.services.users.holder import Users
from tidings.services.users.passwords import Passwords
from tidings.services.users.store.port import UsersStore
from tidings.services.users.store.postgres import open_postgres
from tidings.services.users.throttle import Throttle

OpenStore = Callable[[str, Settings], AbstractAsyncContextManager[UsersStore]]


@asynccontextmanager
async def open_users(resources: Resources, open_store: OpenStore = open_postgres) -> AsyncIterator[Users]:
    """Start users; stop it when the block ends."""
    settings = resources.settings
    passwords = Passwords(
        memory_kib=settings.argon2_memory_kib, time=settings.argon2_time, threads=settings.argon2_threads
    )
    try:
        async with open_store(resources.database, settings) as store:
            failpoints = failpoints_of(settings, resources.service)
            coordinator = Coordinator(
                store.log,
                deletion.participants(resources.world),
                deadline=settings.twophase_deadline,
                erase=partial(deletion.erase_answers, store),
                failpoints=failpoints,
            )
            recovery = Recovery(coordinator, service=resources.service)
            every = settings.twophase_recover_every
            async with (
                repeating(recovery.look, every=every, name="recovery"),
                repeating(recovery.count, every=every, name="count of what is in doubt"),
            ):
                try:
                    yield Users(
                        world=resources.world,
                        store=store,
                        cursors=resources.cursors(),
                        mailroom=resources.mailroom,
                        passwords=passwords,
                        codes=Codes(resources.secret),
                        settings=settings,
                        coordinator=coordinator,
                        failpoints=failpoints,
                        throttle=Throttle(resources.temporary, most=settings.sign_in_failures),
                        exports=exports_in(contracts),
                    )
                finally:
                    await coordinator.close()
    finally:
        passwords.close()


users = ServiceKind.of(contract, routes, open_users, Path(__file__).parent / "migrations")

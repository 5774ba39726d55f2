"""One service in a process of its own, as a process of the product runs it; the test plays all others.

The process is named after its kind, `module:name`, so that kinds which live among tests run as well.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import uvloop

from tidings.platform import logs
from tidings.platform.http.internal import internal_app
from tidings.platform.http.listener import Listener, bind_unix
from tidings.platform.launch import Launch
from tidings.platform.process import Plan, Process
from tidings.platform.service import ServiceKind
from tidings.platform.supervisor import READY, handed_launch, until_orphaned


def kind_at(place: str) -> ServiceKind[Any]:
    """The kind that `module:name` names."""
    module, _, name = place.partition(":")
    kind: ServiceKind[Any] = getattr(import_module(module), name)
    return kind


async def serve(launch: Launch) -> None:
    """Run what `tidings.everything` would for this launch; it imports every service, and we may have one only."""
    # Our input ends when we are to stop, and also when whoever started us is gone.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: None)
    kind = kind_at(launch.process)
    plan = Plan(
        settings=launch.settings,
        kinds={kind.name: kind},
        rings=launch.rings,
        secrets=launch.secrets,
        dsns=launch.dsns,
        blobs=launch.blobs,
        addresses=launch.addresses,
    )
    async with Process.running(plan) as process:
        internal = Listener(
            internal_app(process.servings, launch.rings),
            bind_unix(Path(launch.internal.removeprefix("unix:"))),
            idle_timeout=3600,
            header_timeout=launch.settings.header_timeout,
        )
        await internal.start()
        try:
            sys.stdout.buffer.write(READY)
            sys.stdout.buffer.flush()
            await until_orphaned(sys.stdin.fileno())
        finally:
            await internal.stop()


def main() -> None:
    launch = handed_launch(sys.stdin.buffer)
    logs.configure(service=launch.services[0], level="warning", to="stderr", process=launch.process)
    uvloop.run(serve(launch))


if __name__ == "__main__":
    main()

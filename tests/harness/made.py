"""A data folder whose databases are made, once a run: systems start on copies of it, in a fraction of the time.

What a first start does is tested by those that have no copy: `tidings up`, and systems with stores of their own.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.harness.sharing import shared
from tidings import everything
from tidings.platform.settings import Settings
from tidings.platform.topology import EMBEDDED, Topology
from tidings.system import chosen_topology, running

# A process that is killed loses nothing by it: what was committed is with the operating system. Only a machine that
# loses its power would, and no test does that.
QUICK = "\nfsync = off\nfull_page_writes = off\n"


def fits(topology: Topology) -> bool:
    """Whether a system of this topology has all its stores where the made ones are."""
    owners = everything.SERVICES.keys() - everything.STORELESS
    return topology.bus == EMBEDDED and all(topology.services[name].store == EMBEDDED for name in owners)


async def made() -> Path:
    """The folder, on which nothing runs; whoever asks first makes it."""
    async with shared() as folder:
        data = folder / "made"
        if not data.exists():
            await _make(folder / "making")
            (folder / "making").rename(data)
    return data


def copy(data: Path, to: Path) -> Path:
    """`to`, with all of the folder that outlives a server."""
    return shutil.copytree(data, to, ignore=shutil.ignore_patterns("run", "logs"))


async def _make(data: Path) -> None:
    settings = Settings(data=data, port=0, metrics_port=0, log_to="file")
    async with running(settings, chosen_topology(settings, apart=False)):
        pass
    with (data / "postgres" / "postgresql.conf").open("a") as conf:
        conf.write(QUICK)

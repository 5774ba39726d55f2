"""`tidings provision`: a MongoDB of one's own, prepared for a service."""

from __future__ import annotations

import asyncio
import difflib
import os

from tidings import everything
from tidings.cli.options import EXIT_USAGE, Problem
from tidings.platform.engine_url import MONGO_SCHEMES, is_mongo
from tidings.platform.installation import provision
from tidings.platform.settings import hide_passwords
from tidings.platform.topology import Topology, filled_in


def run_provision(topology: Topology, service: str, admin: str) -> None:
    """Say each step that is done. `Problem` where there is nothing to prepare."""
    if service not in everything.ON_MONGODB:
        near = difflib.get_close_matches(service, everything.ON_MONGODB, n=1, cutoff=0.0)
        raise Problem(
            f"{service} keeps nothing in MongoDB.",
            f"Of all services, {' and '.join(everything.ON_MONGODB)} can; the nearest is {near[0]}.",
            EXIT_USAGE,
        )
    url = topology.services[service].store or ""
    if not is_mongo(url):
        raise Problem(
            f"The topology keeps {service} at {hide_passwords(url)!r}: what is embedded is prepared at each start,"
            " only a MongoDB of your own has to be.",
            f"Say where it is to be: --store {service}=mongodb://USER:PASSWORD@HOST/DATABASE",
            EXIT_USAGE,
        )
    if admin.partition("://")[0] not in MONGO_SCHEMES:
        raise Problem(
            f"--admin is {hide_passwords(admin)}, which is no URL of a MongoDB.",
            "For example: --admin mongodb://root:secret@router-1:27017/",
            EXIT_USAGE,
        )
    admin = filled_in(admin, os.environ, "--admin")
    asyncio.run(provision(everything.SERVICES[service], url, admin, print))

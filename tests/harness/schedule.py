"""Which tests share a worker: all that stand on one running system, so that a run starts each system once."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from xdist.scheduler import LoadScopeScheduling

# A test's id says which system it sees: `test_stream.py::test_a_stream_ends[apart-everywhere]`.
_MODE = re.compile(r"[\[-](near|wire|apart|array friends|two servers|mongodb)(?=[-\]])")
# What takes longest begins first, lest it be alone at the end.
_LONGEST = ("apart", "tests/chaos", "near", "wire", "array friends", "mongodb", "two servers")


class BySystem(LoadScopeScheduling):
    """Hands a worker all tests of one system, or of one file where each test makes its own."""

    def _split_scope(self, nodeid: str) -> str:
        return system_of(nodeid)


def system_of(test: str) -> str:
    path = PurePosixPath(test.partition("::")[0])
    place, mode = path.parts[1], _MODE.search(test)
    if place == "services" and mode is not None:
        return f"{path.parent} {mode[1]}"
    # One grown source; one fleet; one wary system.
    if place in ("docs", "chaos") or (place == "security" and mode is None):
        return f"{path.parent}"
    return str(path) if mode is None else mode[1]


def turn(test: str) -> int:
    """When its system's turn is: smaller is earlier."""
    system = system_of(test)
    return _LONGEST.index(system) if system in _LONGEST else len(_LONGEST)

"""What `tidings doctor` finds: one link at a time."""

from __future__ import annotations

from typing import Literal

import msgspec

State = Literal["ok", "warning", "broken"]


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps a link's data, and where, without passwords. `bytes` is what the data takes there.

    What is None is not known: because it does not answer, or does not tell us.
    """

    name: str
    where: str
    version: str | None = None
    bytes: int | None = None


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One link: how it is, and for a broken one how to mend it. `engine` is for a link that keeps data."""

    link: str
    state: State
    detail: str
    mend: str = ""
    engine: Engine | None = None

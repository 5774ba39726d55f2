"""What `tidings doctor` finds: one link at a time."""

from __future__ import annotations

from typing import Literal

import msgspec

State = Literal["ok", "warning", "broken"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One link: how it is, and for a broken one how to mend it."""

    link: str
    state: State
    detail: str
    mend: str = ""

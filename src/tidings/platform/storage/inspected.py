"""What one database was found to be, and in words why another could not be looked into."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

PATIENCE: Final = 3.0  # seconds for all that one database is asked

# Why: it is away; it is there and silent; its service is not let in; the server is there and that database is not;
# something else, as the words say.
Trouble = Literal["away", "silent", "entry", "missing", "other"]
Why = tuple[Trouble, str]

NOTHING_LISTENS: Final[Why] = "away", "nothing listens there"
NO_SUCH_HOST: Final[Why] = "away", "there is no machine of that name"
NO_ANSWER: Final[Why] = "silent", f"no answer within {PATIENCE:g} s"
WRONG_PASSWORD: Final[Why] = "entry", "the server does not take the user and password of this service"
NOT_ALLOWED: Final[Why] = "entry", "the server does not let the user of this service open that database"


class Inspected(msgspec.Struct, frozen=True, kw_only=True):
    """`problem` says why it could not be read, and `trouble` of which kind that is; all else is None then.

    `revision` is None for a database without a schema. `bytes` is what it takes on its server's disk, with indexes;
    `clock_off` is its server's clock less ours, in seconds.
    """

    newest: str
    engine: Literal["PostgreSQL", "MongoDB"]
    version: str | None = None
    bytes: int | None = None
    revision: str | None = None
    compatible_down_to: str | None = None
    clock_off: float | None = None
    problem: str | None = None
    trouble: Trouble | None = None

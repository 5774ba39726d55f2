"""What coordinator and participants of two-phase commit speak of: transactions, branches, and how they end."""

from __future__ import annotations

import re
from datetime import datetime
from secrets import token_hex
from typing import Final, Literal
from uuid import UUID

import msgspec

Outcome = Literal["COMMIT", "ABORT"]
BranchState = Literal["prepared", "committed", "aborted", "absent"]

_GID: Final = re.compile(r"[0-9a-f]{32}")


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the coordinator's log. Once `outcome` is set it never changes."""

    gid: str
    subject: UUID
    participants: tuple[str, ...]
    outcome: Outcome | None
    begun_at: datetime
    deadline: datetime
    decided_for: float  # seconds since the outcome was set, by the database's clock; 0 while there is none
    finished_at: datetime | None


class Prepared(msgspec.Struct, frozen=True):
    """A branch that holds its locks until it is told how the transaction ended."""

    gid: str
    prepared_at: datetime


def new_gid() -> str:
    """128 random bits: whoever knows one may ask how it ended, so it can't be guessed."""
    return token_hex(16)


def branch_prefix(participant: str) -> str:
    """Engines keep one list of prepared transactions for all databases of a server: each name says whose it is."""
    return f"tidings:{participant}:"


def branch_name(participant: str, gid: str) -> str:
    """The name of a participant's branch in its engine; under 200 bytes, and safe to write into a statement."""
    if not _GID.fullmatch(gid):
        raise ValueError(f"{gid!r} is no transaction's id")
    return branch_prefix(participant) + gid

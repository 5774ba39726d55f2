"""What the bench takes of the disk, about."""

from __future__ import annotations

from pathlib import Path
from typing import Final

MESSAGE_BYTES: Final = 1500  # of one that is imported, in the database and its log; of millions, half of that
PERSON_BYTES: Final = 12_000  # with ten friendships
EMPTY_BYTES: Final = 250_000_000  # of a system with nobody in it


def of_system(people: int = 0, messages: int = 0) -> int:
    return EMPTY_BYTES + people * PERSON_BYTES + messages * MESSAGE_BYTES


def taken(folder: Path) -> int:
    """What lies there already, of an earlier run; nothing, if there is no such folder."""
    return sum(one.lstat().st_blocks * 512 for one in folder.rglob("*"))

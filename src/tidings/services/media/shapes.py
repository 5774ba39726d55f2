"""What the store keeps and rules decide about."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from tidings.contracts.messages import MediaId, MessageId
from tidings.contracts.users import UserId

State = Literal["uploading", "processing", "ready", "refused", "leaving"]


class Row(msgspec.Struct, frozen=True):
    """A picture as it is kept. `parts` are those of the file that came, until they are deleted."""

    id: MediaId
    owner_id: UserId
    state: State
    alt: str
    width: int
    height: int
    animated: bool
    blurhash: str
    bytes: int
    problem: str | None
    parts: int
    tries: int
    used: bool
    held_until: datetime


class Look(msgspec.Struct, frozen=True):
    """What has to be known of a picture to decide who sees it."""

    owner_id: UserId
    shown_by: list[MessageId]  # the newest


class Developed(msgspec.Struct, frozen=True):
    """What became of an upload: the size of its largest form in pixels, and of all forms in bytes."""

    width: int
    height: int
    animated: bool
    blurhash: str
    bytes: int


class Due(msgspec.Struct, frozen=True):
    """What there is to do: of each kind, whether there is any."""

    at_work: bool  # whose time is over
    parts: bool  # of what is done
    unused: bool  # and held by nobody
    leaving: bool


class Taken(msgspec.Struct, frozen=True):
    """What one person keeps: bytes, pictures, and how many of them are under way."""

    bytes: int
    pictures: int
    under_way: int


class Totals(msgspec.Struct, frozen=True):
    """Of everybody's."""

    pictures: int
    bytes: int
    leaving: int

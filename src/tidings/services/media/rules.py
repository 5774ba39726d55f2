"""What is decided about pictures: who sees one, what is counted, what is said of it. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tidings.contracts.friends import Relation
from tidings.contracts.media import Attachable, MediaFull, NotAPicture, Picture, Variant
from tidings.contracts.messages import MediaId, Message, MessageId
from tidings.contracts.users import UserCard, UserId
from tidings.platform.clock import rfc3339
from tidings.platform.contract import PART, Busy, Forbidden, Invalid
from tidings.platform.ids import ms_of
from tidings.platform.request import Viewer
from tidings.services.media.shapes import Look, Row, Taken

MOST: Final = 10_000  # pictures of one person: their deletion is one transaction
MOST_AT_ONCE: Final = 8  # uploads of one person under way
AVATARS: Final = ("avatar-96", "avatar-400")
STRANGER: Final = Relation()


def check_room(taken: Taken, *, quota: int) -> None:
    """`MediaFull` beyond what one person may keep, `Busy` beyond what one may upload at a time."""
    if taken.bytes >= quota:
        raise full(quota)
    if taken.pictures >= MOST:
        raise MediaFull(f"One person may keep {MOST} pictures here. Delete some that you do not use.")
    if taken.under_way >= MOST_AT_ONCE:
        raise Busy(
            f"{MOST_AT_ONCE} uploads of yours are under way. Wait for one of them.", retry_after=5, service="media"
        )


def full(quota: int) -> MediaFull:
    return MediaFull(
        f"One person may keep {quota / 1_048_576:g} MiB of pictures here. Delete some that you do not use."
    )


def check_part(number: int, size: int, *, most: int) -> None:
    """A part is as large as it may be, or the last."""
    if not 0 < size <= PART or number * PART + size > most:
        raise Invalid("This part is empty, or more than a file may have.", service="media")


def check_parts(parts: int, size: int, *, most: int) -> None:
    """A file has something in it, and no more than it may; its parts are as large as they can be."""
    if size < 1:
        raise NotAPicture("The file is empty.")
    if size > most or parts != -(-size // PART):
        raise Invalid("The parts do not make up the file.", service="media")


def as_picture(row: Row) -> Picture:
    """As its owner sees it."""
    shown = row.state if row.state in ("processing", "ready", "refused") else "processing"
    return Picture(
        id=row.id,
        state=shown,
        alt=row.alt,
        created_at=rfc3339(ms_of(row.id)),
        width=row.width or None,
        height=row.height or None,
        animated=row.animated,
        blurhash=row.blurhash,
        bytes=row.bytes,
        used=row.used,
        problem=row.problem,
    )


def as_attachable(row: Row) -> Attachable:
    return Attachable(width=row.width, height=row.height, alt=row.alt, blurhash=row.blurhash)


def sees(
    media_id: MediaId,
    variant: Variant,
    look: Look,
    *,
    cards: Mapping[UserId, UserCard],
    relations: Mapping[UserId, Relation],
    messages: Mapping[MessageId, Message],
) -> bool:
    """Whether somebody sees a picture of another: as the avatar on a card that they may see, or in such a message.

    The card says which picture is worn now, and of that only the avatar's own forms are for everybody. `messages`
    are those that the viewer may see. One that shows the picture now says so itself, before its event has come; one
    that showed it before an edit has it in its history.
    """
    card = cards.get(look.owner_id)
    worn = card is not None and card.avatar.startswith(f"/v1/media/{media_id}/")
    if worn and variant in AVATARS and not relations.get(look.owner_id, STRANGER).blocked:
        return True
    shown_by = set(look.shown_by)
    return any(
        message.author_id == look.owner_id
        and (message_id in shown_by or any(one.media_id == media_id for one in message.media))
        for message_id, message in messages.items()
    )


def check_operator(viewer: Viewer) -> None:
    """`Forbidden` for everybody but the command line."""
    if viewer.role != "operator":
        raise Forbidden("This is for the operator.")

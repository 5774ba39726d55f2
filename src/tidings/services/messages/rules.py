"""Who may see what, which messages count, and what a message must be: pure decisions, no I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeVar
from uuid import UUID

from msgspec import UNSET, structs

from tidings.contracts.friends import Relation
from tidings.contracts.media import Attachable
from tidings.contracts.messages import (
    HIGHEST,
    LOWEST,
    Audience,
    AudienceMismatch,
    EmptyMessage,
    Media,
    MediaId,
    MessageId,
    MessagePatch,
    Near,
    NewMedia,
    NewMessage,
    NewPlace,
    Place,
    Rules,
)
from tidings.contracts.users import UserId
from tidings.platform.contract import Busy, FieldError, Forbidden, Invalid
from tidings.platform.ids import bucket_in, first_of, ms_of
from tidings.platform.request import Viewer

Standing = Literal["own", "friend", "other", "hidden"]  # of the viewer to an author
Span = tuple[float, float]
Item = TypeVar("Item")

EARTH_KM: Final = 6_371.0088  # mean radius (IUGG)
LAST_MS: Final = (1 << 48) - 1


class Said(Protocol):
    """What visibility asks of a message."""

    @property
    def author_id(self) -> UserId: ...
    @property
    def audience(self) -> Audience: ...
    @property
    def only(self) -> Sequence[UserId]: ...


class Headed(Protocol):
    """What the rules ask of a message."""

    @property
    def id(self) -> MessageId: ...
    @property
    def audience(self) -> Audience: ...
    @property
    def only(self) -> Sequence[UserId]: ...
    @property
    def has_media(self) -> bool: ...
    @property
    def place(self) -> Span | None: ...


def check_operator(viewer: Viewer) -> None:
    """Raises `Forbidden` unless an operator or an administrator asks."""
    if viewer.role not in {"operator", "administrator"}:
        raise Forbidden("Only an operator may do this.")


# Visibility.


def standing(viewer: UserId | None, author: UserId, relation: Relation | None, *, has_card: bool) -> Standing:
    """`hidden`: the author is gone or suspended, or one of the two has blocked the other."""
    if not has_card:
        return "hidden"
    if viewer == author:
        return "own"
    if relation is None:
        return "other"
    if relation.blocked:
        return "hidden"
    return "friend" if relation.friend else "other"


def standings_asked(
    viewer: UserId | None, friends: Iterable[UserId], others: Iterable[UserId]
) -> dict[UserId, Standing]:
    """How the viewer stands to authors whom a listed caller vouches for. Friends win over others."""
    asked: dict[UserId, Standing] = dict.fromkeys(others, "other")
    asked.update(dict.fromkeys(friends, "friend"))
    if viewer in asked:
        asked[viewer] = "own"
    return asked


def admits(audience: Audience, only: Sequence[UserId], viewer: UserId | None, stands: Standing) -> bool:
    """Whether a message of its own, not a reply, is for the viewer."""
    if stands == "own":
        return True
    if stands == "hidden":
        return False
    if audience == "public":
        return True
    if audience == "friends":
        return stands == "friend"
    return viewer is not None and viewer in only


def sees(chain: Sequence[Said], viewer: UserId | None, standings: Mapping[UserId, Standing]) -> bool:
    """Whether the viewer sees the last of `chain`, which starts at the thread's first message.

    A reply is seen by those who see all above it and whom its own audience admits; there, `friends` are the
    friends of its author or of any author above, and those authors: a thread among friends stays one talk.
    """
    near = False
    for said in chain:
        stands = standings.get(said.author_id, "hidden")
        near = near or stands in {"own", "friend"}
        widened: Standing = "friend" if near and stands == "other" else stands
        if not admits(said.audience, said.only, viewer, widened):
            return False
    return bool(chain)


def shows_place(stands: Standing) -> bool:
    """A place is for the author and the author's friends."""
    return stands in {"own", "friend"}


# Rules of the timeline.


def floor_of(rules: Rules) -> MessageId:
    """Messages count when their id is above this one."""
    if rules.since_ms is None or rules.since_ms <= 0:
        return LOWEST
    return MessageId(UUID(int=first_of(min(rules.since_ms, LAST_MS)).int - 1))


def ceiling_of(as_of_ms: int | None) -> MessageId:
    """Messages count when their id is below this one."""
    if as_of_ms is None or as_of_ms >= LAST_MS:
        return HIGHEST
    return MessageId(first_of(max(as_of_ms, -1) + 1))


def newer_floor_of(rules: Rules, as_of_ms: int) -> MessageId:
    """Messages count as said since `as_of_ms` when their id is above this one."""
    return max(floor_of(rules), MessageId(UUID(int=ceiling_of(as_of_ms).int - 1)))


def can_match(stands: Standing, rules: Rules) -> bool:
    """A place that is not shown is not found by either, or a search would tell it."""
    return stands != "hidden" and (rules.near is None or shows_place(stands))


def satisfies(head: Headed, rules: Rules) -> bool:
    """Media and place; the time is a matter of `floor_of`."""
    if rules.has_media and not head.has_media:
        return False
    if rules.near is None:
        return True
    return head.place is not None and is_within(rules.near, head.place)


@dataclass(frozen=True, slots=True)
class FromRow:
    """What an author's newest few tell. `newer` is None, and `enough` false, where only the documents know."""

    positions: list[int]
    enough: bool
    newer: bool | None


def from_row(
    heads: Sequence[Headed],
    *,
    complete: bool,
    viewer: UserId | None,
    stands: Standing,
    rules: Rules,
    floor: MessageId,
    ceiling: MessageId,
    per_author: int,
) -> FromRow:
    """The newest `per_author` that count, among an author's newest few (newest first).

    Between `floor` and `ceiling`; what counts from the ceiling on is newer.
    """
    positions: list[int] = []
    newer: bool | None = None
    for position, head in enumerate(heads):
        if head.id <= floor:  # nothing older can count
            complete = True
            break
        counts = admits(head.audience, head.only, viewer, stands) and satisfies(head, rules)
        if head.id >= ceiling:
            newer = newer or counts or None
            continue
        newer = newer or False
        if counts:
            positions.append(position)
            if len(positions) == per_author:
                break
    if complete:
        newer = newer or False
    return FromRow(positions, complete or len(positions) == per_author, newer)


# Distance.


def kilometres(a: Span, b: Span) -> float:
    """Great-circle distance by the haversine formula (Sinnott 1984); points are latitude, longitude in degrees."""
    latitude_a, latitude_b = math.radians(a[0]), math.radians(b[0])
    across = math.radians(b[1] - a[1])
    half = (
        math.sin((latitude_b - latitude_a) / 2) ** 2
        + math.cos(latitude_a) * math.cos(latitude_b) * math.sin(across / 2) ** 2
    )
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(half)))


def is_within(near: Near, place: Span) -> bool:
    """On the edge counts."""
    return kilometres((near.latitude, near.longitude), place) <= near.within_km


def box(near: Near) -> tuple[Span, tuple[Span, Span]]:
    """Latitudes, and two spans of longitude, that hold the whole circle: a store's first, coarse sieve."""
    margin = 1e-6  # degrees: more than any rounding, less than any person cares
    angle = near.within_km / EARTH_KM
    low, high = near.latitude - math.degrees(angle) - margin, near.latitude + math.degrees(angle) + margin
    if low <= -90 or high >= 90:  # a pole lies inside: every longitude does
        return (max(low, -90.0), min(high, 90.0)), ((-180.0, 180.0), (-180.0, 180.0))
    across = math.degrees(math.asin(min(1.0, math.sin(angle) / math.cos(math.radians(near.latitude))))) + margin
    west, east = near.longitude - across, near.longitude + across
    if east - west >= 360:
        return (low, high), ((-180.0, 180.0), (-180.0, 180.0))
    if west < -180:
        return (low, high), ((west + 360, 180.0), (-180.0, east))
    if east > 180:
        return (low, high), ((west, 180.0), (-180.0, east - 360))
    return (low, high), ((west, east), (west, east))


# What a message must be.


def distinct(values: Iterable[Item]) -> list[Item]:
    """Each once, in the order of their first coming."""
    return list(dict.fromkeys(values))


def rounded(place: NewPlace) -> Place:
    """The place as precisely as its author chose to tell. Adding 0.0 turns a minus zero into zero."""
    return Place(
        latitude=round(place.latitude, place.decimals) + 0.0,
        longitude=round(place.longitude, place.decimals) + 0.0,
        name=place.name,
    )


def check(text: str, media: Sequence[Media | NewMedia], audience: Audience, only: Sequence[UserId]) -> None:
    """`EmptyMessage` or `AudienceMismatch` for what cannot be said."""
    if not text.strip() and not media:
        raise EmptyMessage("Write something, or add a picture.")
    if audience == "only" and not only:
        raise AudienceMismatch("Name in `only` who may see it, or choose another audience.")
    if audience != "only" and only:
        raise AudienceMismatch("Names in `only` go with the audience `only`.")


def written(body: NewMessage) -> NewMessage:
    """The message without duplicates. Raises what `check` raises."""
    check(body.text, body.media, body.audience, body.only)
    return structs.replace(
        body, mentions=distinct(body.mentions), tags=distinct(body.tags), only=distinct(body.only)
    )


def patched_audience(
    audience: Audience, only: Sequence[UserId], patch: MessagePatch
) -> tuple[Audience, list[UserId]]:
    """Audience and names after a patch; an audience other than `only` drops the names that were there."""
    new = audience if patch.audience is UNSET else patch.audience
    if patch.only is not UNSET:
        return new, distinct(patch.only)
    return new, list(only) if new == "only" else []


def unshown(named: Sequence[NewMedia], shown: Iterable[Media]) -> list[MediaId]:
    """Those named that are not among the `shown`. `Invalid` if one is named twice."""
    ids = [one.media_id for one in named]
    twice = tuple(
        FieldError(f"/media/{place}/media_id", "named before")
        for place, media_id in enumerate(ids)
        if media_id in ids[:place]
    )
    if twice:
        raise Invalid("A message shows a picture once. Name each once.", errors=twice)
    there = {one.media_id for one in shown}
    return [media_id for media_id in ids if media_id not in there]


def described(held: Mapping[MediaId, Attachable], named: Sequence[NewMedia], new: Sequence[MediaId]) -> list[Media]:
    """What is said of the `new` ones. `Invalid` points at those that were not `held` for the author."""
    missing = set(new) - held.keys()
    if missing:
        wrong = tuple(
            FieldError(f"/media/{place}/media_id", "not there, not yours, or not ready")
            for place, one in enumerate(named)
            if one.media_id in missing
        )
        raise Invalid("A message shows pictures of your own, once they are ready. Upload them first.", errors=wrong)
    return [
        Media(
            media_id=media_id, kind="image", width=one.width, height=one.height, alt=one.alt, blurhash=one.blurhash
        )
        for media_id, one in held.items()
    ]


def pictured(named: Sequence[NewMedia], known: Iterable[Media]) -> list[Media]:
    """What the message says of each that is named. `Busy` if one is unknown: it was taken out in this moment."""
    said = {one.media_id: one for one in known}
    if any(one.media_id not in said for one in named):
        raise Busy("The message was changed in this moment. Try again.", retry_after=1, service="messages")
    return [
        said[one.media_id] if one.alt is None else structs.replace(said[one.media_id], alt=one.alt) for one in named
    ]


def next_ms(now: int, last: int) -> int:
    """The millisecond of an author's next id: no two in one, and always rising, though the clock steps back."""
    return max(now, last + 1)


# Reading forward while others write.


def settled(
    last: MessageId, handed_out: Iterable[MessageId], after: MessageId, *, now: int, most: int
) -> tuple[MessageId, list[MessageId]]:
    """Where the next page starts, and which ids above that were handed out already.

    A writer holds an id for up to two seconds before its commit: the cursor never passes that, and what it
    has shown beyond is left out by id.
    """
    bound = MessageId(first_of(now - 2000))
    start = max(after, min(last, bound))
    beyond = [identifier for identifier in handed_out if identifier > start]
    return (start, beyond) if len(beyond) <= most else (last, [])


def is_importable(message_id: MessageId, bucket: int, *, now: int) -> bool:
    """A UUIDv7 that carries the author's bucket and was not made in the future."""
    return message_id.version == 7 and bucket_in(message_id) == bucket and ms_of(message_id) <= now

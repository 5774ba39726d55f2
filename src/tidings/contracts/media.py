"""media: pictures that people upload, made harmless, each in four sizes."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from tidings.contracts.messages import Alt, MediaId, MessageId
from tidings.contracts.users import Cursor, Limit, UserId
from tidings.platform.clock import Instant
from tidings.platform.contract import (
    Busy,
    Call,
    Invalid,
    NotFound,
    Nothing,
    Refusal,
    Route,
    Upload,
    Uploaded,
    UploadPart,
    Value,
)
from tidings.platform.export import Export
from tidings.platform.occurrence import DeadLetters, EventId, Replay

Variant = Literal["avatar-96", "avatar-400", "preview", "full"]
OwnIds = Annotated[list[MediaId], Meta(max_length=100)]


class NotAPicture(Refusal, code="not_a_picture", status=415, title="Not a picture that we can read"):
    """Only what decodes as JPEG, PNG, GIF or WebP is kept, whatever its name and type say."""


class PictureTooLarge(Refusal, code="picture_too_large", status=422, title="More picture than we take"):
    """Too many pixels, too many frames, or more work than one picture is worth."""


class MediaFull(Refusal, code="media_full", status=409, title="No room left for your media"):
    """One person's pictures may take so much room. Delete some first."""


class MediaInUse(Refusal, code="media_in_use", status=409, title="Still in use"):
    """A message shows it, or it is your avatar: take it out of there first."""


# What is kept.


class Picture(Value, frozen=True):
    """A picture of one's own. Sizes are those of `full`, in pixels; `bytes` is what all four take.

    `processing` lasts seconds; from then on it is `ready`, or `refused` with the `problem`, a sentence. Until a
    message or the profile uses it nobody else sees it, and after a day it is deleted; after a week, where a post or
    a profile was about to use it.
    """

    id: MediaId
    state: Literal["processing", "ready", "refused"]
    alt: str
    created_at: Instant
    kind: Literal["image"] = "image"
    width: int | None = None
    height: int | None = None
    animated: bool = False
    blurhash: str = ""
    bytes: int = 0
    used: bool = False
    problem: str | None = None


# Internal calls.


class Attachable(Value, frozen=True):
    """What a message says of a picture that it shows."""

    width: int
    height: int
    alt: str
    blurhash: str


class OwnMedia(Value, frozen=True):
    """Which of the viewer's own."""

    ids: OwnIds


class UsageAsk(Value, frozen=True):
    """People after an id, in the order of their ids."""

    after: UserId | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 500


class Used(Value, frozen=True):
    """How much one person keeps here."""

    user_id: UserId
    pictures: int
    bytes: int
    unused: int  # of the pictures: those that nothing shows


class Usage(Value, frozen=True):
    """A page of people, and all that is kept. `leaving` are marked, and their blobs are being deleted."""

    people: list[Used]
    pictures: int
    bytes: int
    leaving: int
    blobs: str  # where they are, without secrets


class PruneAsk(Value, frozen=True):
    """Where the last look at the blobs ended."""

    after: str = ""


class Pruned(Value, frozen=True):
    """What was deleted: pictures that nothing shows any more, and blobs that belong to no picture."""

    pictures: int
    strays: int
    after: str | None = None  # there are more blobs to look at


begin_upload = Call("media/begin_upload", Nothing, Uploaded, callers={"edge"})
add_part = Call("media/add_part", UploadPart, Nothing, callers={"edge"}, deadline=20.0)
give_back = Call("media/give_back", Uploaded, Nothing, callers={"edge"})
# Those of the viewer's own that are ready: none of them is deleted within a week, so there is time to claim it.
hold: Call[OwnMedia, dict[MediaId, Attachable]] = Call(
    "media/hold", OwnMedia, dict[MediaId, Attachable], callers={"messages", "users"}
)
usage = Call("media/usage", UsageAsk, Usage, safe=True, callers={"cli"})
prune = Call("media/prune", PruneAsk, Pruned, callers={"cli"}, deadline=60.0)
export = Export(
    "media",
    callers={"users"},
    files={"media.json": "your pictures: what you say of each, its size, and since when"},
    blobs="your pictures themselves, in the largest size that is kept",
)


# What the operator asks.


dead_letters = Call("media/dead_letters", Nothing, DeadLetters, safe=True, callers={"cli"})
replay_event = Call("media/replay_event", EventId, Replay, callers={"cli"})  # refuses with NotFound


# Public routes.


class NewPicture(Value, frozen=True):
    """The fields beside the file. `alt` says in words what the picture shows."""

    alt: Alt = ""


class UploadAsk(Value, frozen=True):
    body: NewPicture
    upload: Uploaded


class ListMedia(Value, frozen=True):
    limit: Limit = 20
    cursor: Cursor | None = None


class Pictures(Value, frozen=True):
    """One's own, newest first."""

    media: list[Picture]
    next_cursor: str | None = None


class OneMedia(Value, frozen=True):
    media_id: MediaId


class AltPatch(Value, frozen=True):
    """A merge patch (RFC 7396). Messages that show the picture keep what they say of it."""

    alt: Alt


class PatchMedia(Value, frozen=True):
    media_id: MediaId
    body: AltPatch


class OneBlob(Value, frozen=True):
    """`message` is the message that shows the picture; without it, any that the viewer may see will do."""

    media_id: MediaId
    variant: Variant
    message: MessageId | None = None


upload = Route(
    "media/upload",
    "POST",
    "/v1/media",
    UploadAsk,
    Picture,
    "Upload a picture: JPEG, PNG, GIF or WebP",
    status=201,
    idempotency=True,
    refusals=(NotAPicture, PictureTooLarge, MediaFull, Busy),
    accepted=Picture,
    upload=Upload(begin=begin_upload, part=add_part, give_back=give_back),
    deadline=60.0,
    callers={"web"},
)
list_media = Route("media/list_media", "GET", "/v1/media", ListMedia, Pictures, "One's own pictures")
get_media = Route(
    "media/get_media",
    "GET",
    "/v1/media/{media_id}",
    OneMedia,
    Picture,
    "A picture of one's own, as data",
    refusals=(NotFound,),
    callers={"web"},
)
patch_media = Route(
    "media/patch_media",
    "PATCH",
    "/v1/media/{media_id}",
    PatchMedia,
    Picture,
    "Say in other words what a picture of one's own shows",
    refusals=(NotFound, Invalid),
)
delete_media = Route(
    "media/delete_media",
    "DELETE",
    "/v1/media/{media_id}",
    OneMedia,
    Nothing,
    "Delete a picture of one's own that nothing shows",
    status=204,
    refusals=(NotFound, MediaInUse),
)
get_blob = Route(
    "media/get_blob",
    "GET",
    "/v1/media/{media_id}/{variant}",
    OneBlob,
    bytes,
    "The picture itself, for those who may see what shows it",
    refusals=(NotFound,),
    content_type="image/webp",
)

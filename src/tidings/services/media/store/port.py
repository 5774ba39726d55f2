"""What media needs of a store."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol
from uuid import UUID

from tidings.contracts.media import Used
from tidings.contracts.messages import MediaId, MessageId
from tidings.contracts.users import UserId
from tidings.platform.contract import Route
from tidings.platform.storage.handle import Fence
from tidings.services.media.shapes import Developed, Due, Look, Row, Taken, Totals


class MediaWrite(Protocol):
    """One open transaction."""

    async def fence(self, own: Iterable[UUID], others: Iterable[UUID] = ()) -> dict[UUID, Fence]: ...

    def answers(self, route: Route[Any, Any], reply: Any) -> None: ...

    async def taken(self, owner_id: UserId) -> Taken: ...

    async def begin(self, media_id: MediaId, owner_id: UserId, *, seconds: float) -> None:
        """An upload, which is held for so long."""
        ...

    async def touch(self, media_id: MediaId, owner_id: UserId, *, seconds: float) -> bool:
        """Hold an upload for so long from now; False if there is no such upload under way."""
        ...

    async def complete(
        self, media_id: MediaId, owner_id: UserId, *, alt: str, parts: int, seconds: float
    ) -> Row | None:
        """All has come: it is at work for so long. None if there is no such upload under way."""
        ...

    async def develop(self, media_id: MediaId, made: Developed, *, seconds: float) -> bool:
        """It is ready, and held for so long; False if somebody has deleted it meanwhile, or was quicker."""
        ...

    async def refuse(self, media_id: MediaId, problem: str, *, seconds: float) -> bool:
        """It is none of ours, and said to be so for so long; False as above."""
        ...

    async def start(self, media_id: MediaId, *, seconds: float) -> bool:
        """Begin a try, for so long; False if it is not at work any more."""
        ...

    async def not_tried(self, media_id: MediaId) -> None:
        """The try came to nothing by no fault of the picture's."""
        ...

    async def take_over(self, *, seconds: float, limit: int) -> list[Row]:
        """Those at work whose time is over: they are the caller's for so long."""
        ...

    async def without_parts(self, media_ids: Collection[MediaId]) -> None:
        """The parts of these are deleted."""
        ...

    async def describe(self, media_id: MediaId, owner_id: UserId, alt: str) -> Row | None: ...

    async def show(self, message_id: MessageId, ids: Collection[MediaId], author_id: UserId) -> None:
        """A message shows those of these that are its author's and there; none if it was withdrawn."""
        ...

    async def unshow(self, message_id: MessageId, author_id: UserId) -> None:
        """A message was withdrawn: it shows nothing, also where an older event says so later.

        Under the author's fence, whose version rises: by that `show_at_once` knows whether it was blind to it.
        """
        ...

    async def wear(self, user_id: UserId, media_id: MediaId | None, version: int) -> bool:
        """This is a person's avatar from that version of theirs on; False if a newer one is known."""
        ...

    async def leave(self, media_id: MediaId, owner_id: UserId) -> Literal["left", "used", "unknown"]:
        """Mark one picture as leaving, under its row's lock."""
        ...

    async def leave_unused(self, limit: int) -> list[MediaId]:
        """Mark pictures that nothing shows and nobody holds, under their rows' locks; which."""
        ...

    async def remove_person(self, person: UserId, *, answers: str) -> None:
        """Mark all of a person's, forget their kept `answers`, and write nothing more of theirs."""
        ...

    async def emptied(self, media_ids: Collection[MediaId]) -> None:
        """The blobs of these were deleted just now."""
        ...

    async def forget(self, media_ids: Collection[MediaId]) -> None:
        """Nothing is left of these, and nothing comes any more."""
        ...

    async def forget_withdrawn(self, *, days: int) -> None: ...


class MediaStore(Protocol):
    """Pictures at rest."""

    async def ready(self) -> None: ...

    async def recall(self) -> None: ...

    async def own(self, owner_id: UserId, ids: Collection[MediaId]) -> dict[MediaId, Row]:
        """Those of this person, as far as an upload is complete."""
        ...

    async def look(self, media_id: MediaId, *, most: int) -> Look | None:
        """None unless it is ready."""
        ...

    async def newest(self, owner_id: UserId, *, before: MediaId | None, limit: int) -> list[Row]: ...

    async def after(self, owner_id: UserId, *, after: UUID, until: UUID, limit: int) -> list[Row]:
        """Those that are ready, in the order of their ids; `until` is not included."""
        ...

    async def due(self, *, again_after: float) -> Due: ...

    async def with_parts(self, limit: int) -> list[MediaId]:
        """Those that are done, and whose parts are still there."""
        ...

    async def leaving(self, *, again_after: float, limit: int) -> Mapping[MediaId, bool]:
        """Those whose blobs are to be deleted; True: for the second time, which is the last."""
        ...

    async def known(self, ids: Collection[MediaId]) -> set[MediaId]:
        """Those that there is a row of, whatever its state."""
        ...

    async def usage(self, *, after: UserId | None, limit: int) -> list[Used]: ...

    async def totals(self) -> Totals: ...

    async def hold(self, ids: Collection[MediaId], owner_id: UserId, *, seconds: float, to_wear: bool) -> list[Row]:
        """Of these, the person's own that are ready: none is collected for so long. For a profile, or a message.

        A write of its own.
        """
        ...

    async def show_at_once(self, message_id: MessageId, ids: Collection[MediaId], author_id: UserId) -> bool:
        """`MediaWrite.show` in one statement, with the event that is reacted to. False: nothing was written, and
        `write` tells why.
        """
        ...

    def write(self) -> AbstractAsyncContextManager[MediaWrite]: ...

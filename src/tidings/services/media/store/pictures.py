"""The pictures themselves, as blobs: `{media id}/{variant}`, and the parts of a file on its way below the same id.

A key is made of ids that we made, never of a file's name or content: what two people upload is two pictures, so
that nobody learns what another has, and neither goes with the other.
"""

from __future__ import annotations

from typing import Final

from tidings.contracts.media import Variant
from tidings.contracts.messages import MediaId
from tidings.platform.storage.blobs import Blobs, open_blobs

WEBP: Final = "image/webp"
BYTES: Final = "application/octet-stream"


class Pictures:
    """Files of pictures. All raise `Unavailable` where they cannot be reached."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self.where = blobs.where

    async def ready(self) -> None:
        await self._blobs.ready()

    async def put(self, media_id: MediaId, variant: Variant, content: bytes) -> None:
        await self._blobs.put(f"{media_id}/{variant}.webp", content, WEBP)

    async def get(self, media_id: MediaId, variant: Variant) -> bytes | None:
        return await self._blobs.get(f"{media_id}/{variant}.webp")

    async def address(self, media_id: MediaId, variant: Variant, seconds: int) -> str | None:
        """Where the bucket itself serves it for so long; None where there is no bucket."""
        return await self._blobs.address(f"{media_id}/{variant}.webp", seconds)

    async def put_part(self, media_id: MediaId, number: int, content: bytes) -> None:
        await self._blobs.put(f"{media_id}/parts/{number:05}", content, BYTES)

    async def part(self, media_id: MediaId, number: int) -> bytes | None:
        return await self._blobs.get(f"{media_id}/parts/{number:05}")

    async def drop_parts(self, media_id: MediaId) -> None:
        await self._blobs.drop(f"{media_id}/parts")

    async def drop(self, media_id: MediaId | str) -> int:
        """Delete all that there is under an id; how many files that were."""
        return await self._blobs.drop(str(media_id))

    async def ids(self, after: str, limit: int) -> list[str]:
        """Under which ids there is anything, in their order. A stranger's file would be among them, as its name."""
        return await self._blobs.folders(after, limit)


def open_pictures(place: str) -> Pictures:
    """Pictures in a folder or a bucket."""
    return Pictures(open_blobs("media", place))

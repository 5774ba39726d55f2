"""The picture that a person is shown by. The one made from an id: 5 by 5 fields, as PNG (RFC 2083)."""

from __future__ import annotations

import struct
import zlib
from colorsys import hls_to_rgb
from hashlib import blake2b
from uuid import UUID

from tidings.contracts.media import Variant

FIELDS = 5
FIELD = 16  # pixels
MARGIN = 8  # pixels
SIZE = FIELDS * FIELD + 2 * MARGIN
GROUND = (240, 240, 243)


def path(user_id: UUID, own: UUID | None, variant: Variant) -> str:
    """Where the picture is served: their `own` in that size, or the one made from the id."""
    return f"/v1/avatars/{user_id}" if own is None else f"/v1/media/{own}/{variant}"


def picture(user_id: UUID) -> bytes:
    """96 by 96 pixels in two colours; the same id gives the same bytes."""
    seed = blake2b(user_id.bytes, digest_size=8, person=b"tidings-avatar").digest()
    hue, bits = seed[0] / 256, int.from_bytes(seed[1:4], "big")
    colour = tuple(round(part * 255) for part in hls_to_rgb(hue, 0.45 + seed[4] / 256 * 0.15, 0.6))
    rows = [_row(bits >> 3 * number) for number in range(FIELDS)]
    blank = bytes(1 + SIZE // 8)
    lines = blank * MARGIN + b"".join(row * FIELD for row in rows) + blank * MARGIN
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            _chunk(b"IHDR", struct.pack(">IIBBBBB", SIZE, SIZE, 1, 3, 0, 0, 0)),  # 1 bit a pixel, a palette
            _chunk(b"PLTE", bytes((*GROUND, *colour))),
            _chunk(b"IDAT", zlib.compress(lines, 9)),
            _chunk(b"IEND", b""),
        )
    )


def _row(bits: int) -> bytes:
    """One line of pixels, mirrored at the middle field, after its filter byte."""
    half = [bits & 1, bits >> 1 & 1, bits >> 2 & 1]
    pixels = 0
    for field in (*half, half[1], half[0]):
        pixels = pixels << FIELD | ((1 << FIELD) - 1 if field else 0)
    return b"\0" + (pixels << MARGIN).to_bytes(SIZE // 8, "big")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

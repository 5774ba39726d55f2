"""A picture before it has come: its blurhash as a few pixels within the page."""

from __future__ import annotations

import math
import struct
import zlib
from base64 import b64encode
from functools import lru_cache
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
DIGITS: Final = {character: value for value, character in enumerate(ALPHABET)}
WIDE, HIGH = 8, 6  # pixels; a browser makes them smooth
NOTHING: Final = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="


@lru_cache(maxsize=4096)
def blurred(blurhash: str) -> str:
    """A `data:` address of a PNG; of nothing visible where the hash is none (https://blurha.sh)."""
    try:
        return "data:image/png;base64," + b64encode(_png(_pixels(blurhash))).decode("ascii")
    except (KeyError, IndexError, ValueError):
        return NOTHING


def _pixels(blurhash: str) -> list[bytes]:
    """Rows of RGB."""
    size = _number(blurhash[0])
    across, down = size % 9 + 1, size // 9 + 1
    if len(blurhash) != 4 + 2 * across * down:
        raise ValueError("not as long as it says")
    most = (_number(blurhash[1]) + 1) / 166
    average = _number(blurhash[2:6])
    colours = [tuple(_linear(average >> shift & 255) for shift in (16, 8, 0))]
    for index in range(1, across * down):
        value = _number(blurhash[4 + 2 * index : 6 + 2 * index])
        colours.append(
            tuple(_signed((part - 9) / 9) * most for part in (value // 361, value // 19 % 19, value % 19))
        )
    by_column = [[math.cos(math.pi * x * i / WIDE) for i in range(across)] for x in range(WIDE)]
    by_row = [[math.cos(math.pi * y * j / HIGH) for j in range(down)] for y in range(HIGH)]
    return [
        bytes(
            _sent(
                sum(column[i] * row[j] * colours[i + j * across][part] for j in range(down) for i in range(across))
            )
            for column in by_column
            for part in range(3)
        )
        for row in by_row
    ]


def _png(rows: list[bytes]) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", WIDE, HIGH, 8, 2, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def _number(digits: str) -> int:
    value = 0
    for digit in digits:
        value = value * 83 + DIGITS[digit]
    return value


def _signed(value: float) -> float:
    return math.copysign(value * value, value)


def _linear(value: int) -> float:
    part = value / 255
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)


def _sent(value: float) -> int:
    part = min(1.0, max(0.0, value))
    return round(255 * (12.92 * part if part <= 0.0031308 else 1.055 * part ** (1 / 2.4) - 0.055))

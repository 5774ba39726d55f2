"""Cursors: opaque, signed, and bound to who asked for which list."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from hmac import compare_digest
from typing import TypeVar
from uuid import UUID

import msgspec

from tidings.platform.contract import BadCursor

Position = TypeVar("Position", bound=msgspec.Struct)

SIGNATURE = 16  # bytes

_encode = msgspec.msgpack.Encoder(uuid_format="bytes").encode


class Cursors:
    """Seals and opens one service's cursors."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, position: msgspec.Struct, *, asker: UUID | None, of: str) -> str:
        """In characters that an address takes as they are.

        `of` names the list with its rules: a cursor of another list does not open.
        """
        payload = _encode(position)
        return urlsafe_b64encode(self._sign(payload, asker, of) + payload).rstrip(b"=").decode()

    def open(self, cursor: str, into: type[Position], *, asker: UUID | None, of: str) -> Position:
        """The position. `BadCursor` for anything that this service did not make for this asker and list."""
        try:
            raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        except ValueError as error:
            raise BadCursor("That is not a cursor of this list.") from error
        if urlsafe_b64encode(raw).rstrip(b"=").decode() != cursor:  # the decoder skips what is not in its alphabet
            raise BadCursor("That is not a cursor of this list.")
        signature, payload = raw[:SIGNATURE], raw[SIGNATURE:]
        if not compare_digest(signature, self._sign(payload, asker, of)):
            raise BadCursor(
                "That is not a cursor of this list, or it was made for somebody else. Start without one."
            )
        return msgspec.msgpack.decode(payload, type=into)

    def _sign(self, payload: bytes, asker: UUID | None, of: str) -> bytes:
        bound = (asker.bytes if asker else b"") + b"\0" + of.encode() + b"\0" + payload
        return blake2b(bound, key=self._key[:64], person=b"tidings-cursor", digest_size=SIGNATURE).digest()

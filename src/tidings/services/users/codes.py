"""Secrets that people hold: made at random or from the service's own secret, kept as digests only."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import blake2b, sha256
from secrets import token_bytes
from uuid import UUID

SECRET_BYTES = 32


def new_token() -> str:
    """A session's token: `tds_` and 32 random bytes."""
    return "tds_" + _text(token_bytes(SECRET_BYTES))


def new_link() -> str:
    """A one-time link's secret: `tdl_` and 32 random bytes."""
    return "tdl_" + _text(token_bytes(SECRET_BYTES))


def digest(code: str) -> bytes:
    """SHA-256. A code of 32 random bytes cannot be guessed, so it needs no slow hash."""
    return sha256(code.encode()).digest()


@dataclass(frozen=True, slots=True, repr=False)
class Codes:
    """What is made from the service's secret, and can be made again."""

    secret: bytes

    def invite(self, invite_id: UUID) -> str:
        """An invite's code: `tdi_` and an HMAC of its id, so that its maker can be shown it again."""
        return "tdi_" + _text(self._mac(b"invites", invite_id.bytes))

    def handle(self, handle: str) -> bytes:
        """A handle's keyed digest: what is left of it after its account is deleted."""
        return self._mac(b"handles", handle.encode())

    def _mac(self, purpose: bytes, message: bytes) -> bytes:
        key = blake2b(purpose, key=self.secret[:64]).digest()
        return hmac.digest(key, message, "sha256")


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()

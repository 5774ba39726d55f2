"""What the edge keeps: who holds a session's token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tidings.contracts import users
from tidings.contracts.users import SignedIn, TokenDigest
from tidings.platform.cache.keeper import Kept, Piece
from tidings.platform.request import Viewer


def _holder(viewer: Viewer, ask: TokenDigest, found: SignedIn) -> list[Piece]:
    return [Piece(ask.digest, found, found.user_id, found.as_of, until_ms=found.expires_ms)]


def _digests(viewer: Viewer, ask: TokenDigest) -> Sequence[bytes]:
    return [ask.digest]


def _same(ask: TokenDigest, missing: Sequence[bytes]) -> TokenDigest:
    return ask


def _found(ask: TokenDigest, found: Mapping[bytes, SignedIn], as_of_ns: int) -> SignedIn:
    return found[ask.digest]


KEPT: Final = (
    # A person is let in by it, and is shown nothing of it.
    Kept(users.whois, keys=_digests, rest=_same, pieces=_holder, whole=_found, shown=False),
)

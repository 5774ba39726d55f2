"""What the edge keeps: who holds a session's token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tidings.contracts import users
from tidings.contracts.users import SignedIn, TokenDigests
from tidings.platform.cache.kept import Kept, Piece
from tidings.platform.request import Viewer


def _digests(viewer: Viewer, ask: TokenDigests) -> Sequence[bytes]:
    return ask.digests


def _these(missing: Sequence[bytes]) -> TokenDigests:
    return TokenDigests(digests=list(missing))


def _holders(viewer: Viewer, ask: TokenDigests, found: list[SignedIn | None]) -> list[Piece]:
    return [
        Piece(digest, one, one.user_id, one.as_of, until_ms=one.expires_ms)
        for digest, one in zip(ask.digests, found, strict=True)
        if one is not None
    ]


def _in_order(ask: TokenDigests, found: Mapping[bytes, SignedIn], as_of_ns: int) -> list[SignedIn | None]:
    return [found.get(digest) for digest in ask.digests]


KEPT: Final = (
    # A person is let in by it, and is shown nothing of it.
    Kept(users.whois, keys=_digests, rest=_these, pieces=_holders, whole=_in_order, shown=False, leads=True),
)

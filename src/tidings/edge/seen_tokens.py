"""The token `Tidings-Seen`: what a client has seen, sealed; it can be carried, but neither made up nor read.

Which services were asked for an answer is nobody's business: it would tell a person who is blocked from one who is
not there. So a token is encrypted, and its length says nothing but how many writes of one's own it holds: there is
room for all news that one may carry, whether there are any or not.
"""

from __future__ import annotations

import os
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import blake2b
from secrets import token_bytes
from struct import Struct
from typing import Final
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tidings.platform.http.problems import BadRequest
from tidings.platform.seen import HEADER, MOST_NEWS, Known, Position, Seen

LONGEST: Final = 8192  # characters; 64 writes take half of it
MOST: Final = 8  # tokens at a time
NONCE: Final = 12  # bytes (NIST SP 800-38D, 8.2.2)

AT_ONCE: Final = 256  # nonces

_encode = msgspec.msgpack.Encoder(uuid_format="bytes").encode
_nonces: list[bytes] = []  # drawn and not used: each answer needs one, and the system is asked for many at once
os.register_at_fork(after_in_child=_nonces.clear)


def _nonce() -> bytes:
    """Of the system's randomness, and given once."""
    if not _nonces:
        drawn = token_bytes(NONCE * AT_ONCE)
        _nonces.extend(drawn[at : at + NONCE] for at in range(0, len(drawn), NONCE))
    return _nonces.pop()


class _Sealed(msgspec.Struct, frozen=True, array_like=True):
    """`stamps`: eight bytes for each service, in their order; zero for none. `news`: as many as `_NEWS` has."""

    positions: tuple[Position, ...]
    stamps: bytes
    news: bytes = b""


_decode = msgspec.msgpack.Decoder(_Sealed).decode
_NEWS: Final = Struct(">B16sQQ")  # which service, from one on, or none; of whom, the version, and when
_NO_NEWS: Final = bytes(_NEWS.size * MOST_NEWS)


class SeenTokens:
    """Opens what clients bring, and seals what they get. Unless `strict`, neither."""

    def __init__(self, secret: bytes, services: Sequence[str], *, strict: bool) -> None:
        self._cipher = AESGCM(blake2b(b"seen", key=secret[:64], digest_size=32).digest())
        self._services = services
        self._stamps = Struct(f">{len(services)}Q")
        self._strict = strict

    def opened(self, header: str | None, kept: Iterable[str] = ()) -> Seen:
        """What the client knows; tokens with commas between count together. `BadRequest` if one is not ours.

        `kept` are those of its cookies. It cannot help it if one of them is another server's.
        """
        if not self._strict:
            return Seen()
        tokens = [token.strip() for token in (header or "").split(",")]
        if len(tokens) > MOST:
            raise BadRequest(f"{HEADER} holds {len(tokens)} tokens. Send the newest {MOST} at most.")
        known = [self._known(token) for token in tokens if token]
        for token in kept:
            with suppress(BadRequest):
                known.append(self._known(token))
        return Seen(*known)

    def _known(self, token: str) -> Known:
        try:
            raw = urlsafe_b64decode(token[:LONGEST].encode("ascii") + b"==")
            found = _decode(self._cipher.decrypt(raw[:NONCE], raw[NONCE:], None))
            news = list(_NEWS.iter_unpack(found.news))
        except (ValueError, InvalidTag, msgspec.DecodeError, struct.error) as error:
            raise BadRequest(
                f"{HEADER} holds nothing that an answer of this server gave. Leave it out, then take the next."
            ) from error
        times = [int.from_bytes(found.stamps[at : at + 8], "big") for at in range(0, len(found.stamps), 8)]
        stamps = {name: ns for name, ns in zip(self._services, times, strict=False) if ns}
        return Known(found.positions, stamps, tuple(self._unpacked(news)))

    def _unpacked(self, news: Iterable[tuple[int, bytes, int, int]]) -> Iterator[Position]:
        for number, subject, version, at_ns in news:
            if 0 < number <= len(self._services):
                yield Position(self._services[number - 1], UUID(bytes=subject), version, at_ns)

    def sealed(self, client: Seen) -> str:
        """For the client's next request, or for whom it tells of what it saw; nothing, unless `strict`."""
        if not self._strict:
            return ""
        known = client.known()
        stamps = self._stamps.pack(*[known.stamps.get(name, 0) for name in self._services])
        nonce = _nonce()
        sealed = _Sealed(known.positions, stamps, self._packed(known.news))
        return urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, _encode(sealed), None)).rstrip(b"=").decode()

    def _packed(self, news: Sequence[Position]) -> bytes:
        if not news:
            return _NO_NEWS
        packed = [
            _NEWS.pack(self._services.index(one.service) + 1, one.subject.bytes, one.version, one.at_ns)
            for one in news
        ]
        return b"".join(packed).ljust(len(_NO_NEWS), b"\0")

"""Who may speak for whom: a key for each pair of services, and the MAC under which a request travels.

The key from A to B is known to A and B alone, so that a service that leaks its keys can speak for itself only.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from hashlib import blake2b
from hmac import compare_digest

import msgspec

from tidings.platform.contract import Untrusted
from tidings.platform.request import Idempotency, Request, Versions, Viewer

VALID_MS = 10_000


class Envelope(msgspec.Struct, frozen=True):
    """What is signed beside the body: from whom, to which call, for whom, until when."""

    caller: str
    call: str
    viewer: Viewer
    expires_ms: int  # since 1970
    remaining_ms: int  # of the request's time
    traceparent: str = ""
    idempotency: Idempotency | None = None
    if_match: Versions | None = None
    address: str = ""
    seen: bytes = b""  # what the client knows by now: platform/seen.py
    rests: bool = False  # whether what the answer rests on is wanted: platform/cache/resting.py


class KeyRing(msgspec.Struct, frozen=True):
    """One service's own keys: towards each peer, and from each peer."""

    service: str
    to: dict[str, bytes]
    of: dict[str, bytes]


def pair_key(root: bytes, caller: str, callee: str) -> bytes:
    """The key under which `caller` signs what it sends to `callee` (32 bytes)."""
    return blake2b(f"{caller}\0{callee}".encode(), key=root[:64], person=b"tidings-pair", digest_size=32).digest()


def cut_ring(root: bytes, service: str, everyone: Iterable[str]) -> KeyRing:
    """The ring that `service` gets. Only who starts services knows the root."""
    peers = sorted(everyone)
    return KeyRing(
        service=service,
        to={peer: pair_key(root, service, peer) for peer in peers},
        of={peer: pair_key(root, peer, service) for peer in peers},
    )


def mac(key: bytes, envelope: bytes, body: bytes) -> bytes:
    """Keyed BLAKE2b (RFC 7693) over envelope and body, 32 bytes."""
    digest = blake2b(len(envelope).to_bytes(4, "big"), key=key, digest_size=32)
    digest.update(envelope)
    digest.update(body)
    return digest.digest()


_decode_envelope = msgspec.json.Decoder(Envelope).decode


def seal(ring: KeyRing, callee: str, envelope: Envelope, body: bytes) -> tuple[bytes, bytes]:
    """The envelope's bytes and their MAC."""
    encoded = msgspec.json.encode(envelope)
    return encoded, mac(ring.to[callee], encoded, body)


def open_sealed(ring: KeyRing, call: str, encoded: bytes, given: bytes, body: bytes) -> tuple[Request, Envelope]:
    """The request and what came with it. `Untrusted` unless a peer signed exactly this just now."""
    try:
        envelope = _decode_envelope(encoded)
    except msgspec.DecodeError as error:
        raise Untrusted("This call carries no envelope of a service.", service=ring.service) from error
    key = ring.of.get(envelope.caller)
    if key is None or not compare_digest(mac(key, encoded, body), given):
        raise Untrusted("This call is not signed by the service that it names.", service=ring.service)
    if envelope.call != call:
        raise Untrusted("This call was signed for another call.", service=ring.service)
    if envelope.expires_ms < time.time_ns() // 1_000_000:
        raise Untrusted("This call's signature has expired; compare the hosts' clocks.", service=ring.service)
    request = Request(
        viewer=envelope.viewer,
        caller=envelope.caller,
        deadline=time.monotonic() + envelope.remaining_ms / 1000,
        idempotency=envelope.idempotency,
        if_match=envelope.if_match,
        address=envelope.address,
    )
    return request, envelope

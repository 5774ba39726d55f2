"""A call as bytes: the same encoding for calls that stay in the process (to test it) and for calls over HTTP."""

from __future__ import annotations

import asyncio
import time
from functools import cache
from typing import Any

import msgspec

from tidings.platform import tracing
from tidings.platform.contract import Call, FieldError, Invalid, Refusal, Unavailable
from tidings.platform.request import Request
from tidings.platform.service import Serving
from tidings.platform.trust import VALID_MS, Envelope, KeyRing, open_sealed, seal


class Refused(msgspec.Struct, frozen=True):
    """A refusal on the wire; the code names its class."""

    code: str
    detail: str
    errors: tuple[FieldError, ...] = ()
    retry_after: int | None = None
    service: str | None = None


class Parcel(msgspec.Struct, frozen=True):
    """A request on its way: a signed envelope and a body."""

    envelope: bytes
    mac: bytes
    body: bytes


OK, REFUSED, FAULT = 200, 400, 500

_encode = msgspec.json.Encoder().encode
_decode_refused = msgspec.json.Decoder(Refused).decode


@cache
def _ask_decoder(call: Call[Any, Any]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(call.ask)


@cache
def _answer_decoder(call: Call[Any, Any]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(call.answer)


def pack(call: Call[Any, Any], ask: Any, request: Request, ring: KeyRing) -> Parcel:
    """Encode and sign."""
    body = _encode(ask)
    envelope = Envelope(
        caller=ring.service,
        call=call.name,
        viewer=request.viewer,
        expires_ms=time.time_ns() // 1_000_000 + VALID_MS,
        remaining_ms=max(0, int(request.remaining() * 1000)),
        traceparent=tracing.traceparent() or "",
        idempotency=request.idempotency,
        if_match=request.if_match,
    )
    encoded, signature = seal(ring, call.service, envelope, body)
    return Parcel(encoded, signature, body)


async def receive(serving: Serving[Any], ring: KeyRing, name: str, parcel: Parcel) -> tuple[int, bytes]:
    """Check, decode, answer, encode. A fault rises to the caller of this function."""
    try:
        request, traceparent = open_sealed(ring, name, parcel.envelope, parcel.mac, parcel.body)
        promise = serving.promises.get(name)
        if promise is None:
            raise Invalid(f"{serving.name} has no call {name!r}.", service=serving.name)
        try:
            ask = _ask_decoder(promise).decode(parcel.body)
        except msgspec.ValidationError as error:
            raise Invalid(f"{name}: {error}", service=serving.name) from error
        with tracing.span("serve " + name, kind="server", parent=tracing.parse(traceparent)):
            answer = await _in_time(serving, name, ask, request)
    except Refusal as refusal:
        return REFUSED, refused(refusal)
    return OK, _encode(answer)


def refused(refusal: Refusal) -> bytes:
    """A refusal as it travels."""
    return _encode(Refused(refusal.code, refusal.detail, refusal.errors, refusal.retry_after, refusal.service))


async def _in_time(serving: Serving[Any], name: str, ask: Any, request: Request) -> Any:
    """The caller waits no longer than its deadline: what would end later must not happen at all."""
    try:
        async with asyncio.timeout(request.remaining()):
            return await serving.answer(name, ask, request)
    except TimeoutError as error:
        raise Unavailable(
            f"{serving.name} did not answer in time. Try again.", service=serving.name, retry_after=1
        ) from error


def unpack(call: Call[Any, Any], status: int, body: bytes) -> Any:
    """Decode an answer; raise the refusal that it holds."""
    if status == OK:
        return _answer_decoder(call).decode(body)
    if status == REFUSED:
        refused = _decode_refused(body)
        refusal = Refusal.known[refused.code]
        raise refusal(
            refused.detail, errors=refused.errors, retry_after=refused.retry_after, service=refused.service
        )
    raise RemoteFault(f"{call.service} failed while it answered {call.name}; its log has the trace id")


class RemoteFault(RuntimeError):
    """The callee met a surprise; its own log says which."""

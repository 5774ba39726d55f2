"""A call as bytes: the same encoding for calls that stay in the process (to test it) and for calls over HTTP."""

from __future__ import annotations

import asyncio
import time
from functools import cache
from typing import Any

import msgspec

from tidings.platform import tracing
from tidings.platform.cache.resting import gathering, resting_on
from tidings.platform.clock import stamp_ns
from tidings.platform.contract import Call, FieldError, Invalid, Refusal, Unavailable
from tidings.platform.request import Request
from tidings.platform.seen import Seen, decoded, gathered, seeing, seen
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


class Answered(msgspec.Struct, frozen=True):
    """An answer, or a refusal, on its way back, with what who gets it will have seen."""

    status: int
    body: bytes
    seen: bytes = b""
    rests: bytes = b""  # on which entries, where who asks wants to know


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
        address=request.address,
        seen=seen().forward(),
        rests=resting_on() is not None,
    )
    encoded, signature = seal(ring, call.service, envelope, body)
    return Parcel(encoded, signature, body)


async def receive(serving: Serving[Any], ring: KeyRing, name: str, parcel: Parcel) -> Answered:
    """Check, decode, answer, encode. A fault rises to the caller of this function."""
    known = Seen()
    try:
        request, envelope = open_sealed(ring, name, parcel.envelope, parcel.mac, parcel.body)
        promise = serving.promises.get(name)
        if promise is None:
            raise Invalid(f"{serving.name} has no call {name!r}.", service=serving.name)
        try:
            ask = _ask_decoder(promise).decode(parcel.body)
        except msgspec.ValidationError as error:
            raise Invalid(f"{name}: {error}", service=serving.name) from error
        known = Seen(decoded(envelope.seen))
        parent = tracing.parse(envelope.traceparent)
        with (
            seeing(known),
            gathering() as resting,
            tracing.span("serve " + name, kind="server", parent=parent),
        ):
            answer = await _in_time(serving, name, ask, request)
    except Refusal as refusal:
        return Answered(REFUSED, refused(refusal), known.back())
    rests = resting.carried() if envelope.rests else b""
    return Answered(OK, _encode(answer), known.back(stamp_ns()), rests)


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


def unpack(call: Call[Any, Any], answered: Answered) -> tuple[Any, int]:
    """Decode an answer, and when it had been made (ns since 1970); raise the refusal that it holds."""
    back = gathered(answered.seen)
    seen().learn(back.known)
    if (resting := resting_on()) is not None:
        resting.brought(answered.rests)
    if answered.status == OK:
        return _answer_decoder(call).decode(answered.body), back.ended_ns
    if answered.status == REFUSED:
        refused = _decode_refused(answered.body)
        refusal = Refusal.known[refused.code]
        raise refusal(
            refused.detail, errors=refused.errors, retry_after=refused.retry_after, service=refused.service
        )
    raise RemoteFault(f"{call.service} failed while it answered {call.name}; its log has the trace id")


class RemoteFault(RuntimeError):
    """The callee met a surprise; its own log says which."""

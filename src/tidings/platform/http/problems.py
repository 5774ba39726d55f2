"""Refusals and faults as problem details (RFC 9457)."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from tidings.platform import tracing
from tidings.platform.contract import FieldError, Refusal

MEDIA_TYPE = "application/problem+json"


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a client gets instead of an answer. `type` and `code` are stable; `detail` is for the person."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    trace_id: str
    errors: tuple[FieldError, ...] = ()
    service: str | None = None


class BadRequest(Refusal, code="bad_request", status=400, title="Not understood"):
    """The request cannot be read: broken JSON, a header that is not what it should be."""


class NoSuchPath(Refusal, code="no_such_path", status=404, title="No such path"):
    """Nothing is served there."""


class MethodNotAllowed(Refusal, code="method_not_allowed", status=405, title="Not with this method"):
    """`Allow` lists the methods of this path."""


class TooSlow(Refusal, code="too_slow", status=408, title="The request took too long to arrive"):
    """The body did not arrive in time."""


class TooLarge(Refusal, code="too_large", status=413, title="Too large"):
    """The body is larger than this server takes."""


class UnsupportedMediaType(Refusal, code="unsupported_media_type", status=415, title="Not that content type"):
    """The body has to be `application/json`."""


class HeadersTooLarge(Refusal, code="headers_too_large", status=431, title="Address or headers too long"):
    """The address with its headers is longer than this server takes."""


class Overloaded(Refusal, code="overloaded", status=503, title="Too much to do right now"):
    """More is under way than can be answered in time. Nothing was done; `Retry-After` says when to try again."""


class WrongHost(Refusal, code="wrong_host", status=421, title="Not this server's name"):
    """The Host header names a host that is not configured (`allowed_hosts`)."""


class CrossSite(Refusal, code="cross_site", status=403, title="A request from another site"):
    """A page of another site tried to change something here."""


class Fault(Refusal, code="fault", status=500, title="Something broke"):
    """A surprise on our side. The log holds it under the trace id."""


def problem_of(refusal: Refusal) -> Problem:
    """The body."""
    context = tracing.current()
    return Problem(
        type=f"/problems/{refusal.code}",
        title=refusal.title,
        status=refusal.status,
        detail=refusal.detail,
        code=refusal.code,
        trace_id=context.trace_id if context else "",
        errors=refusal.errors,
        service=refusal.service,
    )


def problem_body(refusal: Refusal) -> bytes:
    """The body, encoded."""
    return msgspec.json.encode(problem_of(refusal))


def problem_response(refusal: Refusal, headers: dict[str, str] | None = None) -> Response:
    """The whole answer, never to be kept by a cache."""
    more = {"cache-control": "no-store", **(headers or {})}
    if refusal.retry_after is not None:
        more["retry-after"] = str(refusal.retry_after)
    if refusal.status == 401:
        more.setdefault("www-authenticate", 'Bearer realm="tidings"')
    body = problem_body(refusal)
    return Response(body, status_code=refusal.status, headers=more, media_type=MEDIA_TYPE)


def invalid(error: msgspec.ValidationError, root: str = "") -> tuple[FieldError, ...]:
    """The field that a decoder complained about, as a JSON Pointer under `root`."""
    text = str(error)
    detail, _, path = text.partition(" - at `")
    return (FieldError(root + pointer(path.rstrip("`")), sentence(detail)),)


def pointer(path: str) -> str:
    """`$.media[0].alt` as `/media/0/alt` (RFC 6901)."""
    tokens: list[str] = []
    for part in path.removeprefix("$").removeprefix(".").split("."):
        name, *indexes = part.replace("]", "").split("[")
        tokens += [token for token in (name, *indexes) if token]
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in tokens)


def sentence(detail: str) -> str:
    """A decoder's words as a sentence for the person."""
    return detail.replace("Object contains unknown field", "There is no field").strip().rstrip(".") + "."


def known_refusals() -> dict[str, type[Refusal]]:
    """Every refusal that can be answered, by code."""
    return dict(sorted(Refusal.known.items()))


def describe(refusal: type[Refusal]) -> dict[str, Any]:
    """What `/problems/{code}` says."""
    return {"code": refusal.code, "status": refusal.status, "title": refusal.title, "detail": refusal.__doc__}

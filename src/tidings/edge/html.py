"""Responses that are pages: how they are sent, and the page of a refusal."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response

from tidings.platform import tracing
from tidings.platform.contract import Refusal
from tidings.web.refusals import refusal_page

HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self';"
        " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    # Not `no-referrer`: a form would then come from the origin `null` (Fetch standard, 3.2).
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "private, no-store",
}
HTML: Final = "text/html; charset=utf-8"
WORTH_IT: Final = 1024  # bytes; what is smaller is sent as it is
LEVEL: Final = 5  # of gzip


def wants_page(asked: Headers) -> bool:
    """Whether a browser asks, for something to show."""
    return asked.get("accept", "").startswith("text/html")


def languages_of(asked: Headers) -> str:
    return asked.get("accept-language", "")[:200]


def page_response(asked: Headers, html: bytes, status: int, headers: Mapping[str, str]) -> Response:
    """A page, packed where the browser takes that; `headers` go before those of every page."""
    sent = {**HEADERS, **headers, "vary": "accept-encoding"}
    if len(html) >= WORTH_IT and "gzip" in asked.get("accept-encoding", ""):
        html = gzip.compress(html, LEVEL, mtime=0)
        sent["content-encoding"] = "gzip"
    return Response(html, status_code=status, headers=sent, media_type=HTML)


def refusal_response(asked: Headers, refusal: Refusal, headers: Mapping[str, str] | None = None) -> Response:
    """The page of a refusal, under the trace that is open."""
    context = tracing.current()
    html = refusal_page(
        refusal, languages=languages_of(asked), trace_id=context.trace_id if context is not None else ""
    )
    sent = dict(headers or {})
    if refusal.retry_after is not None:
        sent["retry-after"] = str(refusal.retry_after)
    return page_response(asked, html, refusal.status, sent)


def standing_response(asked: Headers, refusal: Refusal) -> Response:
    """The same of one that is the same for all, under no trace: it costs less than what is refused."""
    again = {} if refusal.retry_after is None else {"retry-after": str(refusal.retry_after)}
    return page_response(asked, _standing_page(refusal, languages_of(asked)), refusal.status, again)


@lru_cache(64)
def _standing_page(refusal: Refusal, languages: str) -> bytes:
    return refusal_page(refusal, languages=languages, trace_id="")

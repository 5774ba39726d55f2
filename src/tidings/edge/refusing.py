"""Refusals from outside of any route: under a trace of their own, and counted."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from tidings.edge.html import refusal_response, wants_page
from tidings.platform import metrics, tracing
from tidings.platform.contract import Refusal
from tidings.platform.http.problems import problem_response


def refused(scope: Scope, refusal: Refusal, headers: dict[str, str] | None = None) -> Response:
    """The problem, as a page for whoever asks for one; under the caller's trace if the request names one."""
    asked = Headers(scope=scope)
    parent = tracing.parse(asked.get("traceparent"))
    with tracing.span("refused", kind="server", parent=parent) as span:
        span.note(**{"http.response.status_code": refusal.status})
        if wants_page(asked):
            response = refusal_response(asked, refusal, headers)
        else:
            response = problem_response(refusal, headers)
    metrics.request_served(route=None, method=scope["method"], status=refusal.status, seconds=0.0)
    return response

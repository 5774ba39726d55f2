"""The few pages of the edge itself: the API's entrance and documentation, problem types, and what pages link to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route as PathRoute

from tidings.edge.wording import in_words, schema_name
from tidings.platform import logs, tracing
from tidings.platform.contract import Refusal
from tidings.platform.http.problems import (
    MEDIA_TYPE,
    Fault,
    NoSuchPath,
    describe,
    known_refusals,
    problem_response,
)
from tidings.web.assets import ASSETS

log = logs.get_logger("pages")

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'none'; frame-ancestors 'none';"
        " base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "private, no-store",
}
TEMPLATES = Path(__file__).parent / "templates"

Page = Callable[[HttpRequest], Awaitable[Response]]


class Pages:
    """Minimal HTML, without a script."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )

    def routes(self) -> list[PathRoute]:
        """Everything but the API and the pages of people."""
        return [
            PathRoute("/v1", self._safely(self._entrance)),
            PathRoute("/docs", self._safely(self._docs)),
            PathRoute("/problems/{code}", self._safely(self._problem)),
            PathRoute("/style.css", self._style),
            PathRoute("/static/{version}/{name}", self._safely(self._asset)),
        ]

    def _page(self, template: str, status_code: int = 200, /, **values: Any) -> Response:
        html = self._environment.get_template(template).render(**values)
        return HTMLResponse(html, status_code=status_code, headers=HEADERS)

    async def _style(self, request: HttpRequest) -> Response:
        headers = {**HEADERS, "cache-control": "public, max-age=3600"}
        return Response((TEMPLATES / "style.css").read_bytes(), media_type="text/css", headers=headers)

    async def _asset(self, request: HttpRequest) -> Response:
        """A style, a script or a picture of the pages; its address changes whenever it does."""
        asset = ASSETS.get(request.path_params["name"])
        if asset is None:
            raise NoSuchPath("There is nothing of that name.")
        current = request.path_params["version"] == asset.version
        headers = {
            **HEADERS,
            "cache-control": "public, max-age=31536000, immutable" if current else "no-store",
            "vary": "accept-encoding",
        }
        body = asset.body
        if "gzip" in request.headers.get("accept-encoding", ""):
            body, headers["content-encoding"] = asset.packed, "gzip"
        return Response(body, media_type=asset.media_type, headers=headers)

    async def _entrance(self, request: HttpRequest) -> Response:
        """For whoever opens the address of the API itself, as `tidings up` prints it."""
        info = self._document["info"]
        links = {"documentation": "/docs", "openapi": "/v1/openapi.json", "sign_in": "/v1/sessions"}
        return JSONResponse(
            {"name": info["title"], "version": info["version"], **links},
            headers={"cache-control": "public, max-age=60"},
        )

    async def _docs(self, request: HttpRequest) -> Response:
        by_tag: dict[str, list[dict[str, Any]]] = {}
        for path, operations in self._document["paths"].items():
            for method, operation in operations.items():
                responses = {status: _with_codes(one) for status, one in operation["responses"].items()}
                shown = {"method": method.upper(), "path": path, **operation, "responses": responses}
                by_tag.setdefault(operation["tags"][0], []).append(shown)
        return self._page(
            "docs.html",
            title="Tidings API",
            tags=[{**tag, "operations": by_tag[tag["name"]]} for tag in self._document["tags"]],
            schemas=self._document["components"]["schemas"],
            version=self._document["info"]["version"],
            about=self._document["info"]["description"].replace("`", ""),
            in_words=in_words,
            schema_name=schema_name,
        )

    async def _problem(self, request: HttpRequest) -> Response:
        refusal = known_refusals().get(request.path_params["code"])
        if refusal is None:
            raise NoSuchPath("There is no problem type of that name.")
        return self._page("problem.html", **describe(refusal))

    def _safely(self, page: Page) -> Page:
        """A refusal is a problem, a surprise is logged; both under one trace."""

        async def answer(request: HttpRequest) -> Response:
            parent = tracing.parse(request.headers.get("traceparent"))
            with tracing.span(f"page {request.url.path}", kind="server", parent=parent):
                try:
                    return await page(request)
                except Refusal as refusal:
                    return problem_response(refusal)
                except Exception:
                    log.exception("fault", path=request.url.path)
                    return problem_response(Fault("This is our mistake. Tell the operator the trace id."))

        return answer


def _with_codes(response: dict[str, Any]) -> dict[str, Any]:
    """A refusal's description as pairs of code and title."""
    if MEDIA_TYPE not in response.get("content", {}):
        return response
    pairs = [part.partition(": ")[::2] for part in response["description"].split(", ")]
    return {**response, "codes": [(code, title) for code, title in pairs if code in known_refusals()]}

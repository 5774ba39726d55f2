"""Pages on their way to a browser: what they are told of the visit, and what their answers become."""

from __future__ import annotations

from base64 import b64decode
from urllib.parse import quote, urlsplit

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from tidings.edge.cookies import Cookies
from tidings.edge.guard import SAFE
from tidings.edge.html import HEADERS, languages_of, page_response, refusal_response
from tidings.platform.contract import Refusal, Served, Unauthenticated, Visit
from tidings.platform.http.problems import CrossSite
from tidings.platform.settings import Settings


class Visits:
    """Of one front."""

    def __init__(self, settings: Settings, cookies: Cookies) -> None:
        self._public_url = settings.public_url
        self._cookies = cookies

    def check_site(self, request: HttpRequest) -> None:
        """A browser that changes something says where it comes from (Origin, Fetch Metadata).

        That it does not come from anywhere was seen already (guard.py). What carries a cookie or a form has to come
        from our own pages: a site in `cors_origins` is let in with tokens, and never as whom a browser knows.
        """
        if request.method in SAFE:
            return
        origin = request.headers.get("origin")
        if origin is None and "sec-fetch-site" not in request.headers:
            raise CrossSite("A browser says where a form comes from; this request does not.")
        if origin is not None and origin.lower() not in self._own_origins(request):
            raise CrossSite("Pages of other sites may not change anything here.")

    def _own_origins(self, request: HttpRequest) -> set[str]:
        here = f"{request.url.scheme}://{request.headers.get('host', '')}".lower()
        if not self._public_url:
            return {here}
        url = urlsplit(self._public_url)
        public = f"{url.scheme}://{url.netloc}".lower()
        # Behind a proxy with TLS what comes in is plain: a page that came without TLS is not ours there.
        return {public} if url.scheme == "https" else {here, public}

    def visit(self, request: HttpRequest) -> Visit:
        """What a page is told."""
        origin = self._public_url or f"{request.url.scheme}://{request.headers.get('host', '')}"
        return Visit(
            origin=origin.rstrip("/"),
            address=_address(request),
            languages=languages_of(request.headers),
        )

    def response(self, request: HttpRequest, served: Served) -> Response:
        """What a page's answer becomes: HTML, or the way to another page."""
        headers = {**HEADERS, **served.headers}
        if 300 <= served.status < 400:
            response = Response(status_code=served.status, headers=headers)
        else:
            html = b64decode(msgspec.json.decode(served.body, type=str))
            response = page_response(request.headers, html, served.status, headers)
        if served.admission is not None:
            self._cookies.admit(request, response, served.admission)
            if served.admission.token is None:  # drafts, and the place in the stream (W3C Clear Site Data, 3.1)
                response.headers["clear-site-data"] = '"storage"'
        return response

    def refusal(self, request: HttpRequest, refusal: Refusal) -> Response:
        """The page of a refusal. Who is not signed in is sent to do so, and comes back."""
        if isinstance(refusal, Unauthenticated):
            # What was about to be sent is not sent again by itself: a form begins anew.
            back = _address(request) if request.method in SAFE else "/"
            after = "" if back == "/" else f"?next={quote(back, safe='')}"
            return Response(status_code=303, headers={**HEADERS, "location": f"/signin{after}"})
        return refusal_response(request.headers, refusal)


def _address(request: HttpRequest) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")

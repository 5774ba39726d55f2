"""What a browser keeps for us: its session, and what it has seen; named so that neither is mistaken."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from tidings.platform.contract import Admission
from tidings.platform.settings import Settings

SLOTS: Final = 7  # for writes, whose answers may cross: each token lies in one of them
WRITTEN_FOR: Final = 10  # seconds; by then no cache is older than any write


class Cookies:
    """Of one front. Over TLS a name begins with `__Host-` (RFC 6265bis, 4.1.3.2), elsewhere it ends with the port.

    Cookies know no ports, and several servers may run on one laptop.
    """

    def __init__(self, settings: Settings) -> None:
        self._secure = bool(settings.public_url and settings.public_url.startswith("https:"))

    def token(self, request: HttpRequest) -> str | None:
        """The token of the browser's session."""
        if "cookie" not in request.headers:  # most of the API's clients: nothing to look for
            return None
        return request.cookies.get(self._named(request, "session"))

    def seen(self, request: HttpRequest) -> list[str]:
        """Tokens of what the browser has seen."""
        if "cookie" not in request.headers:
            return []
        known = (request.cookies.get(name) for name in self._seen(request))
        return [token for token in known if token]

    def admit(self, request: HttpRequest, response: Response, admission: Admission) -> None:
        """Sign the browser in or out."""
        name = self._named(request, "session")
        if admission.token is None:
            self._set(request, response, name, "", max_age=0)
            return
        lasts = (admission.expires_at - datetime.now(UTC)).total_seconds() if admission.expires_at else None
        self._set(request, response, name, admission.token, max_age=None if lasts is None else int(lasts))

    def remember(self, request: HttpRequest, response: Response, sealed: str, *, wrote: bool) -> None:
        """Keep what the browser has seen by now. Answers to reads take the place of one another."""
        if not sealed:
            return
        slot = f"seen-{secrets.randbelow(SLOTS)}" if wrote else "seen"
        self._set(request, response, self._named(request, slot), sealed, max_age=WRITTEN_FOR)

    def _seen(self, request: HttpRequest) -> Iterable[str]:
        yield self._named(request, "seen")
        for slot in range(SLOTS):
            yield self._named(request, f"seen-{slot}")

    def _named(self, request: HttpRequest, name: str) -> str:
        if self._is_secure(request):
            return f"__Host-tidings-{name}"
        return f"tidings-{name}-{request.url.port or 80}"

    def _is_secure(self, request: HttpRequest) -> bool:
        return self._secure or request.url.scheme == "https"

    def _set(self, request: HttpRequest, response: Response, name: str, value: str, *, max_age: int | None) -> None:
        response.set_cookie(
            name, value, max_age=max_age, path="/", secure=self._is_secure(request), httponly=True, samesite="lax"
        )

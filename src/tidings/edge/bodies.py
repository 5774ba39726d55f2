"""Request bodies: read whole, and refused while they stream once they are too large or too slow."""

from __future__ import annotations

import asyncio

from starlette.requests import Request as HttpRequest

from tidings.platform.http.problems import TooLarge, TooSlow, UnsupportedMediaType


async def read_body(request: HttpRequest, *, most: int, seconds: float) -> bytes:
    """The body. Raises `TooLarge` beyond `most` bytes, `TooSlow` when it is not there within `seconds`."""
    if "content-length" not in request.headers and "transfer-encoding" not in request.headers:
        return b""  # there is none (RFC 9112, section 6.3)
    check_announced(request, most=most)
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise TooLarge(f"The body may have {most} bytes.")
    except TimeoutError as error:
        raise TooSlow(f"The body has to arrive within {seconds:g} seconds.") from error
    return bytes(body)


def check_announced(request: HttpRequest, *, most: int) -> None:
    """Refuse by its headers what would be refused while it streams, and what is encoded."""
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType("The body has to come as it is, without a content encoding.")
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > most:
        raise TooLarge(f"The body may have {most} bytes.")

"""Asking other services as their public routes are asked, for the person whom a page is made for."""

from __future__ import annotations

import hmac
from typing import TypeVar

import msgspec

from tidings.platform.contract import Route, Served
from tidings.platform.request import Idempotency, current
from tidings.web.holder import Web

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")


async def ask(
    svc: Web, route: Route[Ask, Answer], wanted: Ask, *, key: str = "", version: int | None = None
) -> Answer:
    """The answer. Raises the contract's refusals, and `Unavailable`.

    With `key`, a form that is sent again has its effect once; with `version`, what has changed since is refused.
    """
    served = await asked(svc, route, wanted, key=key, version=version)
    return msgspec.json.decode(served.body, type=route.answer)


async def versioned(svc: Web, route: Route[Ask, Answer], wanted: Ask) -> tuple[Answer, int]:
    """The answer, and the version of what was read."""
    served = await asked(svc, route, wanted)
    return msgspec.json.decode(served.body, type=route.answer), served.version or 0


async def asked(
    svc: Web, route: Route[Ask, Answer], wanted: Ask, *, key: str = "", version: int | None = None
) -> Served:
    """The same, as it is served: where the body or the status is of interest."""
    here = current()
    idempotency = None
    if key:
        fingerprint = hmac.digest(svc.secret, msgspec.json.encode([route.name, wanted]), "sha256")
        scope = str(here.viewer.user_id) if route.idempotency_scope == "person" else "anyone"
        idempotency = Idempotency(f"{route.name} {scope}", key[:255], fingerprint)
    request = msgspec.structs.replace(
        here, idempotency=idempotency, if_match=None if version is None else [version]
    )
    return await svc.world.call(route.call, wanted, request=request)

"""What the tests of the conventions share: the document, and every path as a request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from tidings import everything
from tidings.platform.http.openapi import openapi
from tidings.web.assets import ASSETS

CONTRACTS = [kind.contract for kind in everything.SERVICES.values()]
ROUTES = [route for contract in CONTRACTS for route in contract.routes if not route.page]
PAGES = [route for contract in CONTRACTS for route in contract.routes if route.page]
DOCUMENT: dict[str, Any] = openapi(CONTRACTS, version="0")
NOBODY = UUID("01890000-0000-7000-8000-000000000000")
OWN_PATHS = (
    "/v1",
    "/docs",
    "/livez",
    "/readyz",
    "/v1/openapi.json",
    "/style.css",
    "/problems/invalid",
    ASSETS["tidings.css"].path,
)
# Forms that a stranger may send, and where they stand.
FORM_PATHS = tuple(sorted(route.path for route in PAGES if (route.method, route.who) == ("POST", "anyone")))


def filled(path: str, **values: str) -> str:
    """A path's template with values in it; an id of nobody where none is given."""
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], _any(match[1])), path)


def _any(name: str) -> str:
    return {"emoji": "x", "gid": NOBODY.hex, "variant": "preview"}.get(name, str(NOBODY))


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema that a reference names."""
    while "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and operation of everything in the document."""
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation

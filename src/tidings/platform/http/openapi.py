"""OpenAPI 3.1 from the contracts: what is documented is what is declared."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterable
from typing import Any

import msgspec

from tidings.platform.contract import (
    Contract,
    InFlight,
    Invalid,
    KeyReused,
    Nothing,
    Refusal,
    Route,
    Stale,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from tidings.platform.http import problems

MOST_FILE = 41_943_040  # bytes; unless the host has said otherwise (`max_upload`)
COMPONENTS = "#/components/schemas/{name}"
CONVENTIONS = """\
Sign in at `POST /v1/sessions` and send the token as `Authorization: Bearer`. Every refusal is
`application/problem+json` (RFC 9457): `code` is stable, `errors` points at what is wrong, `trace_id` finds it in
the log. Lists lead on by `next_cursor` and a `Link` header; a cursor is opaque, signed and one's own. Times are
RFC 3339 in UTC with milliseconds. Unknown fields and parameters are refused. HEAD answers like GET, without the
body. Bulk reads leave out what does not exist and what one may not see, alike. Every answer carries the header
`Tidings-Seen`: send the newest with your next request, and its answer is never older than what you have seen and
written; give it to whom you tell of it."""


def openapi(
    contracts: Iterable[Contract], *, version: str, more_paths: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The document, as plain values."""
    contracts = list(contracts)
    routes = [route for contract in contracts for route in contract.routes if not route.page]
    tagged = {route.service for route in routes}
    types = [problems.Problem, *_types(routes)]
    _, components = msgspec.json.schema_components(types, ref_template=COMPONENTS)
    paths: dict[str, Any] = {}
    for route in sorted(routes, key=lambda route: route.path):
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    paths.update(more_paths or {})
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tidings",
            "version": version,
            "summary": "Friends post messages; everybody has one timeline with what each friend said last.",
            "description": CONVENTIONS,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": contract.service, "description": contract.about}
            for contract in contracts
            if contract.service in tagged
        ],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "opaque"}},
        },
    }


def _types(routes: list[Route[Any, Any]]) -> list[Any]:
    types: list[Any] = []
    for route in routes:
        hints = typing.get_type_hints(route.ask, include_extras=True)
        types += [hint for name, hint in hints.items() if name == "body"]
        if route.status != 204 and route.answer not in (bytes, Nothing):
            types.append(route.answer)
        if route.accepted is not None:
            types.append(route.accepted)
    return list(dict.fromkeys(types))


def _schema(hint: Any) -> dict[str, Any]:
    (schema,), _ = msgspec.json.schema_components([hint], ref_template=COMPONENTS)
    return schema


def _operation(route: Route[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name.replace("/", "_"),
        "tags": [route.service],
        "summary": route.summary,
        "parameters": list(_parameters(route)),
        "responses": _responses(route),
    }
    description = "" if route.ask is Nothing else inspect.cleandoc(route.ask.__doc__ or "")
    if description:
        operation["description"] = description
    hints = typing.get_type_hints(route.ask, include_extras=True)
    if "body" in hints:
        schema = _schema(hints["body"]) if route.upload is None else _form(hints["body"], route.upload.field)
        operation["requestBody"] = {
            "required": True,
            "content": {media_type: {"schema": schema} for media_type in route.media_types},
        }
    if route.who != "anyone":
        operation["security"] = [{"token": []}]
    if route.who == "administrator":
        operation["x-who"] = "administrator"
    return operation


def _form(hint: Any, file: str) -> dict[str, Any]:
    """The fields of a form, and the file beside them."""
    fields = dict(msgspec.json.schema_components([hint])[1][hint.__name__])
    fields["properties"] = {
        **fields["properties"],
        file: {"type": "string", "format": "binary", "maxLength": MOST_FILE},
    }
    fields["required"] = [*fields["required"], file]
    return fields


def _parameters(route: Route[Any, Any]) -> Iterable[dict[str, Any]]:
    hints = typing.get_type_hints(route.ask, include_extras=True)
    in_path = route.parameters
    for field in msgspec.structs.fields(route.ask):
        if field.name == "body" or (field.name == "upload" and route.upload is not None):
            continue
        schema = _schema(hints[field.name])
        if field.name in in_path:
            described = {}
            if route.me and field.name == "user_id":
                schema = {"anyOf": [{"const": "me"}, schema]}
                described = {"description": "an id, or `me`"}
            yield {"name": field.name, "in": "path", "required": True, **described, "schema": schema}
            continue
        schema = _without_null(schema)
        parameter: dict[str, Any] = {"name": field.name, "in": "query", "required": field.required}
        if "description" in schema:
            parameter["description"] = schema.pop("description")
        if field.default is not msgspec.NODEFAULT and field.default is not None:
            schema["default"] = field.default
        parameter["schema"] = schema
        if schema.get("type") == "array":
            parameter.update(style="form", explode=False)
        yield parameter
    if route.idempotency:
        yield {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "Makes a retry safe for 24 hours: the same key gives the same answer.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        }
    if route.conditional:
        yield {
            "name": "If-Match",
            "in": "header",
            "required": False,
            "description": "An ETag of what you read: refused with 412 if it changed since.",
            "schema": {"type": "string", "pattern": r'^(\*|"[!#-~]{1,100}")$'},
        }
    if route.method == "GET":
        yield {
            "name": "If-None-Match",
            "in": "header",
            "required": False,
            "description": "The ETag of what you have: answered with 304 and no body if it is still so.",
            "schema": {"type": "string", "pattern": r'^(\*|(W/)?"[!#-~]{0,100}")$'},
        }


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query parameter is left out rather than null."""
    options = [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]
    if not options:
        return {name: value for name, value in schema.items() if not (name == "default" and value is None)}
    rest = {name: value for name, value in schema.items() if name not in ("anyOf", "default")}
    return {**rest, **(options[0] if len(options) == 1 else {"anyOf": options})}


def _responses(route: Route[Any, Any]) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if route.status == 201:
        headers["Location"] = {"schema": {"type": "string"}}
    if route.method == "GET":
        headers["ETag"] = {"schema": {"type": "string"}}
        if any(field.name == "cursor" for field in msgspec.structs.fields(route.ask)):
            headers["Link"] = {"schema": {"type": "string"}, "description": "RFC 8288, rel next (and prev)"}
    answer: dict[str, Any] = {"description": route.summary}
    if headers:
        answer["headers"] = headers
    if route.status != 204:
        schema = {"type": "string", "format": "binary"} if route.answer is bytes else _schema(route.answer)
        answer["content"] = {route.content_type: {"schema": schema}}
    responses: dict[str, Any] = {str(route.status): answer}
    if route.accepted is not None:
        responses["202"] = {
            "description": "Not done yet; Location says where to ask",
            "headers": {"Location": {"schema": {"type": "string"}}},
            "content": {route.content_type: {"schema": _schema(route.accepted)}},
        }
    if route.method == "GET":
        responses["304"] = {"description": "You have it already"}
    for refusal in _refusals(route):
        response = responses.setdefault(
            str(refusal.status),
            {
                "description": "",
                "content": {problems.MEDIA_TYPE: {"schema": {"$ref": COMPONENTS.format(name="Problem")}}},
            },
        )
        response["description"] = ", ".join(
            filter(None, [response["description"], f"{refusal.code}: {refusal.title}"])
        )
    return dict(sorted(responses.items()))


def _refusals(route: Route[Any, Any]) -> list[type[Refusal]]:
    """Those the route declares, and those that the edge or the platform may give on its behalf."""
    hints = typing.get_type_hints(route.ask)
    found: list[type[Refusal]] = [
        *route.refusals,
        problems.BadRequest,
        TooManyRequests,
        Unavailable,
        problems.Overloaded,
        problems.TooSlow,
        problems.TooLarge,
    ]
    found += [problems.CrossSite, problems.WrongHost, problems.HeadersTooLarge]
    if route.parameters:
        found.append(problems.NoSuchPath)
    found.append(Invalid)  # at the least, a parameter that the path does not take
    if "body" in hints:
        found.append(problems.UnsupportedMediaType)
    if route.who != "anyone":
        found.append(Unauthenticated)
    if route.who == "administrator":
        found.append(problems.NoSuchPath)
    if route.idempotency:
        found += [InFlight, KeyReused]
    if route.conditional:
        found.append(Stale)
    return list(dict.fromkeys(found))

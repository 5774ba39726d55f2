"""The document: whole, valid, and served as it is written."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest

from tests.api.conventions import DOCUMENT, PAGES, ROUTES, operations, resolved
from tests.harness.system import Whole
from tidings.platform.contract import Nothing


@pytest.mark.parametrize("tidings", ["near"], indirect=True)
async def test_the_document_that_is_served_is_the_one_of_the_contracts(tidings: Whole) -> None:
    answer = await tidings.client.ask("GET", "/v1/openapi.json")
    served = answer.ok()
    assert answer.headers["content-type"] == "application/json"
    assert served["info"].pop("version")
    assert served == json.loads(json.dumps({**DOCUMENT, "info": _without_version(DOCUMENT["info"])}))


@pytest.mark.parametrize("tidings", ["near"], indirect=True)
async def test_the_address_of_the_api_leads_to_its_description(tidings: Whole) -> None:
    entrance = (await tidings.client.ask("GET", "/v1")).ok()
    assert entrance["name"] == "Tidings"
    assert (await tidings.client.ask("GET", entrance["openapi"])).ok()["info"]["version"] == entrance["version"]
    assert (await tidings.client.ask("GET", entrance["documentation"])).status == 200
    assert "post" in DOCUMENT["paths"][entrance["sign_in"]]


def test_every_route_of_the_contracts_is_in_the_document() -> None:
    described = {(method, path): operation for method, path, operation in operations()}
    assert described.keys() == {(route.method, route.path) for route in ROUTES}
    for route in ROUTES:
        operation = described[route.method, route.path]
        answers = set(operation["responses"])
        assert str(route.status) in answers
        assert {str(refusal.status) for refusal in route.refusals} <= answers
        assert ("security" in operation) == (route.who != "anyone")
        assert ("401" in answers) == (route.who != "anyone" or route.name == "users/sign_in")
        names = [parameter["name"] for parameter in operation["parameters"]]
        assert ("Idempotency-Key" in names) == route.idempotency
        assert ("If-Match" in names) == route.conditional == ("412" in answers)
        assert operation["summary"]
    assert len({operation["operationId"] for operation in described.values()}) == len(ROUTES)
    assert all(tag["description"] for tag in DOCUMENT["tags"])
    assert {tag["name"] for tag in DOCUMENT["tags"]} == {route.service for route in ROUTES}


def test_pages_are_no_part_of_the_document() -> None:
    assert PAGES
    assert {route.path for route in PAGES}.isdisjoint(DOCUMENT["paths"])
    told = json.dumps(DOCUMENT)
    assert "Visit" not in DOCUMENT["components"]["schemas"]
    assert {route.name for route in PAGES if f'"{route.name}"' in told} == set()


def test_the_document_is_openapi_3_1() -> None:
    jsonschema_rs.validator_for(SHAPE).validate(DOCUMENT)
    references: list[str] = []
    _collect(DOCUMENT, references)
    known = DOCUMENT["components"]["schemas"]
    assert {reference.removeprefix("#/components/schemas/") for reference in references} <= known.keys()
    for name, schema in known.items():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}), name
    for _, path, operation in operations():
        in_path = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
        assert in_path == {part[1:-1] for part in path.split("/") if part.startswith("{")}, path
        assert all(one["required"] for one in operation["parameters"] if one["in"] == "path")


def test_defaults_and_limits_stand_in_the_document() -> None:
    for _, path, operation in operations():
        for parameter in operation["parameters"]:
            schema, at = parameter["schema"], (path, parameter["name"])
            if parameter["name"] == "limit":
                assert schema["default"] in (20, 50), at
                assert (schema["minimum"], schema["maximum"]) == (1, 100), at
            if parameter["in"] == "query":
                _is_bounded(schema, at)
        content = operation.get("requestBody", {}).get("content", {})
        for body in content.values():
            _is_bounded(body["schema"], (path, "body"))


def test_unknown_fields_are_refused_in_the_document_too() -> None:
    for _, path, operation in operations():
        for body in operation.get("requestBody", {}).get("content", {}).values():
            assert resolved(body["schema"])["additionalProperties"] is False, path


def test_routes_without_a_body_describe_none() -> None:
    for route in ROUTES:
        if route.ask is Nothing:
            operation = DOCUMENT["paths"][route.path][route.method.lower()]
            assert "requestBody" not in operation


def _without_version(info: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in info.items() if name != "version"}


def _collect(value: Any, references: list[str]) -> None:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            references.append(value["$ref"])
        for inner in value.values():
            _collect(inner, references)
    elif isinstance(value, list):
        for inner in value:
            _collect(inner, references)


def _is_bounded(schema: dict[str, Any], at: tuple[str, ...]) -> None:
    """Every text, list and number that a person sends has a largest one."""
    schema = resolved(schema)
    for option in schema.get("anyOf", ()):
        _is_bounded(option, at)
    kind = schema.get("type")
    if kind == "string":
        assert "maxLength" in schema or "enum" in schema or schema.get("format") in ("uuid", "date-time"), at
    elif kind == "array":
        assert "maxItems" in schema, at
        _is_bounded(schema["items"], (*at, "items"))
    elif kind in ("integer", "number"):
        assert "maximum" in schema or "exclusiveMaximum" in schema, at
        assert "minimum" in schema or "exclusiveMinimum" in schema, at
    elif kind == "object":
        for name, inner in schema["properties"].items():
            _is_bounded(inner, (*at, name))


# The part of https://spec.openapis.org/oas/3.1/schema/2022-10-07 that this document uses, and nothing else.
TEXT = {"type": "string", "minLength": 1}
SCHEMA: dict[str, Any] = {"type": ["object", "boolean"]}
CONTENT = {
    "type": "object",
    "propertyNames": {"pattern": "^[a-z]+/[a-z+.-]+$"},
    "additionalProperties": {
        "type": "object",
        "required": ["schema"],
        "properties": {"schema": SCHEMA},
        "additionalProperties": False,
    },
}
PARAMETER = {
    "type": "object",
    "required": ["name", "in", "schema"],
    "properties": {
        "name": TEXT,
        "in": {"enum": ["query", "header", "path", "cookie"]},
        "description": TEXT,
        "required": {"type": "boolean"},
        "schema": SCHEMA,
        "style": {"enum": ["form", "simple"]},
        "explode": {"type": "boolean"},
    },
    "additionalProperties": False,
    "if": {"properties": {"in": {"const": "path"}}},
    "then": {"required": ["required"], "properties": {"required": {"const": True}}},
}
HEADER = {
    "type": "object",
    "properties": {"description": TEXT, "required": {"type": "boolean"}, "schema": SCHEMA},
    "additionalProperties": False,
}
RESPONSE = {
    "type": "object",
    "required": ["description"],
    "properties": {
        "description": TEXT,
        "headers": {"type": "object", "additionalProperties": HEADER},
        "content": CONTENT,
    },
    "additionalProperties": False,
}
OPERATION = {
    "type": "object",
    "required": ["operationId", "responses"],
    "properties": {
        "operationId": TEXT,
        "tags": {"type": "array", "items": TEXT},
        "summary": TEXT,
        "description": TEXT,
        "parameters": {"type": "array", "items": PARAMETER, "uniqueItems": True},
        "requestBody": {
            "type": "object",
            "required": ["content"],
            "properties": {"description": TEXT, "content": CONTENT, "required": {"type": "boolean"}},
            "additionalProperties": False,
        },
        "responses": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": "^[1-5][0-9][0-9]$"},
            "additionalProperties": RESPONSE,
        },
        "security": {"type": "array", "items": {"type": "object", "additionalProperties": {"type": "array"}}},
    },
    "patternProperties": {"^x-": True},
    "additionalProperties": False,
}
SHAPE: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["openapi", "info", "paths"],
    "properties": {
        "openapi": {"pattern": r"^3\.1\.\d+$"},
        "info": {
            "type": "object",
            "required": ["title", "version"],
            "properties": {
                "title": TEXT,
                "summary": TEXT,
                "description": TEXT,
                "version": TEXT,
                "license": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": TEXT, "identifier": TEXT},
                    "additionalProperties": False,
                },
            },
            "additionalProperties": False,
        },
        "servers": {"type": "array", "items": {"type": "object", "required": ["url"]}},
        "tags": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": TEXT, "description": TEXT},
                "additionalProperties": False,
            },
        },
        "paths": {
            "type": "object",
            "propertyNames": {"pattern": "^/"},
            "additionalProperties": {
                "type": "object",
                "propertyNames": {"enum": ["get", "put", "post", "delete", "patch"]},
                "additionalProperties": OPERATION,
            },
        },
        "components": {
            "type": "object",
            "properties": {
                "schemas": {
                    "type": "object",
                    "propertyNames": {"pattern": "^[a-zA-Z0-9._-]+$"},
                    "additionalProperties": SCHEMA,
                },
                "securitySchemes": {"type": "object"},
            },
            "additionalProperties": False,
        },
    },
    "additionalProperties": False,
}

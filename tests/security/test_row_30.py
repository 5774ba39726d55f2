"""Row 30: every text, list and number at its maximum + 1 is refused by name and limit. Made from the document."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.conventions import NOBODY, filled, operations, resolved
from tests.harness.system import Whole

pytestmark = pytest.mark.parametrize("tidings", ["near"], indirect=True)

Case = tuple[str, str, str, Any, Any, int]  # method, path, pointer, request at the limit, request beyond it, limit


def smallest(schema: dict[str, Any]) -> Any:
    """A value that the schema allows, as small as can be."""
    schema = resolved(schema)
    if "anyOf" in schema:
        return smallest(schema["anyOf"][-1])
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "object":
        return {name: smallest(schema["properties"][name]) for name in schema.get("required", ())}
    if kind == "array":
        return []
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    if kind == "boolean":
        return False
    return str(NOBODY) if schema.get("format") == "uuid" else "x" * max(8, schema.get("minLength", 0))


def text(schema: dict[str, Any], length: int) -> str:
    """A text of that length in the schema's pattern."""
    return "1." + "0" * (length - 4) + ",1" if r"\.[0-9]" in schema.get("pattern", "") else "x" * length


def limits(schema: dict[str, Any], at: str) -> Iterator[tuple[str, Any, Any, int]]:
    """Pointer, value at the limit, value beyond it, and the limit, of everything under a schema."""
    schema = resolved(schema)
    for option in schema.get("anyOf", ()):
        yield from limits(option, at)
    kind = schema.get("type")
    if kind == "string" and "maxLength" in schema:
        most = schema["maxLength"]
        yield at, text(schema, most), text(schema, most + 1), most
    elif kind == "array":
        most, one = schema["maxItems"], smallest(schema["items"])
        yield at, [one] * most, [one] * (most + 1), most
        for pointer, allowed, beyond, limit in limits(schema["items"], f"{at}/0"):
            yield pointer, [allowed], [beyond], limit
    elif kind in ("integer", "number") and "maximum" in schema:
        most = schema["maximum"]
        yield at, most, most + 1, most
    elif kind == "object":
        for name, part in schema["properties"].items():
            base = {**smallest(schema), name: None}
            for pointer, allowed, beyond, limit in limits(part, f"{at}/{name}"):
                yield pointer, {**base, name: allowed}, {**base, name: beyond}, limit


def bodies() -> list[Case]:
    return [
        (method, path, *case)
        for method, path, operation in operations()
        for content in [operation.get("requestBody", {}).get("content", {}).get("application/json")]
        if content is not None
        for case in limits(content["schema"], "")
    ]


def parameters() -> list[Case]:
    return [
        (method, path, parameter["name"], allowed, beyond, limit)
        for method, path, operation in operations()
        for parameter in operation["parameters"]
        if parameter["in"] in ("query", "path")
        for _, allowed, beyond, limit in limits(parameter["schema"], "")
    ]


async def test_row_30_in_bodies(tidings: Whole) -> None:
    person, cases = await tidings.joins("Row"), bodies()
    assert len(cases) > 40
    for method, path, pointer, allowed, beyond, limit in cases:
        at = (method, path, pointer, limit)
        address = filled(path, user_id=person.id)
        refused = await tidings.client.ask(method, address, token=person.token, json=beyond)
        assert (refused.status, refused.body["code"]) == (422, "invalid"), at
        (error,) = refused.body["errors"]
        assert error["pointer"] == pointer, at
        assert _names(error["detail"], limit), (at, error)
        kept = await tidings.client.ask(method, address, token=person.token, json=allowed)
        if kept.status == 422:  # for another reason: never for its size
            assert not any(_names(one["detail"], limit) for one in kept.body.get("errors", ())), (at, kept.body)


async def test_row_30_in_addresses(tidings: Whole) -> None:
    person, cases = await tidings.joins("Row"), parameters()
    assert len(cases) > 25
    for method, path, name, allowed, beyond, limit in cases:
        at = (method, path, name, limit)
        in_path = "{" + name + "}" in path

        async def ask(value: Any, method: str = method, path: str = path, name: str = name) -> Any:
            sent = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            if "{" + name + "}" in path:
                return await tidings.client.ask(method, filled(path, **{name: sent}), token=person.token)
            return await tidings.client.ask(method, filled(path), token=person.token, params={name: sent})

        refused = await ask(beyond)
        assert (refused.status, refused.body["code"]) == (422, "invalid"), at
        (error,) = refused.body["errors"]
        assert error["pointer"] == ("{" + name + "}" if in_path else f"?{name}"), at
        assert _names(error["detail"], limit), (at, error)
        kept = await ask(allowed)
        if kept.status == 422:
            assert not any(_names(one["detail"], limit) for one in kept.body.get("errors", ())), (at, kept.body)


def _names(detail: str, limit: float) -> bool:
    return any(float(number) == limit for number in re.findall(r"\d+(?:\.\d+)?", detail))

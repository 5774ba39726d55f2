"""JSON Schemas in a few plain words, for the page that documents the API."""

from __future__ import annotations

import json
from typing import Any


def in_words(schema: dict[str, Any]) -> str:
    """`{"type": "integer", "minimum": 1, "maximum": 100, "default": 50}` as `integer, 1 to 100, 50 by default`."""
    if "$ref" in schema:
        return schema_name(schema) or ""
    if "anyOf" in schema:
        return " or ".join(in_words(option) for option in schema["anyOf"])
    if "const" in schema:
        return f"“{schema['const']}”"
    if "enum" in schema:
        words = " or ".join("null" if value is None else f"“{value}”" for value in schema["enum"])
    elif schema.get("type") == "array":
        words = f"list of {in_words(schema.get('items', {})) or 'anything'}" + _most(schema, "maxItems", "")
    elif schema.get("type") == "string":
        words = schema.get("format", "text") + _between(schema, "minLength", "maxLength", " characters")
    else:
        words = str(schema.get("type", "anything")) + _between(schema, "minimum", "maximum", "")
    return words + (f", {json.dumps(schema['default'])} by default" if "default" in schema else "")


def schema_name(schema: dict[str, Any]) -> str | None:
    """The component that a schema refers to, itself or in a list."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    return schema_name(schema["items"]) if isinstance(schema.get("items"), dict) else None


def _most(schema: dict[str, Any], most: str, unit: str) -> str:
    return f", at most {schema[most]:,}{unit}" if most in schema else ""


def _between(schema: dict[str, Any], least: str, most: str, unit: str) -> str:
    if schema.get(least) and most in schema:
        return f", {schema[least]:,} to {schema[most]:,}{unit}"
    return _most(schema, most, unit)

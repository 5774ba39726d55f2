"""What was typed into a form, as what a service asks for."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from tidings.platform.contract import Invalid
from tidings.platform.http.problems import invalid

Wanted = TypeVar("Wanted")


def as_typed(values: dict[str, Any], into: type[Wanted]) -> Wanted:
    """The ask. Raises `Invalid` with the fields that are wrong."""
    try:
        return msgspec.convert(values, into, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid("Something here is not as it should be.", errors=invalid(error)) from error

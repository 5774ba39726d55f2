"""A context variable that has a value within a block."""

from __future__ import annotations

from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class scoped(Generic[Value]):
    """`with scoped(variable, value) as value:`. A generator that does the same takes three times as long."""

    __slots__ = ("_token", "_value", "_variable")

    _token: Token[Any]

    def __init__(self, variable: ContextVar[Any], value: Value) -> None:
        self._variable = variable
        self._value = value

    def __enter__(self) -> Value:
        self._token = self._variable.set(self._value)
        return self._value

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._variable.reset(self._token)

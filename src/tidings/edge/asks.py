"""A public request as the typed ask of its route: path, query and body, checked once, here."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Union, get_args, get_origin
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request as HttpRequest

from tidings.platform.contract import FieldError, Invalid, Route, Uploaded, Visit
from tidings.platform.http.problems import BadRequest, UnsupportedMediaType, invalid

REMEMBERED: Final = 1000  # asks of a route
SHORT: Final = 200  # bytes of a query that is remembered


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the ask of one route. What a query alone asks for is remembered: most are asked again."""

    route: Route[Any, Any]
    body: msgspec.json.Decoder[Any] | None
    form: Any  # the type of a body that comes from a form
    several: frozenset[str]  # its fields that take several values
    parameters: type[msgspec.Struct]
    lists: frozenset[str]  # query parameters that take several values
    known: frozenset[str]  # parameters, of the path too
    unasked: Mapping[str, Any] | None  # all of them where an address gives none; None if one has to be given
    remembered: dict[bytes, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, route: Route[Any, Any]) -> Reader:
        fields = msgspec.structs.fields(route.ask)
        hints = typing.get_type_hints(route.ask, include_extras=True)
        form = hints.get("body") if route.page or route.upload is not None else None
        body = msgspec.json.Decoder(hints["body"]) if "body" in hints and form is None else None
        plain = [_declared(field, hints[field.name]) for field in fields if field.name not in _bodily(route)]
        parameters = msgspec.defstruct(f"{route.ask.__name__}Parameters", plain, kw_only=True, frozen=True)
        lists = frozenset(name for name, hint in hints.items() if _is_list(hint))
        fields_of_form = {} if form is None else typing.get_type_hints(form, include_extras=True)
        several = frozenset(name for name, hint in fields_of_form.items() if _is_list(hint))
        known = frozenset(field.name for field in msgspec.structs.fields(parameters))
        try:
            unasked = msgspec.structs.asdict(msgspec.convert({}, parameters))
        except msgspec.ValidationError:
            unasked = None
        return cls(route, body, form, several, parameters, lists, known, unasked)

    def read(
        self, path: Mapping[str, str], query: bytes, body: bytes, content_type: str, visit: Visit | None = None
    ) -> Any:
        """The ask. Raises `Invalid` with a pointer to what is wrong, `BadRequest`, `UnsupportedMediaType`."""
        if path or body or visit is not None or self.body is not None or self.form is not None:
            return self._read(path, query, body, content_type, visit)
        if (ask := self.remembered.get(query)) is None:
            ask = self._read(path, query, body, content_type, visit)
            if len(query) <= SHORT and is_fixed(ask):
                if len(self.remembered) >= REMEMBERED:
                    self.remembered.clear()
                self.remembered[query] = ask
        return ask

    def _read(
        self, path: Mapping[str, str], query: bytes, body: bytes, content_type: str, visit: Visit | None
    ) -> Any:
        fields = self._parameters(path, query)
        if visit is not None:
            fields["visit"] = visit
        if self.body is not None:
            fields["body"] = self._body(body, content_type)
        elif self.form is not None:
            self._check_type(content_type)
            fields["body"] = self._formed(_pairs(body))
        elif body:
            raise BadRequest("This request takes no body.")
        return self.route.ask(**fields)

    def read_form(
        self,
        path: Mapping[str, str],
        query: bytes,
        form: Mapping[str, list[str]],
        uploaded: Uploaded | None,
        visit: Visit | None = None,
    ) -> Any:
        """The ask of a route with an upload: `form` are the fields beside the file. Raises `Invalid`."""
        fields = self._parameters(path, query)
        if visit is not None:
            fields["visit"] = visit
        return self.route.ask(**fields, body=self._formed(form), upload=uploaded)

    def _formed(self, form: Mapping[str, list[str]]) -> Any:
        """The fields of a form as the body. One that takes a single value comes once."""
        for name, values in form.items():
            if len(values) > 1 and name not in self.several:
                raise Invalid("A field came twice.", errors=(FieldError(f"/{name[:100]}", "Give it once."),))
        given = {name: values if name in self.several else values[0] for name, values in form.items()}
        try:
            body = msgspec.convert(given, self.form, strict=False)
        except msgspec.ValidationError as error:
            raise Invalid("The form is not valid.", errors=invalid(error)) from error
        _walk(given, "")
        return body

    def _parameters(self, path: Mapping[str, str], query: bytes) -> dict[str, Any]:
        if not path and not query and self.unasked is not None:
            return dict(self.unasked)
        values: dict[str, Any] = dict(path)
        known = self.known - path.keys()
        for name, value in _query(query):
            if name not in known:
                raise Invalid(
                    "The address has a parameter that this path does not take.",
                    errors=(
                        FieldError(f"?{name[:100]}", f"There is no parameter of that name; {_listed(known)}."),
                    ),
                )
            if name in self.lists:
                values.setdefault(name, []).extend(part for part in value.split(",") if part)
            elif name in values:
                raise Invalid("A parameter came twice.", errors=(FieldError(f"?{name}", "Give it once."),))
            else:
                values[name] = value
        try:
            parameters = msgspec.convert(values, self.parameters, strict=False)
        except msgspec.ValidationError as error:
            (wrong,) = invalid(error)
            name = wrong.pointer.lstrip("/").partition("/")[0]
            at = f"?{name}" if name in known else f"{{{name}}}"
            raise Invalid("The address is not valid.", errors=(FieldError(at, wrong.detail),)) from error
        return {name: getattr(parameters, name) for name in parameters.__struct_fields__}

    def _check_type(self, content_type: str) -> None:
        media_type, _, parameters = content_type.partition(";")
        if media_type.strip().lower() not in self.route.media_types:
            raise UnsupportedMediaType(f"The body has to be {' or '.join(self.route.media_types)}.")
        if "charset" in parameters.lower() and "utf-8" not in parameters.lower():
            raise UnsupportedMediaType("The body has to be UTF-8.")

    def _body(self, raw: bytes, content_type: str) -> Any:
        self._check_type(content_type)
        assert self.body is not None
        try:
            value = self.body.decode(raw)
        except msgspec.ValidationError as error:
            raise Invalid("The body is not valid.", errors=invalid(error)) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRequest(f"The body is not JSON: {error}.") from error
        refuse_unstorable(raw)
        return value


def is_fixed(ask: msgspec.Struct) -> bool:
    """Whether one ask does for many requests: nobody can change what it holds."""
    return not any(type(one) is list for one in msgspec.structs.astuple(ask))


def refuse_unstorable(raw: bytes) -> None:
    """Refuse U+0000 and lone surrogates anywhere in a JSON body: databases cannot keep them."""
    if b"\\u0000" not in raw and b"\\ud" not in raw.lower() and b"\x00" not in raw:
        return
    _walk(msgspec.json.decode(raw), "")


def _walk(value: Any, at: str) -> None:
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise Invalid(
                "The body holds a character that cannot be stored.",
                errors=(FieldError(at, "U+0000 and lone surrogates are not text."),),
            )
    elif isinstance(value, dict):
        for name, inner in value.items():
            _walk(name, at)
            _walk(inner, f"{at}/{name}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _walk(inner, f"{at}/{index}")


def _bodily(route: Route[Any, Any]) -> tuple[str, ...]:
    """The fields of an ask that come in the body, and what the edge says of a visit."""
    return ("body", *(("upload",) if route.upload else ()), *(("visit",) if route.page else ()))


def _pairs(raw: bytes) -> dict[str, list[str]]:
    """The fields of a form, each with all that came under its name."""
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=500)
    except (UnicodeDecodeError, ValueError) as error:
        raise BadRequest("The form is not UTF-8, or has too many fields.") from error
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def _query(raw: bytes) -> list[tuple[str, str]]:
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=200)
    except (UnicodeDecodeError, ValueError) as error:
        raise BadRequest("The query is not UTF-8, or has too many parts.") from error
    for name, value in pairs:
        if "\0" in name or "\0" in value:
            raise Invalid(
                "The address holds a character that cannot be stored.",
                errors=(FieldError(f"?{name.replace(chr(0), '')}", "U+0000 is not text."),),
            )
    return pairs


def _declared(field: msgspec.structs.FieldInfo, hint: Any) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return (field.name, hint, field.default)
    if field.default_factory is not msgspec.NODEFAULT:
        return (field.name, hint, msgspec.field(default_factory=field.default_factory))
    return (field.name, hint)


def _is_list(hint: Any) -> bool:
    origin = get_origin(hint)
    if origin is typing.Annotated:
        return _is_list(get_args(hint)[0])
    if origin in (Union, types.UnionType):
        return any(_is_list(part) for part in get_args(hint))
    return origin is list or hint is list


def _listed(names: set[str] | frozenset[str]) -> str:
    return "this path takes " + ", ".join(sorted(names)) if names else "this path takes none"


def path_of(request: HttpRequest) -> dict[str, str]:
    """The path's parameters, decoded."""
    values = {name: str(value) for name, value in request.path_params.items()}
    for name, value in values.items():
        if "\0" in value:
            raise Invalid(
                "The address holds a character that cannot be stored.",
                errors=(FieldError(f"{{{name}}}", "U+0000 is not text."),),
            )
    return values

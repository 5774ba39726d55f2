"""What a service gives a person of what it keeps about them: pages of JSON, file by file."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from tidings.platform.contract import Call, Value

LAST_MS: Final = 2**48 - 1  # of a UUIDv7
BLOBS: Final = "blobs/"  # asked for as a file, it is all that are kept as whole files

Entry = TypeVar("Entry")
Place = TypeVar("Place")
_encode = msgspec.json.Encoder().encode


class ExportAsk(Value, frozen=True):
    """A page of one file, of the person for whom it is asked. `after` is where the page before ended.

    `since_ms` and `until_ms` narrow what can be much and has a time of its own; what is little is given whole.
    """

    file: str
    after: str = ""
    limit: Annotated[int, Meta(ge=1, le=500)] = 200
    since_ms: int = 0
    until_ms: int = LAST_MS  # not included


class ExportBlob(Value, frozen=True):
    """A file of the person's own, as it is."""

    name: str
    content: bytes


class ExportPage(Value, frozen=True):
    """Entries as JSON, or whole files for `file=BLOBS`, and where the next page begins if there is one."""

    entries: list[msgspec.Raw] = []
    after: str | None = None
    blobs: list[ExportBlob] = []


class Export(Call[ExportAsk, ExportPage]):
    """A service's part of an export, as the call `<service>/export`.

    `files` says of each file of JSON what it holds, `blobs` what whole files there are beside them, if any.
    """

    __slots__ = ("blobs", "files")
    files: Mapping[str, str]
    blobs: str

    def __init__(self, service: str, *, callers: set[str], files: Mapping[str, str], blobs: str = "") -> None:
        Call.__init__(self, f"{service}/export", ExportAsk, ExportPage, callers=callers, safe=True)
        object.__setattr__(self, "files", files)
        object.__setattr__(self, "blobs", blobs)


@dataclass(frozen=True, slots=True)
class NothingPersonal:
    """In the contract of a service with a database that keeps nothing about people: why that is so."""

    why: str


def personal(contract: ModuleType) -> Export | NothingPersonal | None:
    """What a contract says of the personal data that its service keeps."""
    service = contract.__name__.rpartition(".")[2]
    for value in vars(contract).values():
        if isinstance(value, NothingPersonal) or (isinstance(value, Export) and value.service == service):
            return value
    return None


def exports_in(contracts: ModuleType) -> tuple[Export, ...]:
    """The exports of every contract in a package, by service: a new one need not be listed anywhere."""
    found = (personal(import_module(f"{contracts.__name__}.{one.name}")) for one in modules_of(contracts))
    return tuple(one for one in found if isinstance(one, Export))


def modules_of(package: ModuleType) -> Sequence[pkgutil.ModuleInfo]:
    """In the order of their names."""
    return sorted(pkgutil.iter_modules(package.__path__), key=lambda one: one.name)


def place_in(ask: ExportAsk, kind: type[Place], first: Place) -> Place:
    """After which entry the page begins."""
    return msgspec.json.decode(ask.after, type=kind) if ask.after else first


def page_of(
    found: Sequence[Entry], ask: ExportAsk, *, shown: Callable[[Entry], object], place: Callable[[Entry], object]
) -> ExportPage:
    """The page of what was read under the ask's limit, each as it is `shown`. A `place` travels as JSON."""
    return ExportPage(
        entries=[msgspec.Raw(_encode(shown(one))) for one in found],
        after=_encode(place(found[-1])).decode() if found and len(found) == ask.limit else None,
    )

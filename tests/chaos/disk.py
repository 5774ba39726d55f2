"""A small file system in memory, which a test fills to the last byte. Only root may make one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CHUNK = 1 << 20


@dataclass(frozen=True)
class SmallDisk:
    """Mounted at `folder`."""

    folder: Path

    def fill(self) -> None:
        """Leave no room."""
        with (self.folder / "filler").open("wb", buffering=0) as filler:
            for size in (CHUNK, 4096, 1):
                try:
                    while filler.write(b"\0" * size):
                        pass
                except OSError:  # no room for so much: try less
                    continue

    def free(self) -> None:
        """Make room again."""
        (self.folder / "filler").unlink(missing_ok=True)


def why_not() -> str | None:
    """Why there can be none here; None if there can."""
    return None if os.geteuid() == 0 else "a small file system needs root, who does not run this"


@contextmanager
def small_disk(folder: Path, *, megabytes: int) -> Iterator[SmallDisk]:
    """Mount one within the block. A `CalledProcessError` where even root may not."""
    folder.mkdir()
    size = f"size={megabytes}m,mode=711"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], check=True, capture_output=True)
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True, capture_output=True)

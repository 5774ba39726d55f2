"""What a test run left: processes that still have its temporary folder in their environment, and files in it.

Usage: python tools/left_behind.py FOLDER. Exit status 1 when something is there; each is named. Linux only.
"""

import contextlib
import sys
from pathlib import Path

# pytest keeps the folders of its last runs, and a copy of an engine's program is kept for the next start.
KEPT = ("pytest-of-", "tidings-program-", ".tidings-program-")


def processes_of(folder: Path) -> list[str]:
    """`pid command` of each process that was started with this folder as its TMPDIR."""
    mark, found = f"TMPDIR={folder}".encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended while we looked, or is not ours to look into
            if mark in (process / "environ").read_bytes().split(b"\0"):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found.append(f"{process.name} {command[:200]}")
    return found


def files_in(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.iterdir() if not path.name.startswith(KEPT))


def main(folder: Path) -> int:
    left = [f"process {one}" for one in processes_of(folder)] + [f"file {one}" for one in files_in(folder)]
    for one in left:
        sys.stderr.write(f"left behind by the tests: {one}\n")
    return 1 if left else 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))

"""Documents as tests read them: their code blocks, and a copy of the source with what they say done to it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.harness.people import Client
from tidings.platform.data_directory import DataDirectory

ROOT = Path(__file__).parents[2]
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
START_TIME = 60.0  # seconds

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NEW = re.compile(r"# (src/\S+\.py)\n")
_MORE = re.compile(r"# at the end of (src/\S+\.py)\n")
_CHANGED = re.compile(r"--- (src/\S+\.py)\n")


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    language: str
    text: str


def blocks(document: str, language: str) -> list[Block]:
    return [Block(found[1], found[2]) for found in _FENCE.finditer(document) if found[1] == language]


def code_lines(document: str) -> int:
    """Lines of Python that the document adds: no blank ones and no comments, and a changed line is no line more."""
    added = [line for block in blocks(document, "python") for line in block.text.splitlines()]
    changed = [line for block in blocks(document, "diff") for line in block.text.splitlines()[1:]]
    added += [line[1:] for line in changed if line.startswith("+")]
    removed = [line[1:] for line in changed if line.startswith("-")]
    return sum(map(_is_code, added)) - sum(map(_is_code, removed))


def _is_code(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def follow(document: str, root: Path) -> None:
    """Do to the tree at `root` what the document's Python and diff blocks say."""
    for block in (*blocks(document, "python"), *blocks(document, "diff")):
        if new := _NEW.match(block.text):
            path = root / new[1]
            assert not path.exists(), f"{new[1]} is there already"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text[new.end() :])
        elif more := _MORE.match(block.text):
            path = root / more[1]
            path.write_text(path.read_text() + "\n\n" + block.text[more.end() :])
        elif changed := _CHANGED.match(block.text):
            path = root / changed[1]
            path.write_text(_patched(path.read_text(), block.text[changed.end() :], changed[1]))
        else:
            raise AssertionError(f"a block that does not say its file:\n{block.text}")


def _patched(text: str, diff: str, name: str) -> str:
    for hunk in diff.split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] in " -")
        new = "".join(line[1:] for line in lines if line[0] in " +")
        if not lines:
            continue
        assert text.count(old) == 1, f"{name} does not hold these lines exactly once:\n{old}"
        text = text.replace(old, new)
    return text


@asynccontextmanager
async def copy_with(*documents: str) -> AsyncIterator[Path]:
    """A folder with a copy of the source, in which the documents were followed; removed when the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="tidings-test-"))
    folder.chmod(0o711)
    try:
        shutil.copytree(ROOT / "src", folder / "src")
        for document in documents:
            follow(document, folder)
        yield folder
    finally:
        shutil.rmtree(folder)


@asynccontextmanager
async def up(folder: Path, *flags: str) -> AsyncIterator[Client]:
    """`tidings up` of the source in `folder`; a second time on the same data."""
    data, log = folder / "data", folder / "said"
    settings = f"--data {data} --port 0 --metrics-port -1 --signup open --argon2-memory-kib 8 --log-to file"
    command = [sys.executable, "-m", "tidings.cli.main", "up", *settings.split(), *flags]
    with log.open("wb") as said:
        server = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder / "src")},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
    try:
        url = await _address(data, server, log)
        async with aiohttp.ClientSession() as session:
            yield Client(session, url)
    finally:
        server.send_signal(signal.SIGTERM)
        await asyncio.to_thread(server.wait)


async def _address(data: Path, server: subprocess.Popen[bytes], log: Path) -> str:
    async with asyncio.timeout(START_TIME):
        while server.poll() is None:
            info = DataDirectory.running(data) if data.exists() else None
            if url := (info or {}).get("addresses", {}).get("public"):
                return str(url)
            await asyncio.sleep(0.05)
    raise AssertionError(f"it did not start:\n{log.read_text()}")

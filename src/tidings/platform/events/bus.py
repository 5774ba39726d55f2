"""The bus: NATS JetStream. One stream a producer, one durable consumer for each service that reacts to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec
import nats
import nats.errors
import nats.js
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)

from tidings.platform import logs
from tidings.platform.ending import heed_cancellation, heeding_cancellation
from tidings.platform.occurrence import Occurred
from tidings.platform.service import ServiceKind

log = logs.get_logger("bus")

OPERATOR: Final = "tidings"  # makes streams and consumers; services only use them
ACK_WAIT: Final = 5.0  # seconds
PATIENCE: Final = 2.0  # seconds
FLUSHED: Final = 60  # seconds; a connection that is silent for so long was given up before
KEPT: Final = 7 * 86_400.0  # seconds
MOST_BYTES: Final = 512 * 1024 * 1024  # of one stream: what does not fit waits in its outbox
TOLD: Final = "Tidings-Told"  # in its header: it was said in passing, too
DUPLICATES: Final = 120.0  # seconds within which the bus itself drops a second copy

# What a client meets when the bus is away, full, or has lost its data.
TROUBLE = (OSError, TimeoutError, nats.errors.Error, nats.js.errors.Error)


class BusAddress(msgspec.Struct, frozen=True):
    """Where the bus is, and as whom one service comes."""

    url: str
    user: str
    password: str

    def __repr__(self) -> str:  # the default would carry the password into logs
        return f"BusAddress(url={self.url!r}, user={self.user!r})"


@dataclass(frozen=True, slots=True)
class Heard:
    """A message in passing; `respond` where an answer is waited for."""

    subject: str
    content: bytes
    respond: Callable[[bytes], Awaitable[None]] | None


class Bus:
    """One service's connection. It comes back by itself."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._stream = client.jetstream(timeout=ACK_WAIT)

    async def say(self, subject: str, content: bytes) -> None:
        """Tell whoever hears it now; nobody keeps it."""
        with heeding_cancellation():
            await self._client.publish(subject, content)

    async def ask_each(self, subject: str, content: bytes, answered: Callable[[bytes], bool]) -> None:
        """Tell whoever hears it now; return when `answered`, given each answer, is True. Wait under a time-out."""
        inbox, enough = self._client.new_inbox(), asyncio.Event()

        async def got(message: Msg) -> None:
            if answered(message.data):
                enough.set()

        subscription = await self._client.subscribe(inbox, cb=got)
        try:
            await self._client.publish(subject, content, reply=inbox)
            await enough.wait()
        finally:
            with contextlib.suppress(*TROUBLE):
                await subscription.unsubscribe()

    async def publish(self, one: Occurred, *, told: bool = False) -> None:
        """Return when the bus has it on its disk. Under the same id it is taken once. One of TROUBLE otherwise.

        `told`: whoever hears what passes has heard of it, and is not told again, in what might be another order.
        """
        headers = {"Nats-Msg-Id": str(one.id), **({TOLD: "1"} if told else {})}
        with heeding_cancellation():
            await self._stream.publish(one.event, msgspec.json.encode(one), headers=headers)

    async def hear(self, producer: str, heard: Callable[[Heard], Awaitable[None]]) -> None:
        """Get each message of a producer as it passes, once, or never: what is missed on the way is gone.

        One subscription for all, since two are not heard in the order in which they were sent. The bus has it once
        a `flush` returns.
        """

        async def got(message: Msg) -> None:
            if message.headers is None or TOLD not in message.headers:
                await heard(Heard(message.subject, message.data, message.respond if message.reply else None))

        with heeding_cancellation():
            await self._client.subscribe(f"{producer}.>", cb=got)

    async def flush(self) -> None:
        """Return when the bus has done all that it was told until now. One of TROUBLE if it does not."""
        # NOTE: the client's own time-out cancels what a late PONG then fails to set, and that ends its reader.
        if not self._client.is_connected:  # the client says that it is done then
            raise ConnectionError("the bus is not connected")
        answered = asyncio.ensure_future(self._client.flush(FLUSHED))
        answered.add_done_callback(lambda one: one.cancelled() or one.exception())
        done, _ = await asyncio.wait({answered}, timeout=PATIENCE)
        if not done:
            raise TimeoutError(f"the bus did not answer within {PATIENCE:g} s")
        await answered
        if not self._client.is_connected:
            raise ConnectionError("the bus was lost meanwhile")

    async def pull(self, producer: str, consumer: str) -> Deliveries:
        """What a durable consumer gets of a producer's stream."""
        with heeding_cancellation():
            return Deliveries(await self._stream.pull_subscribe_bind(durable=consumer, stream=producer))


class Deliveries:
    """Messages of one durable consumer, in batches."""

    def __init__(self, subscription: nats.js.JetStreamContext.PullSubscription) -> None:
        self._subscription = subscription

    async def next(self, most: int, patience: float) -> list[Delivery]:
        """Up to `most`; none if `patience` seconds pass without one."""
        try:
            with heeding_cancellation():
                return [Delivery(message) for message in await self._subscription.fetch(most, timeout=patience)]
        except (TimeoutError, nats.errors.TimeoutError):
            return []

    async def close(self) -> None:
        with contextlib.suppress(*TROUBLE):
            await self._subscription.unsubscribe()


class Delivery:
    """One message, until it is acknowledged or given back."""

    def __init__(self, message: Msg) -> None:
        self._message = message

    @property
    def content(self) -> bytes:
        return self._message.data

    @property
    def times(self) -> int:
        """How often it was delivered by now, this time included."""
        return self._message.metadata.num_delivered or 1

    async def done(self) -> None:
        """Acknowledge. If that is lost on its way, it comes again, and its effect is found made."""
        await self._message.ack()

    async def again(self, after: float) -> None:
        """Have it delivered again in that many seconds."""
        await self._message.nak(delay=after)


@asynccontextmanager
async def connected(
    address: BusAddress,
    name: str,
    *,
    gap: Callable[[], None] = lambda: None,
    back: Callable[[], None] = lambda: None,
) -> AsyncIterator[Bus]:
    """A connection within the block; where there is no bus yet, it waits for one.

    `gap` is called when something may pass that is not heard, `back` when the connection is there again.
    """
    client = await _connect(address, name, gap, back)
    try:
        heed_cancellation()
        yield Bus(client)
    finally:
        with heeding_cancellation():
            await _close(client)


async def _connect(address: BusAddress, name: str, gap: Callable[[], None], back: Callable[[], None]) -> Client:
    async def noticed(error: Exception) -> None:
        log.debug("bus_trouble", service=name, error=repr(error))
        # NOTE: while it tries to come back, the client does not close what a bus that hangs never answered on.
        if not client.is_connected and client._transport is not None:
            client._transport.close()  # type: ignore[no-untyped-call]
        if isinstance(error, nats.errors.SlowConsumerError):
            gap()
            back()

    async def parted() -> None:
        gap()

    async def reconnected() -> None:
        back()

    pause = 0.05
    while True:
        client = Client()
        try:
            await client.connect(
                address.url.split(","),
                user=address.user,
                password=address.password,
                name=f"tidings-{name}",
                inbox_prefix=f"_INBOX.{address.user}",
                error_cb=noticed,
                disconnected_cb=parted,
                reconnected_cb=reconnected,
                connect_timeout=2,
                reconnect_time_wait=0.2,  # type: ignore[arg-type]  # it sleeps so long: any number
                max_reconnect_attempts=-1,
                ping_interval=5,
            )
            return client
        except TROUBLE as error:
            heed_cancellation()
            log.warning("bus_away", service=name, error=repr(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)
        except asyncio.CancelledError:  # whoever asked waits no longer, for a server that hangs perhaps
            await _close(client)
            raise


async def _close(client: Client) -> None:
    with contextlib.suppress(*TROUBLE):
        async with asyncio.timeout(2):
            await client.close()
    if client._transport is not None:  # the client leaves it open if it fails to write what is left
        client._transport.close()  # type: ignore[no-untyped-call]


# What the operator makes: users, streams and consumers, from the contracts and reactions alone.


def consumers_of(kinds: Mapping[str, ServiceKind[Any]]) -> dict[tuple[str, str], list[str]]:
    """`(producer, consumer)` and the names of the events between them, for consumers that own a database."""
    found: dict[tuple[str, str], list[str]] = {}
    for kind in kinds.values():
        for event, _ in kind.reactions.values() if kind.migrations is not None else ():
            found.setdefault((event.service, kind.name), []).append(event.name)
    return found


def consumers_by_event(kinds: Mapping[str, ServiceKind[Any]]) -> dict[str, set[str]]:
    """By event, the services that own a database and react to it."""
    found: dict[str, set[str]] = {}
    for (_, consumer), events in consumers_of(kinds).items():
        for event in events:
            found.setdefault(event, set()).add(consumer)
    return found


def listeners_by_producer(
    kinds: Mapping[str, ServiceKind[Any]], others: Mapping[str, Collection[str]]
) -> dict[str, set[str]]:
    """By producer, who hears what it says in passing. `others` are no services, with those whom they hear."""
    hears: dict[str, Collection[str]] = {name: heard_by(kind) for name, kind in kinds.items()} | dict(others)
    return {producer: {name for name, those in hears.items() if producer in those} for producer in kinds}


def producers_of(kinds: Mapping[str, ServiceKind[Any]]) -> list[str]:
    """Services that announce events which the bus keeps: each has a stream."""
    return [kind.name for kind in kinds.values() if durable_of(kind) and kind.migrations is not None]


def durable_of(kind: ServiceKind[Any]) -> list[str]:
    """The names of the events that the bus keeps, all or some of them."""
    return sorted(event.name for event in kind.contract.events if event.durable)


def users_of(
    kinds: Mapping[str, ServiceKind[Any]],
    passwords: Mapping[str, str],
    listeners: Mapping[str, Collection[str]] | None = None,
) -> list[Mapping[str, Any]]:
    """NATS users: each publishes its own subjects only, and consumes only what its reactions name.

    `listeners` are those who only listen to producers, beside the services: the edge.
    """
    consumed = consumers_of(kinds)
    users: list[Mapping[str, Any]] = [
        {"user": OPERATOR, "password": passwords[OPERATOR], "permissions": {"publish": [">"], "subscribe": [">"]}}
    ]
    for kind in kinds.values():
        publish = [f"{kind.name}.>"] if kind.contract.events else []
        for producer, consumer in consumed:
            if consumer == kind.name:
                publish.append(f"$JS.API.CONSUMER.MSG.NEXT.{producer}.{consumer}")
                publish.append(f"$JS.ACK.{producer}.{consumer}.>")
        users.append(_user(kind.name, passwords[kind.name], publish, heard_by(kind)))
    for name, producers in (listeners or {}).items():
        users.append(_user(name, passwords[name], [], producers))
    return users


def heard_by(kind: ServiceKind[Any]) -> list[str]:
    """The producers that a service listens to as they speak: it keeps their answers, or keeps nothing at all."""
    reacts = {event.service for event, _ in kind.reactions.values()} if kind.migrations is None else set()
    return sorted(reacts | {kept.call.service for kept in kind.kept})


def _user(name: str, password: str, publish: list[str], hears: Collection[str]) -> Mapping[str, Any]:
    """Who only listens may still answer where an answer is waited for."""
    return {
        "user": name,
        "password": password,
        "permissions": {
            "publish": {"allow": publish} if publish else {"deny": [">"]},
            "subscribe": [f"_INBOX.{name}.>", *(f"{producer}.>" for producer in hears)],
            **({"allow_responses": {"max": 1, "expires": "5s"}} if hears else {}),
        },
    }


async def prepare(address: BusAddress, kinds: Mapping[str, ServiceKind[Any]]) -> bool:
    """Make the streams and consumers that are not there; True if any was missing. One of TROUBLE if it can't."""
    made = False
    async with connected(address, "operator") as bus:
        manager = bus._stream
        present = {found.config.name: found.config.subjects for found in await manager.streams_info()}
        for producer in producers_of(kinds):
            wanted = _stream(kinds[producer])
            if producer not in present:
                made = True
                await manager.add_stream(wanted)
            elif sorted(present[producer] or []) != wanted.subjects:
                await manager.update_stream(wanted)
        for (producer, consumer), events in consumers_of(kinds).items():
            try:
                found = await manager.consumer_info(producer, consumer)
                if sorted(found.config.filter_subjects or []) == sorted(events):
                    continue
            except nats.js.errors.NotFoundError:
                made = True
            await manager.add_consumer(producer, _consumer(consumer, events))
    return made


def _stream(kind: ServiceKind[Any]) -> StreamConfig:
    """Durable events alone: what else a producer says is heard in passing, and kept by nobody."""
    return StreamConfig(
        name=kind.name,
        subjects=durable_of(kind),
        retention=RetentionPolicy.INTEREST,
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        max_age=KEPT,
        max_bytes=MOST_BYTES,
        duplicate_window=DUPLICATES,
        num_replicas=1,
    )


def _consumer(consumer: str, events: list[str]) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=consumer,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT,
        max_deliver=-1,
        max_ack_pending=1000,
        filter_subjects=sorted(events),
    )


def event_id(content: bytes) -> UUID:
    """The id alone, of a message whose rest may be broken."""
    return msgspec.json.decode(content, type=_OnlyId).id


class _OnlyId(msgspec.Struct):
    id: UUID

"""Row 36, the bus: with one service's credential, only its own events are published, and only its own are heard."""

from __future__ import annotations

import asyncio
import contextlib

import nats
import pytest
from nats.aio.client import Client
from nats.js.api import ConsumerConfig

from tests.harness.bus import greeted
from tests.harness.system import Whole


async def connected(tidings: Whole, user: str) -> tuple[Client, list[str]]:
    """A client with a service's own credential, and what the server refused it."""
    refused: list[str] = []

    async def note(error: Exception) -> None:
        refused.append(str(error).lower())

    address = tidings.system.installation._bus_address(user)
    client = await nats.connect(
        address.url,
        user=user,
        password=address.password,
        inbox_prefix=f"_INBOX.{user}",
        error_cb=note,
        allow_reconnect=False,
    )
    return client, refused


@pytest.mark.parametrize("tidings", ["near"], indirect=True)
async def test_row_36_a_service_publishes_its_own_events_alone(tidings: Whole) -> None:
    for user, subject in (
        ("friends", "users.removed"),
        ("notifications", "messages.posted"),
        ("timeline", "timeline.anything"),
        ("messages", "$JS.API.STREAM.DELETE.users"),
        ("notifications", "$JS.API.STREAM.PURGE.messages"),
        ("users", "$JS.ACK.messages.notifications.1.1.1.1.1"),
        ("timeline", "users._beat"),  # nobody else may say that all was told,
        ("edge", "users._removal"),  # nor empty others' caches
        ("edge", "users.removed"),
    ):
        client, refused = await connected(tidings, user)
        await client.publish(subject, b"{}")
        await client.flush()
        await asyncio.sleep(0.05)
        assert any("permissions violation" in one and "publish" in one for one in refused), (user, subject)
        await client.close()


@pytest.mark.parametrize("tidings", ["near"], indirect=True)
async def test_row_36_a_service_hears_only_whom_its_reactions_and_caches_name(tidings: Whole) -> None:
    for user, subject in (
        ("timeline", ">"),
        ("timeline", "$JS.>"),
        ("edge", "media.>"),
        ("notifications", "users.>"),  # what it reacts to comes to its own durable consumer
        ("friends", "messages.>"),
        ("users", ">"),
        ("messages", "_INBOX.>"),
    ):
        client, refused = await connected(tidings, user)
        await client.subscribe(subject)
        await client.flush()
        await asyncio.sleep(0.05)
        assert any("permissions violation" in one and "subscription" in one for one in refused), (user, subject)
        await client.close()
    client, refused = await connected(tidings, "friends")
    with contextlib.suppress(nats.errors.Error, TimeoutError):
        await client.jetstream(timeout=0.3).add_consumer("messages", ConsumerConfig(durable_name="mine"))
    assert any("permissions violation" in one for one in refused)
    await client.close()


@pytest.mark.parametrize("tidings", ["near"], indirect=True)
async def test_row_36_another_services_password_or_none_opens_nothing(tidings: Whole) -> None:
    installation = tidings.system.installation
    url = installation.bus_url
    assert url is not None
    friends = installation._bus_address("friends").password
    assert await greeted(url, "friends", friends) == "PONG"
    for user, password in (("users", friends), ("tidings", "tidings"), (None, None)):
        assert await greeted(url, user, password) == "-ERR 'Authorization Violation'"

"""What is heard in passing is nobody's who owns data."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import msgspec
import pytest

from tests.harness.system import Whole
from tidings import everything
from tidings.contracts import friends, messages, notifications
from tidings.contracts.messages import MessageChanged, MessageId
from tidings.contracts.users import UserId
from tidings.platform.events.consumer import Consumer
from tidings.platform.occurrence import Occurred, Occurrence
from tidings.platform.service import ServiceKind, reacts
from tidings.services.friends import routes
from tidings.services.friends.service import open_friends


def test_who_owns_data_cannot_react_to_it() -> None:
    @reacts(notifications.changed)
    async def on_changed(holder: Any, happened: Occurrence[Any]) -> None: ...

    migrations = everything.SERVICES["friends"].migrations
    reactions = cast("Any", SimpleNamespace(on_changed=on_changed))
    with pytest.raises(
        TypeError, match=r"friends owns data, and reacts to .* in passing: \['notifications.changed'\]"
    ):
        ServiceKind.of(friends, routes, open_friends, migrations, reactions)


@pytest.mark.parametrize(("mentions", "reacted"), [(0, 0), (1, 1)])
@pytest.mark.parametrize("tidings", ["near"], indirect=True)
async def test_in_the_producers_record_it_is_passed_over(tidings: Whole, mentions: int, reacted: int) -> None:
    """Who compares finds all events of a name, also those that the bus never had."""
    seen: list[Occurrence[Any]] = []

    async def note(holder: Any, happened: Occurrence[Any]) -> None:
        seen.append(happened)

    process = tidings.system.process
    assert process is not None
    inbox = process.servings["notifications"].holder.mailroom._store.inbox
    consumer = Consumer("notifications", "messages", None, {messages.posted.name: (messages.posted, note)}, inbox)
    body = MessageChanged(
        MessageId(uuid4()), UserId(uuid4()), 1, mentions=[UserId(uuid4()) for _ in range(mentions)]
    )
    one = Occurred(uuid4(), messages.posted.name, body.author_id, 1, msgspec.Raw(msgspec.json.encode(body)))
    assert await consumer.handle(one) == ("done", 0.0)
    assert [happened.body for happened in seen] == [body] * reacted

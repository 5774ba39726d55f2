"""What people said before a test begins, put there at once."""

from __future__ import annotations

from collections.abc import Sequence

from tests.harness.people import Person
from tests.harness.system import Whole
from tidings.contracts import messages
from tidings.contracts.messages import MessageId
from tidings.contracts.users import UserId
from tidings.platform.clock import now_ms
from tidings.platform.ids import bucket_of, uuid7

APART = 5  # ms between two of them


async def has_said(tidings: Whole, person: Person, texts: Sequence[str], *, ago: float = 0.0) -> list[str]:
    """The ids of the messages, the oldest first; the newest is `ago` seconds old."""
    author = UserId(type(uuid7(0))(person.id))
    newest = now_ms() - int(ago * 1000)
    made = [
        messages.ImportedMessage(
            id=MessageId(uuid7(newest - APART * (len(texts) - 1 - number), rand_a=bucket_of(author))),
            author_id=author,
            text=text,
        )
        for number, text in enumerate(texts)
    ]
    await tidings.operator.call(messages.import_messages, messages.ImportMessages(messages=made))
    return [str(one.id) for one in made]

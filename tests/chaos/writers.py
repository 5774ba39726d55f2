"""Who writes while somebody is being deleted: befriend, post, react, sign in, and delete once more."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from uuid import UUID

import aiohttp

from tests.chaos.ground import Ground
from tests.harness.people import PASSWORD, Answer, Person
from tests.twophase.oracle import Databases

REFUSED = {409, 503}  # with Retry-After
PATIENCE = 20.0


@dataclass
class Writers:
    """Five writes at once against one person."""

    ground: Ground
    subject: Person
    friend: Person
    stranger: Person
    message: str  # of the subject
    tasks: dict[str, asyncio.Task[Answer | None]] = field(default_factory=dict)

    def start(self) -> None:
        writes = {
            "befriend": self.stranger.put(f"/v1/friends/{self.subject.id}"),
            "post": self.subject.post("/v1/messages", {"text": "one more"}),
            "react": self.friend.put(f"/v1/messages/{self.message}/reactions/👍"),
            "sign in": self.ground.whole.client.ask(
                "POST", "/v1/sessions", json={"handle": self.subject.handle, "password": PASSWORD}
            ),
            "second delete": self.subject.delete("/v1/users/me"),
        }
        self.tasks = {name: asyncio.create_task(_answered(write)) for name, write in writes.items()}

    async def judge(self, databases: Databases, *, deleted: bool) -> dict[str, int | None]:
        """Each was serialised before, or refused in a way that says when to come again. What each was told."""
        _, late = await asyncio.wait(self.tasks.values(), timeout=PATIENCE)
        assert not late, f"{len(late)} writers had no answer in {PATIENCE} s"
        answers = {name: task.result() for name, task in self.tasks.items()}
        for name, answer in answers.items():
            if answer is None:
                continue
            status = answer.status
            assert status < 300 or status in {401, 404} | REFUSED, (name, status, answer.raw)
            assert status not in REFUSED or answer.headers.get("retry-after"), (name, status, answer.raw)
        if not deleted:
            await self._nothing_lost(databases, answers)
        return {name: answer and answer.status for name, answer in answers.items()}

    async def _nothing_lost(self, databases: Databases, answers: dict[str, Answer | None]) -> None:
        """What was acknowledged to them is there, since the person is."""
        messages = databases.records["messages"]
        asked = "select count(*) from friend_requests where asker_id = $1"
        signed_in = "select count(*) - 1 from sessions where user_id = $1"
        looks = {
            "befriend": databases.value("friends", asked, UUID(self.stranger.id)),
            "post": messages.said(UUID(self.subject.id)),
            "react": messages.reactions(UUID(self.friend.id)),
            "sign in": databases.value("users", signed_in, UUID(self.subject.id)),
        }
        found = {name: await look for name, look in looks.items()}
        found["post"] -= 1  # the one before
        for name, count in found.items():
            answer = answers[name]
            if answer is not None and answer.status < 300:
                assert count == 1, f"an acknowledged {name} is lost"
        second = answers["second delete"]
        assert second is None or second.status != 204, "an acknowledged deletion is lost"


async def _answered(write: object) -> Answer | None:
    """None if the connection broke."""
    try:
        return await write  # type: ignore[misc]
    except aiohttp.ClientError:
        return None

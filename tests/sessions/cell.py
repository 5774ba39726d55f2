"""A few people who know each other, and the history of what they did and what they were shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import UUID

import aiohttp

from tests.consistency.history import History, Message, Operation, Register, Shown, Sight, pair
from tests.harness.people import Answer, Client, Person
from tests.harness.waiting import until
from tidings.cli.operator import Operator
from tidings.contracts import friends
from tidings.contracts.users import UserId
from tidings.platform.clock import now_ms

READS = frozenset({"timeline", "feed", "by_author", "item", "friends"})


class Unanswered(Exception):
    """A request was refused, or has no answer that says what happened: nothing follows from this trial."""


class Cell:
    """Ada, Bob and Cy are friends; Dee is a friend of Ada's now and then. Nobody else sees any of them."""

    def __init__(self, client: Client, operator: Operator) -> None:
        self.history = History()
        self.trial = 0  # operations note to which they belong
        self.muted = False  # Cy, by Ada
        self.with_dee = False  # Ada is friends with her
        self._client = client
        self._operator = operator
        self._names = 0

    @classmethod
    async def gather(cls, client: Client, operator: Operator) -> Cell:
        """Sign four people up, make friends of three, let each speak, and let each look around."""
        cell = cls(client, operator)
        cell.ada, cell.bob, cell.cy, cell.dee = [await cell.joins(name) for name in ("Ada", "Bob", "Cy", "Dee")]
        await cell.are_friends((cell.ada, cell.bob), (cell.ada, cell.cy), (cell.bob, cell.cy))
        for one in (cell.ada, cell.bob, cell.cy):
            await cell.posts(one)
        await cell.posts(cell.dee, audience="public")
        await cell.newest_of(cell.ada, cell.dee)  # so that she knows what to expect from a new friend
        for one in (cell.ada, cell.bob, cell.cy):
            await cell.timeline(one)
        return cell

    # What people do.

    async def joins(self, name: str) -> Person:
        """Somebody new. Nobody has their id before, so it is noted afterwards: nothing can contradict it."""
        try:
            person = await self._client.joins(name)
        except (AssertionError, aiohttp.ClientError, TimeoutError) as error:
            raise Unanswered(f"sign up: {error!r}") from error
        may: dict[Register, set[str]] = {("account", person.id): {"live"}, ("name", person.id): {name}}
        self._notes(person.id, "sign_up", may)
        return person

    async def are_friends(self, *pairs: tuple[Person, Person]) -> None:
        """By import."""
        may = {pair(one.id, other.id): {"friends"} for one, other in pairs}
        operation = self.history.invokes("operator", "import", may, trial=self.trial)
        await self._operator.call(
            friends.import_friendships,
            friends.ImportFriendships(
                friendships=[
                    friends.ImportedFriendship(a=UserId(UUID(one.id)), b=UserId(UUID(other.id)), since_ms=now_ms())
                    for one, other in pairs
                ]
            ),
        )
        self.history.returns(operation, "ok")

    async def posts(self, who: Person, audience: str = "friends") -> tuple[Message, str]:
        """Something that begins with its name in the history; with its id."""
        said = self.history.names(who.id)
        may = {
            ("message", said.name): {"standing"},
            ("audience", said.name): {audience},
            ("text", said.name): {"0"},
        }
        operation = self._invokes(who, "post", may, name=said.name)
        body = {"text": f"{said.name} 0", "audience": audience}
        answer = await self._sent(operation, who, "POST", "/v1/messages", json=body)
        operation.about["id"] = answer.body["id"]
        self.history.returns(operation, "ok")
        return said, operation.about["id"]

    async def withdraws(self, who: Person, said: Message, identifier: str) -> None:
        may = {("message", said.name): {"withdrawn"}}
        await self._writes(who, "withdraw", may, "DELETE", f"/v1/messages/{identifier}", name=said.name)

    async def narrows(self, who: Person, said: Message, identifier: str, *, to: Person) -> None:
        """Only `to` may see it from now on."""
        may = {("audience", said.name): {f"only {to.id}"}}
        body = {"audience": "only", "only": [to.id]}
        await self._writes(who, "narrow", may, "PATCH", f"/v1/messages/{identifier}", json=body, name=said.name)

    async def mutes(self, who: Person, other: Person, *, muted: bool) -> None:
        may = {("mute", who.id, other.id): {"yes" if muted else "no"}}
        await self._writes(who, "mute", may, "PUT" if muted else "DELETE", f"/v1/mutes/{other.id}", of=other.name)

    async def befriends(self, who: Person, other: Person, *, accepts: bool) -> None:
        may = {pair(who.id, other.id): {"friends" if accepts else f"asks {who.id}"}}
        await self._writes(who, "befriend", may, "PUT", f"/v1/friends/{other.id}", of=other.name)

    async def unfriends(self, who: Person, other: Person) -> None:
        may = {pair(who.id, other.id): {"none"}}
        await self._writes(who, "unfriend", may, "DELETE", f"/v1/friends/{other.id}", of=other.name)

    async def renames(self, who: Person) -> None:
        """A name that nobody had before."""
        self._names += 1
        name = f"{who.name} {self._names}"
        may = {("name", who.id): {name}}
        await self._writes(who, "rename", may, "PATCH", "/v1/users/me", json={"name": name}, name=name)

    async def leaves(self, who: Person) -> None:
        """Delete the account, until that is acknowledged."""
        operation = self._invokes(who, "leave", {("account", who.id): {"deleted"}})
        answer = await self._sent(operation, who, "DELETE", "/v1/users/me")
        if answer.status == 202:
            where = answer.headers["location"]

            async def outcome() -> str | None:
                state = (await self._client.ask("GET", where)).ok()["state"]
                return state if state != "deciding" else None

            if await until(outcome, within=20, what="the end of a deletion") != "deleted":
                self.history.returns(operation, "refused")
                raise Unanswered("a deletion was aborted")
        self.history.returns(operation, "ok")

    def tells(self, who: Person, other: Person) -> None:
        """`other` goes on with what `who` knows: with their token."""
        other.seen = who.seen
        self._notes(other.id, "told", {}, by=who.id)

    # What they are shown.

    async def timeline(self, who: Person) -> None:
        def shown(body: Any) -> Shown:
            sights = [_sight(one, "timeline") for entry in body["entries"] for one in entry["messages"]]
            cards = [entry["author"] for entry in body["entries"]]
            return _shown(sights, cards, "friend", covers="timeline")

        await self._reads(who, "timeline", "/v1/timeline", shown)

    async def feed(self, who: Person) -> None:
        def shown(body: Any) -> Shown:
            sights = [_sight(item["message"], "feed") for item in body["items"]]
            down_to = sights[-1].id if body.get("next_cursor") else None
            cards = [item["author"] for item in body["items"]]
            return _shown(sights, cards, "author", covers="feed", down_to=down_to)

        await self._reads(who, "feed", "/v1/feed?limit=10", shown)

    async def newest_of(self, who: Person, author: Person) -> None:
        def shown(body: Any) -> Shown:
            sights = [_sight(one["message"], "item") for one in body["messages"]]
            return _shown(sights, [one["author"] for one in body["messages"]], "author")

        await self._reads(who, "by_author", f"/v1/messages?author={author.id}&limit=1", shown)

    async def message(self, who: Person, said: Message, identifier: str) -> None:
        def shown(body: Any) -> Shown:
            if body is None:
                return Shown(covers=f"item {said.name}")
            return _shown([_sight(body["message"], "item")], [body["author"]], "author", covers=f"item {said.name}")

        await self._reads(who, "item", f"/v1/messages/{identifier}", shown, absent=404)

    async def friends(self, who: Person) -> None:
        def shown(body: Any) -> Shown:
            return _shown([], [one["user"] for one in body["people"]], "friend", covers="friends")

        await self._reads(who, "friends", "/v1/friends", shown)

    # Noting it.

    def _invokes(self, who: Person, kind: str, may: Mapping[Register, Iterable[str]], **about: Any) -> Operation:
        operation = self.history.invokes(who.id, kind, may, trial=self.trial, who=who.name, **about)
        operation.token = who.seen
        return operation

    def _notes(self, client: str, kind: str, may: Mapping[Register, Iterable[str]], **about: Any) -> None:
        self.history.returns(self.history.invokes(client, kind, may, trial=self.trial, **about), "ok")

    async def _writes(
        self,
        who: Person,
        kind: str,
        may: Mapping[Register, Iterable[str]],
        method: str,
        path: str,
        *,
        json: Any = None,
        **about: Any,
    ) -> None:
        operation = self._invokes(who, kind, may, **about)
        await self._sent(operation, who, method, path, json=json)
        self.history.returns(operation, "ok")

    async def _reads(
        self, who: Person, kind: str, path: str, shown: Callable[[Any], Shown], *, absent: int | None = None
    ) -> None:
        operation = self._invokes(who, kind, {})
        answer = await self._sent(operation, who, "GET", path, absent=absent)
        body = None if answer.status == absent else answer.body
        if body is not None and body.get("unreachable"):
            self.history.returns(operation, "unknown")
            raise Unanswered(f"{kind} without {body['unreachable']}")
        self.history.returns(operation, "ok", shown=shown(body))

    async def _sent(
        self,
        operation: Operation,
        who: Person,
        method: str,
        path: str,
        *,
        json: Any = None,
        absent: int | None = None,
    ) -> Answer:
        """The answer, if it is one that we can build on. Whoever asks notes that it returned."""
        try:
            answer = await who.ask(method, path, json=json)
        except (aiohttp.ClientError, TimeoutError) as error:
            self.history.returns(operation, "unknown")
            raise Unanswered(f"{operation.kind}: {error!r}") from error
        operation.answer = str(answer.status)
        if answer.status >= 400 and answer.status != absent:
            self.history.returns(operation, "refused" if answer.status < 500 else "unknown")
            raise Unanswered(f"{operation.kind}: {answer.status} {answer.raw[:200]!r}")
        return answer


def _sight(message: Any, where: str) -> Sight:
    name, _, text = message["text"].partition(" ")
    return Sight(name, message["id"], message["author_id"], text, message["version"], where)


def _shown(sights: list[Sight], cards: list[Any], role: str, **more: Any) -> Shown:
    """With what each person on it is called."""
    people = {card["id"]: card["name"] for card in cards}
    return Shown(
        sights=tuple(sights),
        cards=tuple((one, role) for one in people),
        values=tuple((("name", one), name) for one, name in people.items()),
        **more,
    )

"""People who sign up, befriend, post, read and leave, and remember exactly what they were told."""

from __future__ import annotations

import asyncio
import random
import re
import secrets
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import aiohttp

from tests.consistency.history import Message, Operation, Outcome, Register, Shown, Sight, pair
from tests.harness.people import PASSWORD, Answer, Client, Person
from tests.harness.pictures import picture
from tests.soak.witness import Witness

PATIENCE = aiohttp.ClientTimeout(total=12)  # longer than a route's own deadline
TRIES = 5
EMOJIS = ("+1", "heart")
SAID = re.compile(r"(m\d+)\.(\d+) ")
LOST = (aiohttp.ClientError, TimeoutError)
NOBODY = "?"


class Gone(Exception):
    """The account is no longer there: no more is to be done by this person."""


@dataclass(eq=False)
class Town:
    """Everybody, and what they may talk about."""

    client: Client
    witness: Witness
    chance: random.Random
    living: dict[str, Citizen] = field(default_factory=dict)
    left: deque[str] = field(default_factory=lambda: deque(maxlen=20))
    ids: dict[str, str] = field(default_factory=dict)  # of people, by handle
    handles: dict[str, str] = field(default_factory=dict)  # by id
    talk: deque[str] = field(default_factory=lambda: deque(maxlen=200))  # messages that anybody may ask for
    mark: str = field(default_factory=lambda: secrets.token_hex(3))
    made: int = 0

    async def welcomes(self) -> Citizen:
        """A new person, signed up and signed in; waits as long as that takes."""
        self.made += 1
        handle = f"p{self.made}_{self.mark}"
        citizen = Citizen(self, Person(self.client, handle, handle, "", ""))
        body = {"handle": handle, "name": handle, "password": PASSWORD}
        operation = self.witness.begins(handle, "sign_up", {("account", handle): {"live"}})
        key = {"idempotency-key": secrets.token_hex(8)}
        while (answer := await citizen.sends(operation, "POST", "/v1/users", json=body, headers=key)) is None:
            await asyncio.sleep(0.5)
        self.ids[handle] = citizen.person.id = answer.ok()["id"]
        self.handles[citizen.person.id] = handle
        self.witness.ends(operation, "ok")
        operation = self.witness.begins(handle, "sign_in")
        body = {"handle": handle, "password": PASSWORD}
        while (answer := await citizen.sends(operation, "POST", "/v1/sessions", json=body)) is None:
            await asyncio.sleep(0.5)
        citizen.person.token = answer.ok()["token"]
        self.witness.ends(operation, "ok")
        return citizen

    def name_of(self, user_id: str) -> str:
        return self.handles.get(user_id, NOBODY)


@dataclass(eq=False)
class Citizen:
    """One person: does one thing after the other, as one client."""

    town: Town
    person: Person
    wrote: list[str] = field(default_factory=list)  # messages of theirs that stand
    pictures: list[str] = field(default_factory=list)  # by id
    edits: dict[str, int] = field(default_factory=dict)
    met: deque[str] = field(default_factory=lambda: deque(maxlen=40))  # messages that they saw
    told: bool | None = None  # what they were told of their deletion: True deleted, False aborted

    @property
    def handle(self) -> str:
        return self.person.handle

    # Asking.

    async def sends(self, operation: Operation, method: str, path: str, **more: Any) -> Answer | None:
        """The answer, tried again while it is lost or says to; None if nobody knows what happened."""
        keyed = "idempotency-key" in more.get("headers", {})
        for number in range(TRIES):
            if number:
                operation.copies = not keyed
                await asyncio.sleep(self.town.chance.uniform(0.5, 1.0) * min(0.1 * 2**number, 1.0))
            operation.token = self.person.seen
            operation.about["tries"] = number + 1
            try:
                answer = await self._asks(method, path, **more)
            except LOST as error:
                operation.answer = f"{operation.answer} {type(error).__name__}".strip()
                continue
            operation.answer = f"{operation.answer} {answer.status}".strip()
            if answer.status < 500 and not (answer.status == 409 and "in_flight" in answer.raw.decode()):
                return answer
        return None

    async def _asks(self, method: str, path: str, **more: Any) -> Answer:
        if self.person.token:
            return await self.person.ask(method, path, timeout=PATIENCE, **more)
        return await self.town.client.ask(method, path, timeout=PATIENCE, **more)

    async def _writes(
        self,
        kind: str,
        method: str,
        path: str,
        may: Mapping[Register, set[str]],
        *,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        **about: Any,
    ) -> tuple[Operation, Answer | None]:
        operation = self.town.witness.begins(self.handle, kind, may, **about)
        answer = await self.sends(operation, method, path, headers=dict(headers or {}), json=json)
        self._check_signed_in(operation, answer)
        return operation, answer

    def _ends(
        self, operation: Operation, answer: Answer | None, made: Mapping[Register, str] | None = None
    ) -> bool:
        """By the answer's status; whether it was done."""
        outcome: Outcome = "unknown"
        if answer is not None and answer.status < 300:
            outcome = "ok"
        elif answer is not None and operation.about["tries"] == 1:
            outcome = "refused"
        self.town.witness.ends(operation, outcome, made=made)
        return outcome == "ok"

    async def _reads(self, kind: str, path: str, **about: Any) -> tuple[Operation, Answer | None]:
        """Asked once; what is lost is lost."""
        params = about.pop("params", None)
        operation = self.town.witness.begins(self.handle, kind, **about)
        operation.token = self.person.seen
        try:
            answer = await self.person.get(path, params=params, timeout=PATIENCE)
        except LOST as error:
            operation.answer = type(error).__name__
            self.town.witness.ends(operation, "unknown")
            return operation, None
        operation.answer = str(answer.status)
        self._check_signed_in(operation, answer)
        if answer.status in {200, 404}:
            return operation, answer
        self.town.witness.ends(operation, "unknown" if answer.status >= 500 else "refused")
        return operation, None

    def _check_signed_in(self, operation: Operation, answer: Answer | None) -> None:
        """Whoever signed in and did not leave is not asked to sign in."""
        if answer is None or answer.status != 401:
            return
        account = ("account", self.handle)
        clock = self.town.witness.history.clock
        if self.town.witness.checker.possible(account, operation.invoked, clock()) == {"live"}:
            self.town.witness.finds("I3", f"the session of {self.handle} is lost", operation)
        self.town.witness.ends(operation, "refused")
        raise Gone(self.handle)

    # People.

    async def befriends(self, other: str) -> None:
        between = pair(self.handle, other)
        asks = f"asks {self.handle}"
        may = {between: {asks, "friends"}}
        operation, answer = await self._writes(
            "befriend", "PUT", f"/v1/friends/{self._id(other)}", may, other=other
        )
        made = {"friends": "friends", "requested": asks}
        done = answer is not None and answer.status < 300
        self._ends(
            operation, answer, {between: made[answer.body["state"]]} if answer is not None and done else None
        )

    async def unfriends(self, other: str) -> None:
        await self._takes("unfriend", f"/v1/friends/{self._id(other)}", {pair(self.handle, other): {"none"}}, other)

    async def declines(self, other: str) -> None:
        path = f"/v1/friend-requests/{self._id(other)}"
        await self._takes("decline", path, {pair(self.handle, other): {"none"}}, other)

    async def blocks(self, other: str) -> None:
        may = {("block", self.handle, other): {"yes"}, pair(self.handle, other): {"none"}}
        operation, answer = await self._writes("block", "PUT", f"/v1/blocks/{self._id(other)}", may, other=other)
        self._ends(operation, answer)

    async def unblocks(self, other: str) -> None:
        await self._takes(
            "unblock", f"/v1/blocks/{self._id(other)}", {("block", self.handle, other): {"no"}}, other
        )

    async def _takes(self, kind: str, path: str, may: Mapping[Register, set[str]], other: str) -> None:
        operation, answer = await self._writes(kind, "DELETE", path, may, other=other)
        self._ends(operation, answer)

    # Messages.

    async def uploads(self) -> None:
        """A picture, if it comes to an end. Who sees it, and what is left of it, is judged at rest."""
        try:
            answer = await self.person.sends(picture(), timeout=PATIENCE)
        except LOST:
            return
        if answer.status == 201:
            self.pictures.append(answer.body["id"])

    async def posts(self, audience: str = "friends", mentions: tuple[str, ...] = ()) -> str | None:
        """Its name, if it was posted."""
        message = self.town.witness.history.names(self.handle, mentions=mentions)
        return await self._says("post", "/v1/messages", message, audience)

    def _shows(self) -> bool:
        return bool(self.pictures) and self.town.chance.random() < 0.4

    async def replies(self, to: str) -> str | None:
        parent = self.town.witness.history.messages[to]
        message = self.town.witness.history.names(self.handle, above=(*parent.above, to))
        return await self._says("reply", f"/v1/messages/{self._message_id(to)}/replies", message, "friends")

    async def _says(self, kind: str, path: str, message: Message, audience: str) -> str | None:
        name = message.name
        may: dict[Register, set[str]] = {("message", name): {"standing"}, ("audience", name): {audience}}
        may["text", name] = {"0"}
        body = {
            "text": f"{name}.0 hello",
            "mentions": [self._id(one) for one in message.mentions],
            "media": [{"media_id": self.town.chance.choice(self.pictures)}] if self._shows() else [],
            **self._audience(audience),
        }
        key = {"idempotency-key": secrets.token_hex(8)}
        operation = self.town.witness.begins(self.handle, kind, may, name=name, audience=audience)
        answer = await self.sends(operation, "POST", path, headers=key, json=body)
        self._check_signed_in(operation, answer)
        if answer is not None and answer.status == 201:
            operation.about["id"] = answer.body["id"]
        if not self._ends(operation, answer):
            return None
        self.wrote.append(name)
        self.town.talk.append(name)
        return name

    async def edits_one(self, name: str) -> None:
        number = self.edits[name] = self.edits.get(name, 0) + 1
        body = {"text": f"{name}.{number} hello again"}
        await self._patches("edit", name, body, {("text", name): {str(number)}})

    async def narrows(self, name: str, to: str) -> None:
        await self._patches("narrow", name, self._audience(to), {("audience", name): {to}})

    async def _patches(self, kind: str, name: str, body: Any, may: Mapping[Register, set[str]]) -> None:
        path = f"/v1/messages/{self._message_id(name)}"
        operation, answer = await self._writes(kind, "PATCH", path, may, json=body, name=name)
        self._ends(operation, answer)

    async def withdraws(self, name: str) -> None:
        may = {("message", name): {"withdrawn"}}
        path = f"/v1/messages/{self._message_id(name)}"
        operation, answer = await self._writes("withdraw", "DELETE", path, may, name=name)
        self.wrote.remove(name)
        if answer is not None and answer.status == 404 and operation.about["tries"] > 1:
            self.town.witness.ends(operation, "ok")  # nobody else can have withdrawn it: the first try did
        else:
            self._ends(operation, answer)

    async def reacts(self, name: str, emoji: str) -> None:
        await self._reaction("react", "PUT", name, emoji, "yes")

    async def unreacts(self, name: str, emoji: str) -> None:
        await self._reaction("unreact", "DELETE", name, emoji, "no")

    async def _reaction(self, kind: str, method: str, name: str, emoji: str, value: str) -> None:
        may = {("reaction", name, self.handle, emoji): {value}}
        path = f"/v1/messages/{self._message_id(name)}/reactions/{quote(emoji)}"
        operation, answer = await self._writes(kind, method, path, may, name=name, emoji=emoji)
        self._ends(operation, answer)

    # Reading.

    async def sees_feed(self, limit: int = 30) -> None:
        operation, answer = await self._reads("see_feed", "/v1/feed", params={"limit": limit})
        if answer is None:
            return
        body = answer.ok()
        sights = tuple(self._sight(one["message"], "feed") for one in body["items"])
        cards = tuple({(one["author"]["handle"], "author") for one in body["items"]})
        whole = not body["unreachable"] and not body["omitted"]["unavailable"]
        down_to = min((one.id for one in sights), default=None) if body["next_cursor"] else None
        self._ends_read(operation, Shown(sights, cards, covers="feed" if whole else None, down_to=down_to))

    async def sees_timeline(self) -> None:
        operation, answer = await self._reads("see_timeline", "/v1/timeline", params={"limit": 100})
        if answer is None:
            return
        body = answer.ok()
        sights = tuple(self._sight(one, "timeline") for entry in body["entries"] for one in entry["messages"])
        cards = tuple((entry["author"]["handle"], "friend") for entry in body["entries"])
        whole = not (body["unreachable"] or body["omitted"]["unavailable"] or body["next_cursor"])
        self._ends_read(operation, Shown(sights, cards, covers="timeline" if whole else None))

    async def sees_item(self, name: str) -> None:
        path = f"/v1/messages/{self._message_id(name)}"
        operation, answer = await self._reads("see_item", path, name=name)
        if answer is None:
            return
        covers = f"item {name}"
        if answer.status == 404:
            self._ends_read(operation, Shown(covers=covers))
            return
        body = answer.ok()
        mine = {one["emoji"] for one in body["reactions"] if one["mine"]}
        values = tuple(
            (("reaction", name, self.handle, emoji), "yes" if emoji in mine else "no") for emoji in EMOJIS
        )
        sights = (self._sight(body["message"], "item"),)
        cards = ((body["author"]["handle"], "author"),)
        self._ends_read(operation, Shown(sights, cards, values, covers))

    async def sees_replies(self, name: str) -> None:
        path = f"/v1/messages/{self._message_id(name)}/replies"
        operation, answer = await self._reads("see_replies", path, params={"limit": 100}, name=name)
        if answer is None:
            return
        if answer.status == 404:
            self._ends_read(operation, Shown(covers=f"item {name}"))
            return
        body = answer.ok()
        sights = tuple(self._sight(one["message"], "replies") for one in body["messages"])
        cards = tuple((one["author"]["handle"], "author") for one in body["messages"])
        self._ends_read(operation, Shown(sights, cards, covers=None if body["next_cursor"] else f"replies {name}"))

    async def sees_author(self, other: str) -> None:
        """What one person said, as far as it is for the reader."""
        params = {"author": self._id(other), "limit": 50}
        operation, answer = await self._reads("see_author", "/v1/messages", params=params, other=other)
        if answer is None:
            return
        body = answer.ok()
        sights = tuple(self._sight(one["message"], "author") for one in body["messages"])
        self._ends_read(operation, Shown(sights, ((other, "author"),) if sights else ()))

    async def sees_reactions(self, name: str) -> None:
        path = f"/v1/messages/{self._message_id(name)}/reactions"
        operation, answer = await self._reads("see_reactions", path, name=name)
        if answer is None:
            return
        if answer.status == 404:
            self._ends_read(operation, Shown(covers=f"item {name}"))
            return
        cards = tuple({(one["user"]["handle"], "other") for one in answer.ok()["reactions"]})
        self._ends_read(operation, Shown(cards=cards))

    async def sees_friends(self) -> None:
        operation, answer = await self._reads("see_friends", "/v1/friends", params={"limit": 100})
        if answer is None:
            return
        body = answer.ok()
        cards = tuple((one["user"]["handle"], "friend") for one in body["people"])
        self._ends_read(operation, Shown(cards=cards, covers=None if body["next_cursor"] else "friends"))

    async def sees_requests(self) -> list[str]:
        """Who waits for an answer."""
        operation, answer = await self._reads("see_requests", "/v1/friend-requests", params={"limit": 100})
        if answer is None:
            return []
        askers = [one["user"]["handle"] for one in answer.ok()["people"]]
        values = tuple((pair(self.handle, asker), f"asks {asker}") for asker in askers)
        self._ends_read(operation, Shown(cards=tuple((asker, "other") for asker in askers), values=values))
        return askers

    async def sees_how(self, other: str) -> None:
        """How one stands with another; nothing is concluded from a 404."""
        operation, answer = await self._reads("how", f"/v1/friends/{self._id(other)}", other=other)
        if answer is None:
            return
        shown = Shown()
        if answer.status == 200:
            state = answer.body["state"]
            value = {"friends": "friends", "requested": f"asks {self.handle}", "asked": f"asks {other}"}[state]
            shown = Shown(cards=((other, "other"),), values=((pair(self.handle, other), value),))
        self._ends_read(operation, shown)

    async def sees_profile(self, other: str) -> None:
        operation, answer = await self._reads("profile", f"/v1/users/{self._id(other)}", other=other)
        if answer is None:
            return
        cards = ((answer.body["handle"], "other"),) if answer.status == 200 else ()
        self._ends_read(operation, Shown(cards=cards, covers=f"profile {other}"))

    async def sees_notifications(self) -> list[dict[str, Any]]:
        """The groups of one page."""
        operation, answer = await self._reads("see_notifications", "/v1/notifications", params={"limit": 50})
        if answer is None:
            return []
        groups: list[dict[str, Any]] = answer.ok()["notifications"]
        said = {one["message"]["id"]: one["message"] for one in groups if one["message"] is not None}
        sights = tuple(self._sight(one, "notifications") for one in said.values())
        cards = tuple({(card["handle"], "other") for one in groups for card in one["people"]})
        self._ends_read(operation, Shown(sights, cards))
        return groups

    def _ends_read(self, operation: Operation, shown: Shown) -> None:
        self.met.extend(one.name for one in shown.sights[:5] if one.name != NOBODY)
        self.town.witness.ends(operation, "ok", shown=shown)

    def _sight(self, message: Mapping[str, Any], where: str) -> Sight:
        said = SAID.match(message["text"])
        name, text = (said[1], said[2]) if said else (NOBODY, "")
        author = self.town.name_of(message["author_id"])
        return Sight(name, message["id"], author, text, message["version"], where)

    # Leaving.

    async def leaves(self) -> Operation:
        """Delete the account, however often it takes; `told` is what they were told at last."""
        self.town.living.pop(self.handle, None)
        operation = self.town.witness.begins(self.handle, "leave", {("account", self.handle): {"deleted"}})
        sure = True  # so far every try is known to have been aborted
        for number in range(8):
            if number:
                operation.copies = True
                await asyncio.sleep(self.town.chance.uniform(0.2, 1.0))
            told, wait = await self._one_deletion(operation)
            if told:
                self.told = True
                break
            sure = sure and told is False
            if wait is False:
                break
        else:
            self.told = False if sure else None
        if self.told:  # who may still be there is compared with what they were: nobody else touches them
            self.town.left.append(self.handle)
        outcome: Outcome = "ok" if self.told else "refused" if self.told is False else "unknown"
        self.town.witness.ends(operation, outcome)
        return operation

    async def _one_deletion(self, operation: Operation) -> tuple[bool | None, bool]:
        """What it says of itself (None: nothing), and whether there is a reason to try again."""
        try:
            answer = await self._asks("DELETE", "/v1/users/me")
            operation.answer = f"{operation.answer} {answer.status}".strip()
            if answer.status == 202:
                return await self._fate(operation, answer.headers["location"]), True
        except LOST as error:
            operation.answer = f"{operation.answer} {type(error).__name__}".strip()
            return None, True
        if answer.status == 204:
            return True, False
        if answer.status == 401:  # an earlier try did it, and nobody said so
            return None, False
        return (False, True) if "deletion_aborted" in answer.raw.decode() else (None, True)

    async def _fate(self, operation: Operation, where: str) -> bool | None:
        """Ask at the status address, which needs no session, until it says how it ended."""
        for _ in range(60):
            await asyncio.sleep(0.5)
            try:
                answer = await self.town.client.ask("GET", where, timeout=PATIENCE)
            except LOST:
                continue
            if answer.status == 200 and answer.body["state"] != "deciding":
                operation.answer += f" {answer.body['state']}"
                return bool(answer.body["state"] == "deleted")
        return None

    # Ids.

    def _id(self, handle: str) -> str:
        return self.town.ids[handle]

    def _message_id(self, name: str) -> str:
        found = self.town.witness.checker.id_of(name)
        assert found is not None, f"nobody knows the id of {name}"
        return found

    def _audience(self, audience: str) -> dict[str, Any]:
        kind, _, names = audience.partition(" ")
        return {"audience": kind, "only": [self._id(name) for name in names.split(",")] if names else []}

"""People who use a running system as anybody would: over its public API."""

from __future__ import annotations

import asyncio
import io
import json
import secrets
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.harness.pictures import picture

PASSWORD = "correct horse battery"
SEEN = "Tidings-Seen"


@dataclass(frozen=True)
class Answer:
    """A response, read. `trace` is the one that the request named, if any."""

    status: int
    headers: Any
    raw: bytes
    trace: str

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    def ok(self) -> Any:
        """The body; fails the test on a refusal."""
        assert self.status < 300, (self.status, self.raw)
        return self.body if self.raw else None


@dataclass
class Person:
    """Somebody with a token. `seen` is the newest of what their answers brought, and goes with each request."""

    client: Client
    handle: str
    name: str
    id: str
    token: str
    seen: str | None = None

    async def get(self, path: str, **more: Any) -> Answer:
        return await self.ask("GET", path, **more)

    async def post(self, path: str, json: Any = None, **more: Any) -> Answer:
        return await self.ask("POST", path, json=json, **more)

    async def put(self, path: str, json: Any = None, **more: Any) -> Answer:
        return await self.ask("PUT", path, json=json, **more)

    async def patch(self, path: str, json: Any = None, **more: Any) -> Answer:
        return await self.ask("PATCH", path, json=json, **more)

    async def delete(self, path: str, **more: Any) -> Answer:
        return await self.ask("DELETE", path, **more)

    async def ask(self, method: str, path: str, *, headers: Any = None, **more: Any) -> Answer:
        sent = headers or {}
        known = [*self.client.told, *([self.seen] if self.seen is not None else [])]
        if known:
            sent = {SEEN: ", ".join(dict.fromkeys(known)), **sent}
        answer = await self.client.ask(method, path, token=self.token, headers=sent, **more)
        self.seen = answer.headers.get(SEEN, self.seen)
        if self.client.confiding and self.seen is not None:
            self.client.told.append(self.seen)
        return answer

    async def leaves(self) -> None:
        """Delete the account, and wait until it is gone: a busy machine may take longer than DELETE waits."""
        answer = await self.delete("/v1/users/me")
        if answer.status == 202:
            status = answer.headers["location"]
            async with asyncio.timeout(15):
                while (state := (await self.client.ask("GET", status)).ok()["state"]) == "deciding":
                    await asyncio.sleep(0.05)
            assert state == "deleted"
        else:
            assert answer.status == 204, (answer.status, answer.raw)

    async def befriends(self, *others: Person) -> None:
        """Ask, and let them accept."""
        for other in others:
            (await self.put(f"/v1/friends/{other.id}")).ok()
            assert (await other.put(f"/v1/friends/{self.id}")).ok()["state"] == "friends"

    async def posts(self, text: str, **more: Any) -> dict[str, Any]:
        body: dict[str, Any] = (await self.post("/v1/messages", {"text": text, **more})).ok()
        return body

    async def uploads(
        self, content: bytes | None = None, *, alt: str = "", name: str = "picture.png", **more: Any
    ) -> str:
        """A picture of one's own, which is ready; its id."""
        answer = await self.sends(picture() if content is None else content, alt=alt, name=name, **more)
        assert answer.status == 201, (answer.status, answer.raw)
        assert answer.body["state"] == "ready"
        found: str = answer.body["id"]
        return found

    async def sends(
        self,
        content: bytes,
        *,
        alt: str | None = None,
        name: str = "picture.png",
        type_: str = "image/png",
        **more: Any,
    ) -> Answer:
        """Upload a file, whatever it is, under whatever name: no client's care for either is in between."""
        boundary = secrets.token_hex(16).encode()
        body = bytearray()
        if alt is not None:
            body += b'--%b\r\nContent-Disposition: form-data; name="alt"\r\n\r\n%b\r\n' % (boundary, alt.encode())
        body += b'--%b\r\nContent-Disposition: form-data; name="file"; filename="' % boundary
        body += name.encode("utf-8", "surrogatepass") + b'"\r\nContent-Type: ' + type_.encode() + b"\r\n\r\n"
        body += content + b"\r\n--" + boundary + b"--\r\n"
        headers = {"content-type": f"multipart/form-data; boundary={boundary.decode()}", **more.pop("headers", {})}
        return await self.ask("POST", "/v1/media", data=io.BytesIO(body), headers=headers, **more)

    async def timeline(self, **rules: Any) -> dict[str, Any]:
        body: dict[str, Any] = (await self.get("/v1/timeline", params=rules)).ok()
        return body

    async def feed(self, **params: Any) -> dict[str, Any]:
        body: dict[str, Any] = (await self.get("/v1/feed", params=params)).ok()
        return body


class ConnectionBroke(aiohttp.ClientError):
    """Nobody knows what became of the request."""


async def once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """For a session: when a connection breaks, say so.

    NOTE: aiohttp sends a GET, PUT or DELETE again by itself then, whether the connection was new or not, and the
    first may have had its effect.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise  # it was not sent
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise ConnectionBroke(repr(error)) from error


@dataclass
class Client:
    """An HTTP client of one system. `confiding`: its people tell each other at once what they have seen."""

    session: aiohttp.ClientSession
    base: str
    made: list[Person] = field(default_factory=list)
    confiding: bool = False
    told: deque[str] = field(default_factory=lambda: deque(maxlen=6))
    asked: int = 0  # requests

    async def ask(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        json: Any = None,
        headers: Any = None,
        traced: bool | None = None,
        **more: Any,
    ) -> Answer:
        """`traced` says whether the request names a trace. By itself one that reads does not, as most clients'."""
        self.asked += 1
        names_one = method != "GET" if traced is None else traced
        trace = secrets.token_hex(16) if names_one else ""
        sent = {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"} if trace else {}
        sent.update(headers or {})
        if token is not None:
            sent.setdefault("authorization", f"Bearer {token}")
        if json is not None:
            more["json"] = json
        async with self.session.request(method, self.base + path, headers=sent, **more) as response:
            endless = response.content_type == "text/event-stream" and method != "HEAD"
            raw = await (response.content.readline() if endless else response.read())
            return Answer(response.status, response.headers, raw, trace)

    async def joins(self, name: str = "Ada") -> Person:
        """A fresh person, signed up and signed in."""
        handle = f"{name.lower()}_{secrets.token_hex(5)}"
        made = (
            await self.ask("POST", "/v1/users", json={"handle": handle, "name": name, "password": PASSWORD})
        ).ok()
        answer = await self.ask("POST", "/v1/sessions", json={"handle": handle, "password": PASSWORD})
        person = Person(self, handle, name, made["id"], answer.ok()["token"], answer.headers.get(SEEN))
        self.made.append(person)
        return person

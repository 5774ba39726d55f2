"""The people of a graph, what they write, and what they ask for: the mix of operations, as bytes for the wire."""

from __future__ import annotations

import random
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias
from urllib.parse import quote
from uuid import UUID

import msgspec

from tidings.bench.openloop import Asked
from tidings.bench.town import APART_MS, BEGAN_MS, Town
from tidings.contracts.media import Picture
from tidings.contracts.messages import ImportedMessage, Media, MessageId, NewMedia, NewMessage
from tidings.contracts.users import UserId
from tidings.demo.graph import Graph
from tidings.platform.ids import bucket_of, uuid7

Variant: TypeAlias = Literal["feed", "timeline"]
Pages: TypeAlias = Literal["dense", "sparse"]

LIMIT: Final = 10
HOME: Final[dict[Variant, str]] = {"feed": f"/v1/feed?limit={LIMIT}", "timeline": f"/v1/timeline?limit={LIMIT}"}
LISTS: Final = {"feed": "items", "timeline": "entries", "author": "messages"}  # of an answer, by operation
SHARES: Final = (0.6, 0.9)  # below the first: one's home; below the second: an author's messages; above: compose
MENTIONS: Final = 6  # most in a message, as are the next two
URLS: Final = 6
PICTURES: Final = 5


@dataclass(frozen=True)
class Crowd:
    """`friends` are by number, as the graph has them."""

    people: list[UserId]
    friends: list[list[int]]

    @classmethod
    def of(cls, graph: Graph, seed: int) -> Crowd:
        chance = random.Random(seed)  # noqa: S311 - people, not secrets
        people = [
            UserId(uuid7(BEGAN_MS + number, rand_a=chance.getrandbits(12), rand_b=chance.getrandbits(62)))
            for number in range(graph.people)
        ]
        return cls(people, graph.friends())

    def town(self) -> Town:
        """For the imports: each friendship once, and nothing said yet."""
        once = {
            self.people[number]: [self.people[other] for other in known if other > number]
            for number, known in enumerate(self.friends)
        }
        return Town(self.people, {}, once, [])


@dataclass(frozen=True)
class Author:
    """Writes messages of the original's form, one like another whether imported or posted.

    256 characters; 1 to 6 mentions (of the author's friends; the original names anybody, but here only a friend
    hears of it), 1 to 6 URLs of 64 characters, and 1 to 5 pictures. The original's were never uploaded; here they
    are the author's own, and each message shows some of the few that each person has.
    """

    crowd: Crowd
    pictures: Sequence[Sequence[Picture]]  # of each person
    chance: random.Random

    def writes(self, number: int) -> NewMessage:
        own = self.pictures[number]
        return NewMessage(
            text=self._text(),
            media=[NewMedia(media_id=one.id) for one in self.chance.sample(own, self._some(PICTURES, len(own)))],
            mentions=self._mentions(number),
        )

    def wrote(self, number: int, at_ms: int) -> ImportedMessage:
        author, own = self.crowd.people[number], self.pictures[number]
        shown = self.chance.sample(own, self._some(PICTURES, len(own)))
        return ImportedMessage(
            id=MessageId(uuid7(at_ms, rand_a=bucket_of(author), rand_b=self.chance.getrandbits(62))),
            author_id=author,
            text=self._text(),
            media=[
                Media(media_id=one.id, kind="image", width=one.width, height=one.height, blurhash=one.blurhash)
                for one in shown
            ],
            mentions=self._mentions(number),
        )

    def history(self, count: int, *, since_ms: int = BEGAN_MS + 86_400_000) -> Iterator[ImportedMessage]:
        """So many messages, everybody in turn, each a little after the one before."""
        people = len(self.crowd.people)
        return (self.wrote(turn % people, since_ms + turn * APART_MS) for turn in range(count))

    def _text(self) -> str:
        urls = (f" https://{self._characters(56)}" for _ in range(self.chance.randint(1, URLS)))
        return self._characters(256) + "".join(urls)

    def _mentions(self, number: int) -> list[UserId]:
        known = self.crowd.friends[number]
        named = self.chance.sample(known, self._some(MENTIONS, len(known)))
        return [self.crowd.people[one] for one in named]

    def _characters(self, count: int) -> str:
        return urlsafe_b64encode(self.chance.randbytes(count * 3 // 4)).decode()

    def _some(self, most: int, there: int) -> int:
        return min(self.chance.randint(1, most), there)


@dataclass(frozen=True)
class Places:
    """Where reading begins: a cursor of each person's home, and of authors whom each person reads, or None.

    Without them (`authors` is empty) it is the first page, of any friend.
    """

    home: list[str | None]
    authors: list[list[tuple[int, str | None]]]

    @classmethod
    def first(cls, people: int) -> Places:
        return cls([None] * people, [[] for _ in range(people)])


class Asking:
    """The requests of the mix, people uniform over the graph. An author is any of the reader's friends.

    The original asks for any author's messages; here a stranger's page would be empty, and cheap.
    """

    def __init__(
        self, author: Author, *, tokens: Sequence[str], host: str, variant: Variant, places: Places
    ) -> None:
        self._author = author
        self._tokens = tokens
        self._host = host
        self._variant: Variant = variant
        self._places = places

    def mixed(self, count: int) -> list[Asked]:
        return [self._one(self._author.chance.random()) for _ in range(count)]

    def composing(self, count: int) -> list[Asked]:
        return [self._one(1.0) for _ in range(count)]

    def _one(self, drawn: float) -> Asked:
        chance, crowd = self._author.chance, self._author.crowd
        number = chance.randrange(len(crowd.people))
        token = self._tokens[number]
        if drawn < SHARES[0]:
            path = HOME[self._variant] + _from(self._places.home[number])
            return Asked(self._variant, wire("GET", path, self._host, token))
        if drawn < SHARES[1]:
            walked = self._places.authors[number]
            friend, cursor = chance.choice(walked) if walked else (chance.choice(crowd.friends[number]), None)
            path = of_author(crowd.people[friend]) + _from(cursor)
            return Asked("author", wire("GET", path, self._host, token))
        body = msgspec.json.encode(self._author.writes(number)).decode()
        key = UUID(int=chance.getrandbits(128))
        more = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nIdempotency-Key: {key}\r\n"
        return Asked("compose", wire("POST", "/v1/messages", self._host, token, more) + body)


def of_author(person: UserId) -> str:
    return f"/v1/messages?author={person}&limit={LIMIT}"


def wire(method: str, path: str, host: str, token: str, more: str = "") -> str:
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n{more}\r\n"


def _from(cursor: str | None) -> str:
    return "" if cursor is None else f"&cursor={quote(cursor)}"

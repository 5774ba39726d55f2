"""The people of a graph, what they write, and what they ask for: the mix of operations, as bytes for the wire."""

from __future__ import annotations

import random
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias
from urllib.parse import quote
from uuid import UUID

import msgspec

from tidings.bench.openloop import Asked
from tidings.bench.town import APART_MS, BEGAN_MS, Town
from tidings.contracts.media import Picture
from tidings.contracts.messages import ImportedMessage, Media, MediaId, MessageId, NewMedia, NewMessage
from tidings.contracts.users import UserId
from tidings.demo.graph import Graph
from tidings.platform.ids import bucket_of, uuid7

Variant: TypeAlias = Literal["feed", "timeline"]
Pages: TypeAlias = Literal["dense", "sparse"]

LIMIT: Final = 10
HOME: Final[dict[Variant, str]] = {"feed": f"/v1/feed?limit={LIMIT}", "timeline": f"/v1/timeline?limit={LIMIT}"}
LISTS: Final = {"feed": "items", "timeline": "entries", "author": "messages"}  # of an answer, by operation
NOTHING_MISSING: Final = '"unreachable":[]'  # in an answer that is composed of what several services said
SHARES: Final = (0.6, 0.9)  # below the first: one's home; below the second: an author's messages; above: compose
MENTIONS: Final = 6  # most in a message, as are the next two
URLS: Final = 6
PICTURES: Final = 5
BLURHASH: Final = "L2BDZy_3fQ_3_3offQoffQfQfQfQ"  # of one colour


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
    """Writes messages of the original's form.

    256 characters; 1 to 6 mentions (of the author's friends; the original names anybody, but here only a friend
    hears of it), 1 to 6 URLs of 64 characters, and 1 to 5 pictures. The original's pictures were never uploaded.
    Here one posts one's own, and uploading takes a tenth of a second of a core: so a few dozen people have
    uploaded some, `pictures` by their number, and those few are who posts. What is imported before the clock starts
    names nobody, whom it would take minutes to notify; pictures there are not there, as all of the original's.
    """

    crowd: Crowd
    pictures: Mapping[int, Sequence[Picture]]
    chance: random.Random

    def writes(self, number: int) -> NewMessage:
        own = self.pictures[number]
        shown = self.chance.sample(own, self._some(PICTURES, len(own)))
        return NewMessage(
            text=self._text(),
            media=[NewMedia(media_id=one.id) for one in shown],
            mentions=self._mentions(number),
        )

    def history(self, count: int, *, bare: bool = False) -> Iterator[ImportedMessage]:
        """So many messages, everybody in turn, each a second after the one before; `bare`: without pictures."""
        for turn in range(count):
            author, at_ms = (
                self.crowd.people[turn % len(self.crowd.people)],
                BEGAN_MS + 86_400_000 + turn * APART_MS,
            )
            shown = [] if bare else [MediaId(self._id(at_ms)) for _ in range(self._some(PICTURES, PICTURES))]
            yield ImportedMessage(
                id=MessageId(self._id(at_ms, bucket_of(author))),
                author_id=author,
                text=self._text(),
                media=[Media(media_id=one, kind="image", width=16, height=16, blurhash=BLURHASH) for one in shown],
            )

    def _text(self) -> str:
        urls = (f" https://{self._characters(56)}" for _ in range(self.chance.randint(1, URLS)))
        return self._characters(256) + "".join(urls)

    def _mentions(self, number: int) -> list[UserId]:
        known = self.crowd.friends[number]
        named = self.chance.sample(known, self._some(MENTIONS, len(known)))
        return [self.crowd.people[one] for one in named]

    def _characters(self, count: int) -> str:
        return urlsafe_b64encode(self.chance.randbytes(count * 3 // 4)).decode()

    def _id(self, at_ms: int, bucket: int | None = None) -> UUID:
        high = self.chance.getrandbits(12) if bucket is None else bucket
        return uuid7(at_ms, rand_a=high, rand_b=self.chance.getrandbits(62))

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
    """The requests of the mix, readers uniform over the graph. An author is any of the reader's friends.

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

    def homes(self) -> list[Asked]:
        """Everybody's, once."""
        return [self._home(number) for number in range(len(self._author.crowd.people))]

    def composing(self, count: int) -> list[Asked]:
        """In turn, so that nobody writes two at once."""
        posting = list(self._author.pictures)
        return [self._composed(posting[turn % len(posting)]) for turn in range(count)]

    def _one(self, drawn: float) -> Asked:
        chance, crowd = self._author.chance, self._author.crowd
        if drawn >= SHARES[1]:
            return self._composed(chance.choice(list(self._author.pictures)))
        number = chance.randrange(len(crowd.people))
        if drawn < SHARES[0]:
            return self._home(number)
        walked = self._places.authors[number]
        friend, cursor = chance.choice(walked) if walked else (chance.choice(crowd.friends[number]), None)
        path = of_author(crowd.people[friend]) + _from(cursor)
        return Asked("author", wire("GET", path, self._host, self._tokens[number]))

    def _home(self, number: int) -> Asked:
        path = HOME[self._variant] + _from(self._places.home[number])
        return Asked(self._variant, wire("GET", path, self._host, self._tokens[number]))

    def _composed(self, number: int) -> Asked:
        body = msgspec.json.encode(self._author.writes(number)).decode()
        token = self._tokens[number]
        return Asked("compose", posted(body, host=self._host, token=token, chance=self._author.chance))


def of_author(person: UserId) -> str:
    return f"/v1/messages?author={person}&limit={LIMIT}"


def posted(body: str, *, host: str, token: str, chance: random.Random) -> str:
    """A message, under a key of its own."""
    key = UUID(int=chance.getrandbits(128))
    more = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nIdempotency-Key: {key}\r\n"
    return wire("POST", "/v1/messages", host, token, more) + body


def wire(method: str, path: str, host: str, token: str, more: str = "") -> str:
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n{more}\r\n"


def _from(cursor: str | None) -> str:
    return "" if cursor is None else f"&cursor={quote(cursor)}"

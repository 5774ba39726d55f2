"""The data that all sides have: people, readers with exactly so many friends, and what each person said."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tidings.contracts.messages import MessageId
from tidings.contracts.users import UserId
from tidings.platform.ids import bucket_of, uuid7

BEGAN_MS: Final = 1_700_000_000_000  # everybody has joined
AUTHORS: Final = 0  # instead of a number of friends: those who post
POSTING: Final = 64  # of them
APART_MS: Final = 1000  # between two messages
WORDS: Final = (
    "a", "again", "bread", "every", "found", "friend", "garden", "kitchen", "late", "letter", "light", "market",
    "morning", "open", "paper", "quiet", "rain", "river", "small", "song", "story", "table", "the", "train",
    "under", "walk", "window", "winter", "yellow",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Said:
    """One message, for everybody's friends."""

    id: MessageId
    author: UserId
    text: str
    at_ms: int


@dataclass(frozen=True)
class Town:
    """`readers` are by their number of friends, and are nobody else's friends."""

    people: list[UserId]
    readers: Mapping[int, list[UserId]]
    friends: Mapping[UserId, list[UserId]]  # of each reader
    said: list[Said] = field(repr=False)

    def handle(self, person: UserId) -> str:
        return f"b_{person.hex[-20:]}"

    def name(self, person: UserId) -> str:
        chance = random.Random(person.int)  # noqa: S311 - names, not secrets
        return " ".join(word.capitalize() for word in chance.sample(WORDS, 2))

    @property
    def signing_in(self) -> dict[int, list[UserId]]:
        """Readers by their number of friends, and those who post."""
        return {**self.readers, AUTHORS: self.people[:POSTING]}

    @property
    def everybody(self) -> list[UserId]:
        return [*self.people, *(one for readers in self.readers.values() for one in readers)]


def make_town(*, people: int, readers: Mapping[int, int], messages_each: int, seed: int) -> Town:
    """`readers`: how many there are with so many friends. The same arguments make the same town."""
    chance = random.Random(seed)  # noqa: S311 - a town, not secrets

    def person(number: int) -> UserId:
        return UserId(uuid7(BEGAN_MS + number, rand_a=chance.getrandbits(12), rand_b=chance.getrandbits(62)))

    residents = [person(number) for number in range(people)]
    by_degree = {degree: [person(people + number) for number in range(count)] for degree, count in readers.items()}
    friends = {reader: chance.sample(residents, degree) for degree, found in by_degree.items() for reader in found}
    return Town(residents, by_degree, friends, list(saying(residents, messages_each, chance)))


def saying(people: Sequence[UserId], messages_each: int, chance: random.Random) -> Iterator[Said]:
    """One's own together, as they are imported; they spoke in turn, each a second after the one before."""
    for number, author in enumerate(people):
        for turn in range(messages_each):
            at_ms = BEGAN_MS + 86_400_000 + (turn * len(people) + number) * APART_MS
            text = " ".join(chance.choices(WORDS, k=chance.randint(4, 24)))
            message_id = MessageId(uuid7(at_ms, rand_a=bucket_of(author), rand_b=chance.getrandbits(62)))
            yield Said(message_id, author, text, at_ms)

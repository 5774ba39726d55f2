"""The people of a demonstration: names of many cultures, handles, and a line about each."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from tidings.contracts.users import ImportedPerson, UserId
from tidings.demo.chance import Chance, made_id
from tidings.demo.graph import Graph
from tidings.demo.names import REGIONS, City
from tidings.demo.phrases import BIOS, TOPICS, Topic

DAY_MS = 86_400_000
# 2026-11-01T18:00:00Z, the demonstration's "now": fixed, so that loading it again changes nothing.
LAST_MS = 1_793_556_000_000
SPOKEN_DAYS = 30  # messages lie in the last 30 days, and everybody had joined before
JOINED_DAYS = 400

LONGEST_HANDLE = 24  # leaves room for the mark of `handle_marked`
UNFOLDED = str.maketrans(
    {"ł": "l", "ø": "o", "ß": "ss", "æ": "ae", "đ": "d", "ð": "d", "þ": "th", "ı": "i", "'": "", "-": ""}
)


@dataclass(frozen=True, slots=True)
class Person:
    """One of the demonstration's people. `given` is how friends call them; `interests` are what they speak of."""

    id: UserId
    handle: str
    name: str
    given: str
    bio: str
    created_ms: int
    home: City
    interests: tuple[Topic, ...]

    def imported(self) -> ImportedPerson:
        return ImportedPerson(
            id=self.id, handle=self.handle, name=self.name, bio=self.bio, created_ms=self.created_ms
        )


def people_of(graph: Graph, seed: int) -> list[Person]:
    """The people of the graph, in its order: always the same for the same graph and seed."""
    taken: dict[str, int] = {}
    return [_person(graph, seed, number, taken) for number in range(graph.people)]


def handle_marked(handle: str, graph: Graph, seed: int) -> str:
    """The handle with a mark of this graph and seed, for a server where somebody has the plain one."""
    mark = f"{Chance('mark', graph.digest, seed).below(16**4):04x}"
    return f"{handle}_{mark}"


def _person(graph: Graph, seed: int, number: int, taken: dict[str, int]) -> Person:
    chance = Chance("person", graph.digest, seed, number)
    region = chance.one_of(REGIONS)
    given, given_latin = chance.one_of(region.given)
    family, family_latin = chance.one_of(region.family)
    family = family.replace("-", " ")
    home = chance.one_of(region.cities)
    interests = tuple(chance.some_of(TOPICS, 3 + chance.below(4)))
    handle = _free(_handle(chance, given_latin, family_latin), taken)
    created_ms = LAST_MS - SPOKEN_DAYS * DAY_MS - 1 - chance.below(JOINED_DAYS * DAY_MS)
    return Person(
        id=UserId(made_id(created_ms, "user", graph.digest, seed, number)),
        handle=handle,
        name=region.between.join((family, given) if region.family_first else (given, family)),
        given=given,
        bio=_bio(chance, home, interests),
        created_ms=created_ms,
        home=home,
        interests=interests,
    )


def _handle(chance: Chance, given: str, family: str) -> str:
    first, last = folded(given), folded(family)
    shapes = (f"{first}_{last}", f"{first}{last}", f"{first}_{last[0]}", f"{first[0]}{last}", f"{last}_{first}")
    return chance.one_of(shapes)[:LONGEST_HANDLE]


def _free(handle: str, taken: dict[str, int]) -> str:
    """The handle, with a number if somebody has it; `taken` maps each to the last number that followed it."""
    free = handle
    while free in taken:
        taken[handle] += 1
        number = str(taken[handle])
        free = handle[: LONGEST_HANDLE - len(number)] + number
    taken[free] = 1
    return free


def folded(name: str) -> str:
    """The name in the letters of a handle: `Þóra` is `thora`."""
    plain = unicodedata.normalize("NFKD", name.lower().translate(UNFOLDED))
    return re.sub("[^a-z0-9]", "", plain)


def _bio(chance: Chance, home: City, interests: tuple[Topic, ...]) -> str:
    if chance.happens(0.15):
        return ""
    first, second = (topic.name for topic in interests[:2])
    return chance.one_of(BIOS).format(city=home.name, first=first, second=second, First=first.capitalize())

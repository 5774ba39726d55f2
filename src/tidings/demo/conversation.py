"""What the people of a demonstration say to each other, over thirty days."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tidings.contracts.messages import ImportedMessage, MessageId, Place
from tidings.contracts.users import UserId
from tidings.demo.chance import Chance, digest_of, made_id
from tidings.demo.graph import Graph
from tidings.demo.names import REGIONS, City
from tidings.demo.people import DAY_MS, LAST_MS, SPOKEN_DAYS, Person
from tidings.demo.phrases import TOPICS, Topic
from tidings.platform.ids import bucket_of

MOST_MESSAGES = 30
SILENT = 0.04
CITIES = tuple(city for region in REGIONS for city in region.cities)


def message_count(graph: Graph, seed: int, number: int) -> int:
    """How many messages a person has: 0 to 30, ten on average, a few people silent."""
    draw = digest_of("count", graph.digest, seed, number) / (1 << 128)
    if draw < SILENT:
        return 0
    return 1 + int(MOST_MESSAGES * ((draw - SILENT) / (1 - SILENT)) ** 2.1)


def messages_of(
    graph: Graph, seed: int, people: Sequence[Person], friends: Sequence[Sequence[int]], number: int
) -> Iterator[ImportedMessage]:
    """All messages of one person, oldest first; always the same for the same graph and seed.

    `friends` is `graph.friends()`, made once by the caller.
    """
    author = people[number]
    chance = Chance("messages", graph.digest, seed, number)
    bucket = bucket_of(author.id)
    topic = chance.one_of(author.interests)
    for ms in _times(chance, author, message_count(graph, seed, number)):
        topic = chance.one_of([other for other in _topics(chance, author) if other is not topic])
        message_id = MessageId(made_id(ms, "message", graph.digest, seed, number, ms, rand_a=bucket))
        named = [people[friend] for friend in _two(chance, friends[number])]
        yield _message(chance, author, topic, named, message_id=message_id, ms=ms)


def _two(chance: Chance, friends: Sequence[int]) -> list[int]:
    """One or two different friends, without a copy of a long list."""
    return sorted({chance.one_of(friends), chance.one_of(friends)})


def _topics(chance: Chance, author: Person) -> Sequence[Topic]:
    return author.interests if chance.happens(0.8) else TOPICS


def _times(chance: Chance, author: Person, count: int) -> list[int]:
    """Milliseconds, no two alike: more of them lately, and when people are awake where the author lives."""
    times: set[int] = set()
    ahead = round(author.home.longitude / 15) * 3_600_000
    while len(times) < count:
        age = int(chance.draw() ** 2 * SPOKEN_DAYS * DAY_MS)
        ms = LAST_MS - age
        hour = (ms + ahead) // 3_600_000 % 24
        if 1 <= hour < 7 and not chance.happens(0.05):
            continue
        times.add(ms)
    return sorted(times)


def _message(
    chance: Chance, author: Person, topic: Topic, friends: list[Person], *, message_id: MessageId, ms: int
) -> ImportedMessage:
    mentions: list[UserId] = []
    place: Place | None = None
    slots = {"thing": chance.one_of(topic.things), "when": _when(author, ms), "n": str(3 + chance.below(10))}
    if chance.happens(0.2):
        mentions = [friends[0].id]
        slots["friend"] = friends[0].given
        line = chance.one_of(topic.together)
    elif chance.happens(0.2):
        city = author.home if chance.happens(0.6) else chance.one_of(CITIES)
        place = _near(chance, city)
        slots["place"] = city.name
        line = chance.one_of(topic.outings)
    else:
        line = chance.one_of(topic.lines)
    text = _begun(line.format_map(slots))
    if chance.happens(0.35):
        text += " " + chance.one_of(topic.endings)
    if not mentions and chance.happens(0.05):
        mentions = [friend.id for friend in friends]
        text += f" ({' and '.join(friend.given for friend in friends)}, this one is for you.)"
    tags = [chance.one_of(topic.tags)] if chance.happens(0.3) else []
    if tags:
        text += f" #{tags[0]}"
    return ImportedMessage(
        id=message_id,
        author_id=author.id,
        text=text,
        place=place,
        mentions=mentions,
        tags=tags,
        audience="public" if chance.happens(0.12) else "friends",
    )


def _when(author: Person, ms: int) -> str:
    hour = (ms // 3_600_000 + round(author.home.longitude / 15)) % 24
    if 5 <= hour < 12:
        return "this morning"
    return "this afternoon" if 12 <= hour < 18 else "tonight"


def _near(chance: Chance, city: City) -> Place:
    return Place(
        latitude=round(city.latitude + (chance.draw() - 0.5) / 20, 2),
        longitude=round(city.longitude + (chance.draw() - 0.5) / 20, 2),
        name=city.name,
    )


def _begun(text: str) -> str:
    return text[0].upper() + text[1:]

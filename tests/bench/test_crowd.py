"""What the mix asks for: its shares, its messages, and who may be asked for what."""

import random
from collections import Counter
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import msgspec
import pytest
from PIL import Image

from tests.harness.pictures import opened
from tidings.bench.crowd import Asking, Author, Crowd, Places
from tidings.bench.graph import make_graph
from tidings.bench.inhabited import png
from tidings.bench.openloop import Asked
from tidings.contracts.media import Picture
from tidings.contracts.messages import MediaId, NewMessage
from tidings.platform.clock import rfc3339
from tidings.platform.ids import bucket_in, bucket_of, uuid7

CROWD = Crowd.of(make_graph(people=100, mean=6, seed=2), seed=2)
TOKENS = [f"token{number}" for number in range(100)]


def picture() -> Picture:
    return Picture(id=MediaId(uuid7(0)), state="ready", alt="", created_at=rfc3339(0), width=16, height=16)


PICTURES = {number: [picture() for _ in range(5)] for number in (3, 50)}


def author(seed: int = 1) -> Author:
    return Author(CROWD, PICTURES, random.Random(seed))


def asking(places: Places | None = None, seed: int = 1) -> Asking:
    places = places or Places.first(100)
    return Asking(author(seed), tokens=TOKENS, host="127.0.0.1:8", variant="feed", places=places)


def parts(asked: Asked) -> tuple[str, str, dict[str, str], str]:
    head, _, body = asked.wire.partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    method, path, version = first.split(" ")
    assert version == "HTTP/1.1"
    return method, path, {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}, body


def reader(headers: dict[str, str]) -> int:
    return TOKENS.index(headers["authorization"].removeprefix("Bearer "))


def test_the_shares_are_those_of_the_original() -> None:
    counted = Counter(one.operation for one in asking().mixed(10_000))
    assert counted["feed"] == pytest.approx(6000, abs=200)
    assert counted["author"] == pytest.approx(3000, abs=200)
    assert counted["compose"] == pytest.approx(1000, abs=120)


def test_readers_are_uniform_and_read_their_friends() -> None:
    readers: Counter[int] = Counter()
    for method, path, headers, body in map(parts, asking().mixed(10_000)):
        if method == "POST":
            continue
        assert not body
        number = reader(headers)
        readers[number] += 1
        if path.startswith("/v1/messages"):
            (person,) = parse_qs(urlsplit(path).query)["author"]
            assert CROWD.people.index(UUID(person)) in CROWD.friends[number]
    assert len(readers) == 100
    assert max(readers.values()) < 3 * min(readers.values())


def test_a_message_has_what_the_original_has() -> None:
    keys = set()
    seen: dict[str, set[int]] = {"urls": set(), "mentions": set(), "media": set()}
    for one in asking().composing(1000):
        method, path, headers, body = parts(one)
        assert (method, path) == ("POST", "/v1/messages")
        assert int(headers["content-length"]) == len(body.encode())
        keys.add(headers["idempotency-key"])
        message = msgspec.json.decode(body, type=NewMessage)
        text, *urls = message.text.split(" ")
        assert len(text) == 256
        assert {len(url) for url in urls} == {64}
        number = reader(headers)
        assert {one.media_id for one in message.media} <= {one.id for one in PICTURES[number]}
        assert len({one.media_id for one in message.media}) == len(message.media)
        assert {CROWD.people.index(one) for one in message.mentions} <= set(CROWD.friends[number])
        seen["urls"].add(len(urls))
        seen["mentions"].add(len(message.mentions))
        seen["media"].add(len(message.media))
    assert len(keys) == 1000
    assert seen["urls"] == {1, 2, 3, 4, 5, 6}
    assert seen["media"] == {1, 2, 3, 4, 5}
    assert min(seen["mentions"]) == 1
    assert max(seen["mentions"]) <= 6


def test_deep_pages_begin_where_cursors_lead() -> None:
    friend = [known[0] for known in CROWD.friends]
    places = Places(["a/b"] * 100, [[(one, "c+d")] for one in friend])
    for one in asking(places).mixed(500):
        method, path, headers, _ = parts(one)
        if method == "GET":
            query = parse_qs(urlsplit(path).query)
            assert query["cursor"] == (["a/b"] if one.operation == "feed" else ["c+d"])
            if one.operation == "author":
                assert query["author"] == [str(CROWD.people[friend[reader(headers)]])]


def test_the_same_seed_asks_the_same() -> None:
    assert asking(seed=4).mixed(50) == asking(seed=4).mixed(50) != asking(seed=5).mixed(50)


def test_history_is_everybodys_in_turn_and_can_be_imported() -> None:
    history = list(author().history(250))
    assert Counter(one.author_id for one in history) == {
        person: 3 if number < 50 else 2 for number, person in enumerate(CROWD.people)
    }
    assert all(bucket_in(one.id) == bucket_of(one.author_id) for one in history)
    assert [one.id.int >> 80 for one in history] == sorted({one.id.int >> 80 for one in history})
    assert {len(one.media) for one in history} == {1, 2, 3, 4, 5}
    assert not any(one.media for one in author().history(50, bare=True))


def test_each_friendship_is_imported_once() -> None:
    town = CROWD.town()
    pairs = [frozenset((one, friend)) for one, found in town.friends.items() for friend in found]
    assert len(set(pairs)) == len(pairs) == sum(map(len, CROWD.friends)) / 2


def test_a_picture_is_one() -> None:
    image: Image.Image = opened(png(b"\x10\x20\x30"))
    assert image.size == (16, 16)
    assert image.getpixel((5, 5)) == (16, 32, 48)

"""Responses that are given again: only where every entry that they rest on would be used again, too."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

import tidings
from tidings.edge.limits import Allowance
from tidings.edge.response_cache import MAKING, MOST_OF_ONE, ResponseCache
from tidings.edge.understood import TRACE, UNREAD
from tidings.platform import metrics, tracing
from tidings.platform.cache.resting import Part, Resting, gathering, resting_on
from tidings.platform.cache.room import Room
from tidings.platform.cache.shelf import TOUCHED, Entry, Held, Reading, Shelf
from tidings.platform.http.listener import KEY
from tidings.platform.http.problems import BadRequest
from tidings.platform.request import Viewer
from tidings.platform.seen import Known, Position, Seen

PRODUCER = "users"
NOBODY = Seen()
ADA, BOB = UUID(int=1), UUID(int=2)
AUTHORIZED = ((b"host", b"there"), (b"authorization", b"Bearer ada"))


class Tokens:
    """Plays the seal: a token is the name of what the client knows, and tells what it was shown."""

    def __init__(self) -> None:
        self.known: dict[str, Known] = {}

    def opened(self, header: str | None) -> Seen:
        if header not in self.known:
            raise BadRequest("not ours")
        return Seen(self.known[header])

    def sealed(self, client: Seen) -> str:
        return repr((client._brought.positions, client.shown_here.stamps, *client.shown_here.news))


@dataclass
class Limited:
    """As much of the limits as matters: so many requests are left."""

    left: int = 10

    def spend(self, viewer: UUID | None, address: str) -> Allowance:
        assert viewer == ADA
        self.left -= 1
        return Allowance("person", 10, self.left, 60)

    def give_back(self, viewer: UUID) -> None:
        self.left += 1


@dataclass
class Bench:
    """A shelf, and above it an application whose responses are kept, under one clock."""

    room: int = 100_000
    viewer: UUID = ADA
    now: float = 1000.0
    limits: Any = None
    taken: Room = field(default_factory=lambda: Room(100_000))  # by the shelf
    shelf: Shelf = field(init=False)
    cache: ResponseCache = field(init=False)
    scope: Scope = field(default_factory=dict)  # of the last request that was made
    resting: Resting = field(init=False)
    tokens: Any = field(default_factory=Tokens)
    news: tuple[Position, ...] = ()  # that who makes it is shown
    response: Response = field(default_factory=lambda: Response(b"made", headers={"etag": '"1"'}))

    def __post_init__(self) -> None:
        self.shelf = Shelf(PRODUCER, self.taken, clock=lambda: self.now, wall_ns=lambda: self.wall_ns)
        self.cache = ResponseCache(self._app, self.limits, self.tokens, self.room, clock=lambda: self.now)
        self.shelf.listening()
        self.shelf.registered(self.now + 1000)
        self.shelf.beat(self.wall_ns)

    @property
    def wall_ns(self) -> int:
        return int(self.now * 1e9)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        making = scope.get(MAKING)
        if making is not None:
            making.route, making.client, making.resting = "/v1/page", Seen(), self.resting
            making.client.shown(PRODUCER, 7)
            making.client.shown_news(self.news)
            making.viewer = Viewer(self.viewer, "member")
        await self.response(scope, receive, send)

    def fill(self, subject: UUID, version: int, until_ms: int | None = None) -> bool:
        reading = Reading(self.now, self.wall_ns, self.wall_ns + 1)
        self.now += 0.001
        return self.shelf.fill(subject, Entry(subject, version, f"v{version}", reading, 100, until_ms))

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.shelf.beat(self.wall_ns)

    def part(self, *subjects: UUID) -> Part:
        _, found, missing = self.shelf.find(subjects, NOBODY)
        assert not missing
        return Part("page", "users/names", self.shelf, Held(found))

    def makes(
        self,
        url: bytes,
        *subjects: UUID,
        body: bytes = b"made",
        headers: tuple[tuple[bytes, bytes], ...] = AUTHORIZED,
    ) -> None:
        """Make the response to a request; it rests on what is known of these."""
        with gathering() as self.resting:
            gathered = resting_on()
            assert gathered is self.resting
            gathered.on(self.part(*subjects))
        self.response = Response(body, headers={"etag": '"1"', "ratelimit": "old", "tidings-seen": "old"})
        self.asks(url, headers)

    def asks(self, url: bytes, headers: tuple[tuple[bytes, bytes], ...] = AUTHORIZED) -> list[Message]:
        """What the application answers."""
        return asyncio.run(self.asked(url, headers))

    async def asked(self, url: bytes, headers: tuple[tuple[bytes, bytes], ...] = AUTHORIZED) -> list[Message]:
        scope = {
            "type": "http",
            "method": "GET",
            "path": url.decode(),
            "headers": list(headers),
            KEY: self.cache.key_of(url, headers),
        }
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            raise AssertionError("nobody reads a body")

        await self.cache(scope, receive, send)
        return sent

    def gives(
        self, url: bytes, headers: tuple[tuple[bytes, bytes], ...] = AUTHORIZED, known: str | None = None
    ) -> bytes | None:
        if known is not None:
            headers = (*headers, (b"tidings-seen", known.encode()))
        found = self.cache.given(self.cache.key_of(url, headers), headers)
        return None if found is None else found[1]


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.fill(ADA, 3)
    made.fill(BOB, 1)
    made.passes(0)
    return made


def test_a_response_is_given_again_with_its_head(bench: Bench) -> None:
    bench.makes(b"/page", ADA, BOB)
    found = bench.cache.given(bench.cache.key_of(b"/page", AUTHORIZED), AUTHORIZED)
    seen = b"tidings-seen: ((), {'users': 7})\r\n"
    assert found == (b'HTTP/1.1 200 OK\r\netag: "1"\r\ncontent-length: 4\r\n' + seen, b"made")
    assert bench.gives(b"/another") is None


@pytest.mark.parametrize(
    "other",
    [
        ((b"host", b"there"), (b"authorization", b"Bearer bob")),
        ((b"host", b"there"),),
        (*AUTHORIZED, (b"if-none-match", b'"1"')),
        ((b"host", b"there"), (b"authorization", b""), (b"Bearer ada", b"")),
        (AUTHORIZED[1], AUTHORIZED[0]),
    ],
)
def test_who_differs_in_a_header_is_somebody_else(bench: Bench, other: tuple[tuple[bytes, bytes], ...]) -> None:
    bench.makes(b"/page", ADA)
    assert (bench.gives(b"/page"), bench.gives(b"/page", other), bench.gives(b"/page?", AUTHORIZED)) == (
        b"made", None, None,
    )  # fmt: skip


@pytest.mark.parametrize("name", [b"cookie", b"content-length", b"transfer-encoding", b"expect"])
def test_what_a_browser_or_a_body_asks_for_is_made_each_time(bench: Bench, name: bytes) -> None:
    headers = (*AUTHORIZED, (name, b"1"))
    bench.makes(b"/page", ADA, headers=headers)
    assert bench.gives(b"/page", headers) is None


@pytest.mark.parametrize("name", [TRACE, *sorted(UNREAD)])
def test_what_is_told_of_its_way_here_makes_nobody_another(bench: Bench, name: bytes) -> None:
    bench.makes(b"/page", ADA, headers=(*AUTHORIZED, (name, b"1")))
    assert bench.gives(b"/page", (*AUTHORIZED, (name, b"2"))) == b"made"
    assert bench.gives(b"/page") == b"made"


def test_nothing_reads_what_makes_nobody_another() -> None:
    sources = [one for one in Path(tidings.__file__).parent.rglob("*.py") if one.name != "understood.py"]
    assert len(sources) > 100
    reading = re.compile("|".join(rf"[\"']{re.escape(name.decode())}[\"']" for name in UNREAD), re.IGNORECASE)
    assert [one.name for one in sources if reading.search(one.read_text("utf-8"))] == []


def test_what_is_given_again_is_a_step_of_the_clients_trace(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    parents: list[tracing.TraceContext | None] = []

    class Noted(tracing.span):
        def __init__(self, name: str, *, parent: tracing.TraceContext | None = None, **more: Any) -> None:
            parents.append(parent)
            super().__init__(name, parent=parent, **more)

    monkeypatch.setattr(tracing, "span", Noted)
    monkeypatch.setattr(tracing, "exporting", lambda: True)
    bench.makes(b"/page", ADA)
    traced = f"00-{'a' * 32}-{'b' * 16}-01"
    assert bench.gives(b"/page", (*AUTHORIZED, (TRACE, traced.encode()))) == b"made"
    assert bench.gives(b"/page", (*AUTHORIZED, (TRACE, b"nonsense"))) == b"made"
    assert parents == [tracing.parse(traced), None]


@pytest.mark.parametrize("subject", [ADA, BOB])
def test_it_goes_with_any_entry_that_it_rests_on(bench: Bench, subject: UUID) -> None:
    bench.makes(b"/both", ADA, BOB)
    bench.makes(b"/other", BOB if subject == ADA else ADA)
    bench.shelf.heard(subject, 4)
    assert (bench.gives(b"/both"), bench.gives(b"/other")) == (None, b"made")
    assert bench.gives(b"/both") is None  # and does not come back
    bench.fill(subject, 4)
    bench.passes(0)
    assert bench.gives(b"/both") is None


def test_an_entry_that_was_read_again_at_the_same_version_is_the_same(bench: Bench) -> None:
    bench.makes(b"/page", ADA)
    bench.fill(ADA, 3)
    assert bench.gives(b"/page") == b"made"
    bench.fill(ADA, 3, until_ms=int(bench.now * 1000) + 60_000)  # but for this
    assert bench.gives(b"/page") is None


async def test_who_asks_while_the_same_is_being_made_is_given_it_then(bench: Bench) -> None:
    made: list[int] = []
    going = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        made.append(1)
        await going.wait()
        await bench._app(scope, receive, send)

    bench.resting = Resting()
    bench.resting.on(bench.part(ADA))
    await bench.asked(b"/page")  # from now on it is known that such responses can be kept
    bench.shelf.heard(ADA, 4)
    bench.fill(ADA, 4)
    bench.passes(0)
    bench.resting = Resting()
    bench.resting.on(bench.part(ADA))
    bench.response = Response(b"made", headers={"etag": '"1"', "tidings-seen": "((), {'users': 7})"})
    bench.cache._app = app
    asking = [
        asyncio.create_task(bench.asked(url)) for url in (b"/page", b"/page", b"/page", b"/stream", b"/stream")
    ]
    await asyncio.sleep(0.01)
    assert len(made) == 3  # what was never kept is waited for by nobody
    going.set()
    answers = await asyncio.gather(*asking)
    assert len(made) == 3
    assert [sorted(one[0]["headers"]) for one in answers[:3]] == [sorted(answers[0][0]["headers"])] * 3
    assert [one[1]["body"] for one in answers] == [b"made"] * 5


async def test_a_client_that_does_not_read_holds_up_nobody(bench: Bench) -> None:
    bench.resting = Resting()
    bench.resting.on(bench.part(ADA))
    await bench.asked(b"/page")
    bench.shelf.heard(ADA, 4)
    bench.fill(ADA, 4)
    bench.passes(0)
    bench.resting = Resting()
    bench.resting.on(bench.part(ADA))
    stuck = asyncio.Event()
    scope = {"type": "http", "method": "GET", "path": "/page", "headers": list(AUTHORIZED)}
    scope[KEY] = bench.cache.key_of(b"/page", AUTHORIZED)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await stuck.wait()

    async def receive() -> Message:
        raise AssertionError("nobody reads a body")

    slow = asyncio.create_task(bench.cache(scope, receive, send))
    await asyncio.sleep(0.01)
    assert bench.gives(b"/page") == b"made"
    async with asyncio.timeout(1):
        assert (await bench.asked(b"/page"))[1]["body"] == b"made"
    stuck.set()
    await slow


async def test_who_waited_for_what_was_not_kept_makes_it(bench: Bench) -> None:
    bench.resting = Resting()
    bench.resting.on(bench.part(ADA))
    await bench.asked(b"/page")
    bench.shelf.heard(ADA, 4)
    bench.resting.on_more()
    answers = await asyncio.gather(bench.asked(b"/page"), bench.asked(b"/page"))
    assert [one[1]["body"] for one in answers] == [b"made"] * 2
    assert bench.gives(b"/page") is None


def test_without_beats_or_a_lease_it_is_not_given(bench: Bench) -> None:
    bench.makes(b"/page", ADA)
    bench.now += 0.79
    assert bench.gives(b"/page") == b"made"
    bench.now += 0.02
    assert bench.gives(b"/page") is None
    bench.passes(0)
    bench.makes(b"/page", ADA)
    bench.shelf.deaf()
    assert bench.gives(b"/page") is None


def test_it_is_void_with_the_first_of_its_entries_that_is(bench: Bench) -> None:
    carol = uuid4()
    bench.fill(carol, 1, until_ms=int(bench.now * 1000) + 300)
    bench.makes(b"/page", ADA, carol)
    bench.passes(0.2)
    assert bench.gives(b"/page") == b"made"
    bench.passes(0.2)
    assert bench.gives(b"/page") is None


def test_nobody_is_given_what_is_older_than_they_know(bench: Bench) -> None:
    elsewhere = Position("messages", ADA, 9, bench.wall_ns)
    bench.tokens.known = {
        "wrote": Known((Position(PRODUCER, ADA, 4, bench.wall_ns),), {}),
        "wrote before": Known((Position(PRODUCER, ADA, 3, bench.wall_ns),), {}),
        "wrote elsewhere": Known((elsewhere, Position(PRODUCER, uuid4(), 9, 1)), {}),
        "saw": Known((), {PRODUCER: bench.wall_ns + 1}),
    }
    bench.makes(b"/page", ADA, BOB)
    told = {known: bench.gives(b"/page", known=known) for known in bench.tokens.known}
    assert told == {"wrote": None, "wrote before": b"made", "wrote elsewhere": b"made", "saw": None}
    assert bench.gives(b"/page") == b"made"  # it stands for others
    assert bench.gives(b"/page", known="forged") is None  # its maker says so
    bench.passes(0.01)
    assert bench.gives(b"/page", known="saw") == b"made"  # a beat has told since
    bench.shelf.heard(ADA, 4)
    assert [bench.gives(b"/page", known=known) for known in (None, "wrote before")] == [None, None]


def test_a_client_takes_along_what_it_brought_and_what_it_is_shown(bench: Bench) -> None:
    wrote = Position(PRODUCER, ADA, 3, bench.wall_ns)
    bench.tokens.known = {"wrote": Known((wrote,), {"messages": 5})}
    bench.news = (Position(PRODUCER, BOB, 2, bench.wall_ns),)
    bench.makes(b"/page", ADA)
    headers = (*AUTHORIZED, (b"tidings-seen", b"wrote"))
    found = bench.cache.given(bench.cache.key_of(b"/page", headers), headers)
    assert found is not None
    assert found[0].endswith(b"tidings-seen: " + repr(((wrote,), {PRODUCER: 7}, *bench.news)).encode() + b"\r\n")
    assert b"old" not in found[0]


def test_nobody_has_the_room_of_all_by_asking_in_many_ways(bench: Bench) -> None:
    bench.viewer = BOB
    bench.makes(b"/bob", ADA, headers=((b"authorization", b"Bearer bob"),))
    bench.viewer = ADA
    for number in range(40):
        bench.makes(b"/page?%d" % number, ADA)
    kept = [number for number in range(40) if bench.gives(b"/page?%d" % number)]
    assert kept == list(range(40 - MOST_OF_ONE, 40))
    assert bench.gives(b"/bob", ((b"authorization", b"Bearer bob"),)) == b"made"


def test_what_rests_on_more_than_shelves_hold_or_on_nothing_is_not_kept(bench: Bench) -> None:
    bench.resting = Resting()
    bench.asks(b"/nothing")
    bench.resting = Resting()
    bench.resting.on(bench.part(ADA))
    bench.resting.on_more()
    bench.asks(b"/more")
    assert (bench.gives(b"/nothing"), bench.gives(b"/more")) == (None, None)
    assert resting_on() is None


def test_what_went_while_the_response_was_made_is_looked_for(bench: Bench) -> None:
    bench.resting = Resting()
    bench.resting.on(bench.part(ADA))
    bench.shelf.heard(ADA, 4)  # the answer is being encoded
    bench.asks(b"/page")
    assert bench.gives(b"/page") is None


def test_without_room_none_is_kept_and_nobody_waits_for_one() -> None:
    bench = Bench(room=0)
    bench.fill(ADA, 1)
    bench.passes(0)
    bench.makes(b"/page", ADA)
    assert bench.gives(b"/page") is None
    assert (bench.cache.size, bench.cache._paths) == (0, set())
    assert bench.scope["path"] == "/page"
    assert MAKING not in bench.scope  # which a connection holds for as long as it is idle


def test_its_room_is_bounded_and_the_least_used_goes_first() -> None:
    bench = Bench(room=13_000)
    bench.fill(ADA, 1)
    bench.passes(0)
    for name in (b"/one", b"/two", b"/three"):
        bench.makes(name, ADA, body=b"1" * 1000)
    assert bench.gives(b"/one") is not None
    bench.makes(b"/four", ADA, body=b"1" * 1000)
    kept = [name for name in (b"/one", b"/two", b"/three", b"/four") if bench.gives(name)]
    assert kept == [b"/one", b"/three", b"/four"]
    assert 0 < bench.cache.size <= 13_000
    bench.makes(b"/large", ADA, body=b"1" * 20_000)
    assert bench.gives(b"/large") is None
    assert bench.cache.size <= 13_000
    bench.shelf.heard(ADA, 2)
    assert [bench.gives(name) for name in kept] == [None] * 3
    assert bench.cache.size == 0


def test_what_is_rested_on_counts_as_used() -> None:
    bench = Bench(taken=Room(1500))
    for number in range(10):  # more than half of it; before, nobody looks who is used
        bench.fill(UUID(int=number), 1)
    bench.passes(0)
    bench.makes(b"/page", UUID(int=0))
    bench.passes(1.1 * TOUCHED)
    bench.shelf.find([UUID(int=number) for number in range(1, 10)], NOBODY)
    assert bench.gives(b"/page") == b"made"
    bench.taken.size = 500
    bench.fill(UUID(int=99), 1)
    assert bench.gives(b"/page") == b"made"
    assert len(bench.shelf) == 5


def test_each_that_is_given_counts_against_the_limit_and_in_the_metrics() -> None:
    bench = Bench(limits=Limited(left=2))
    bench.fill(ADA, 1)
    bench.passes(0)
    bench.makes(b"/page", ADA)
    before = counted()
    heads = [bench.cache.given(bench.cache.key_of(b"/page", AUTHORIZED), AUTHORIZED) for _ in range(3)]
    assert [found and found[0].rpartition(b"ratelimit: ")[2] for found in heads] == [
        b'"person";r=1;t=60\r\n', b'"person";r=0;t=60\r\n', None,
    ]  # fmt: skip
    assert b"old" not in (heads[0] or (b"",))[0]
    assert bench.limits.left == 0  # what is refused is counted where it is made
    assert [after - first for after, first in zip(counted(), before, strict=True)] == [2, 2, 2]


def counted() -> list[float]:
    """Requests, their timings, and entries that the cache had."""
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }
    return [
        found.get(("tidings_requests_total", "/v1/page", "2xx", "GET"), 0),
        found.get(("tidings_request_seconds_count", "/v1/page", "2xx", "GET"), 0),
        found.get(("tidings_cache_reads_total", "hit", "page", "users/names"), 0),
    ]


SUBJECTS = [UUID(int=number) for number in range(4)]
DEEDS = st.lists(
    st.one_of(
        st.tuples(st.just("fill"), st.sampled_from(SUBJECTS), st.integers(1, 5)),
        st.tuples(st.just("heard"), st.sampled_from(SUBJECTS), st.integers(1, 5)),
        st.tuples(st.just("passes"), st.sampled_from([0.0, 0.3, 0.9]), st.booleans()),
        st.tuples(st.just("ends"), st.sampled_from(["deaf", "listening", "lease"]), st.none()),
        st.tuples(st.just("takes"), st.sets(st.sampled_from(SUBJECTS), min_size=1), st.none()),
        st.tuples(st.just("knows"), st.sampled_from(SUBJECTS), st.integers(1, 5)),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(DEEDS)
def test_whatever_happens_it_stands_only_while_the_shelf_gives_the_same(deeds: list[tuple[str, Any, Any]]) -> None:
    bench, known = Bench(), Seen()
    taken: list[tuple[set[UUID], Held]] = []
    began: list[tuple[str, Any, Any]] = [("fill", subject, 1) for subject in SUBJECTS]
    began += [("takes", {subject}, None) for subject in SUBJECTS] + [("takes", set(SUBJECTS), None)]
    for deed, one, other in began + deeds:
        if deed == "fill":
            bench.fill(one, other)
        elif deed == "heard":
            bench.shelf.heard(one, other)
        elif deed == "passes":
            bench.now += one
            if other:
                bench.shelf.beat(bench.wall_ns)
        elif deed == "ends" and one == "lease":
            bench.shelf.registered(bench.now + 2)
        elif deed == "ends":
            getattr(bench.shelf, one)()
        elif deed == "knows":
            known = Seen(Known((Position(PRODUCER, one, other, bench.wall_ns),), {PRODUCER: bench.wall_ns}))
        else:
            _, found, missing = bench.shelf.find(one, NOBODY)
            if not missing:
                by_key = {entry.key: entry for entry in found}
                taken += [(one, Held(found)), (one, Held(found, by_key=by_key, generation=bench.shelf.generation))]
        for wanted, held in taken:
            for client in (NOBODY, known):
                if bench.shelf.still(held, client):
                    _, now, missing = bench.shelf.find(wanted, client)
                    assert not missing
                    assert {id(entry) for entry in now} == {id(entry) for entry in held.entries}
        for (_, plainly), (_, by_keys) in zip(taken[::2], taken[1::2], strict=True):
            for client in (NOBODY, known):
                assert bench.shelf.still(plainly, client) == bench.shelf.still(by_keys, client)


def test_what_cannot_be_given_now_may_stand_again_once_more_has_been_heard() -> None:
    bench = Bench()
    bench.fill(ADA, 1)
    bench.passes(0)
    bench.makes(b"/page", ADA)
    bench.now += 1  # and nothing is heard
    assert bench.gives(b"/page") is None
    bench.response = Response(b"made anew")
    bench.passes(0)
    assert b"".join(one.get("body", b"") for one in bench.asks(b"/page")) == b"made"  # a turn later
    assert bench.gives(b"/page") == b"made"
    bench.shelf.heard(ADA, 2)
    assert bench.gives(b"/page") is None
    assert bench.cache.size == 0
    assert b"".join(one.get("body", b"") for one in bench.asks(b"/page")) == b"made anew"

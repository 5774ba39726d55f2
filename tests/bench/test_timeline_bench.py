"""The timeline's bench: equal work on all sides, and figures that are what they are called."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from typer.testing import CliRunner

from tidings.bench import room, sides, timeline, turns
from tidings.bench.checker import Judged, checking, is_less
from tidings.bench.monolith import PATH
from tidings.bench.picture import bars
from tidings.bench.rounds import Figure, Ratio, Turn
from tidings.bench.sides import NotTheSame, Side
from tidings.bench.timeline import (
    BESIDE_JOIN,
    WARM_UPS,
    Plan,
    Seat,
    State,
    _Load,
    check_same,
    in_brief,
    outcome,
    room_needed,
)
from tidings.bench.town import AUTHORS, Town, make_town
from tidings.bench.wrk import NoAnswers, WrongAnswers
from tidings.cli import bench as command
from tidings.cli.bench_results import print_timeline
from tidings.contracts.timeline import Timeline
from tidings.platform.http.listener import Listener, bind_tcp
from tidings.platform.ids import bucket_in, bucket_of

DEGREES = (AUTHORS, 3, 8)


def turn(rate: float, p99_ms: float = 5.0) -> Turn:
    return Turn(rate, 1.0, p99_ms, 1000.0, server_us=1e6 / rate, engines_us=2.0)


def a_town() -> Town:
    return make_town(people=12, readers={3: 2, 8: 2}, messages_each=4, seed=3)


def test_a_town_has_readers_with_just_so_many_friends_and_is_the_same_each_time() -> None:
    town = a_town()
    assert town == a_town()
    assert make_town(people=12, readers={3: 2}, messages_each=4, seed=4) != make_town(
        people=12, readers={3: 2}, messages_each=4, seed=3
    )
    for degree, readers in town.readers.items():
        for reader in readers:
            assert len(set(town.friends[reader])) == degree
            assert set(town.friends[reader]) <= set(town.people)
    assert Counter(one.author for one in town.said) == dict.fromkeys(town.people, 4)
    assert len({one.id for one in town.said}) == 48
    assert all(bucket_in(one.id) == bucket_of(one.author) and one.id.int >> 80 == one.at_ms for one in town.said)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[list[Side]]:
    tokens = {degree: tmp_path / f"{degree}.tokens" for degree in DEGREES}
    async with AsyncExitStack() as stack:
        dsn, engine = await stack.enter_async_context(sides.postgres(tmp_path / "monolith", [0]))
        await sides.fill_monolith(a_town(), dsn, tokens)
        started = [
            sides.monolith(kind, dsn, [0], tokens=tokens, engine=engine)
            for kind in ("join", "pooled", "latest", "cached")
        ]
        yield [await stack.enter_async_context(one) for one in started]


async def test_the_peers_tell_what_each_friend_said_last_newest_first(running: list[Side]) -> None:
    town = a_town()
    newest = {one.author: one for one in town.said}
    for degree, readers in town.readers.items():
        await check_same(running, degree)
        expected = sorted((newest[friend] for friend in town.friends[readers[1]]), key=lambda one: -one.at_ms)
        for side in running:
            body = msgspec.json.decode(await sides.body_of(side, PATH, degree, reader=1), type=Timeline)
            assert [entry.author.id for entry in body.entries] == [one.author for one in expected]
            assert [entry.author.handle for entry in body.entries] == [town.handle(one.author) for one in expected]
            told = [msgspec.json.decode(entry.messages[0])["text"] for entry in body.entries]
            assert told == [one.text for one in expected]
        own, engines = sides.worked_by(running[0])
        assert own > 0
        assert engines > 0
        spent = sides.worked_in(running[0])
        assert spent["monolith"] == pytest.approx(own, rel=0.5)
        assert 0 <= spent["database postgres"] <= sum(spent.values()) - spent["monolith"]


async def test_what_is_posted_to_the_peers_is_said_last(running: list[Side]) -> None:
    town = a_town()
    author = town.friends[town.readers[8][0]][0]
    readers = [reader for reader in town.readers[8] if author in town.friends[reader]]
    for side in running:
        token = side.tokens[AUTHORS].read_text().split()[town.people.index(author)]
        async with (
            aiohttp.ClientSession(side.url, headers={"authorization": f"Bearer {token}"}) as session,
            session.post("/v1/messages", json={"text": f"by {side.name}"}) as answer,
        ):
            assert answer.status == 201
            said = await answer.json()
        assert (said["author_id"], said["text"]) == (str(author), f"by {side.name}")
        for reader in readers:
            page = msgspec.json.decode(await sides.body_of(side, PATH, 8, town.readers[8].index(reader)))
            assert (page["entries"][0]["author"]["id"], page["entries"][0]["messages"][0]["id"]) == (
                str(author),
                said["id"],
            )
    assert readers


async def test_peers_learn_between_rounds_what_was_posted_to_the_others(running: list[Side]) -> None:
    town = a_town()
    author = town.friends[town.readers[8][0]][0]
    for number, side in enumerate((*running, running[0])):
        token = side.tokens[AUTHORS].read_text().split()[town.people.index(author)]
        headers = {"authorization": f"Bearer {token}"}
        async with (
            aiohttp.ClientSession(side.url, headers=headers) as session,
            session.post("/v1/messages", json={"text": f"number {number}"}) as answer,
        ):
            assert answer.status == 201
    with pytest.raises(NotTheSame):
        await check_same(running, 8)
    await sides.caught_up(running)
    await check_same(running, 8)


def test_less_is_what_a_user_would_call_less() -> None:
    page = {"ada": "5", "bob": "3"}
    assert [is_less(page, "ada", than) for than in ("4", "5", "6")] == [False, False, True]
    assert [is_less(page, "zoe", than) for than in ("2", "3", "4")] == [False, False, True]


async def test_sides_that_tell_something_else_are_not_compared(running: list[Side], tmp_path: Path) -> None:
    body = await sides.body_of(running[0], PATH, 3)
    changed = body.replace(b'"text":"', b'"text":"x', 1)
    assert changed != body
    async with sides.monolith("raw", "", [0], tokens=running[0].tokens, body=changed) as other:
        with pytest.raises(NotTheSame, match="raw told a reader with 3 friends"):
            await check_same([running[0], other], 3)


@dataclass
class Played:
    """A Tidings of one reader and one author, who may be shown less than was posted, or refused."""

    does: str
    posted: int = 0

    async def post(self, request: Request) -> JSONResponse:
        self.posted += 1
        return JSONResponse({"id": f"{self.posted:03}"}, 201, {"Tidings-Seen": "told"})

    async def page(self, request: Request) -> JSONResponse:
        if self.does == "refuses":
            return JSONResponse({}, 503)
        told = "told" in request.headers.get("tidings-seen", "")
        stale = (self.does == "forgets" and told) or (self.does == "goes back" and not told)
        shown = f"{self.posted - stale:03}"
        entries = [{"author": {"id": str(request.app.state.author)}, "messages": [{"id": shown}]}]
        return JSONResponse({"entries": entries}, headers={"Tidings-Seen": "shown"})


@pytest.mark.parametrize("does", ["well", "forgets", "goes back", "refuses"])
async def test_sessions_are_judged_by_what_they_are_shown(does: str, tmp_path: Path) -> None:
    played, judged = Played(does), Judged()
    app = Starlette(
        routes=[Route("/v1/messages", played.post, methods=["POST"]), Route("/v1/timeline", played.page)]
    )
    town = make_town(people=12, readers={1: 1}, messages_each=1, seed=3)
    [[app.state.author]] = town.friends.values()
    tokens = {AUTHORS: tmp_path / "authors", 1: tmp_path / "readers"}
    tokens[AUTHORS].write_text("key\n" * 12)
    tokens[1].write_text("mine\n")
    listener = Listener(app, bind_tcp("127.0.0.1", 0), idle_timeout=5, header_timeout=5)
    await listener.start()
    try:
        side = Side("warm", f"http://127.0.0.1:{listener.port}", tokens, 0)
        refused = pytest.raises(WrongAnswers, match="503") if does == "refuses" else nullcontext()
        with refused:
            async with checking(side, town, 1, judged):
                await asyncio.sleep(0.3)
    finally:
        await listener.stop()
    assert bool(judged.violations) == (does in ("forgets", "goes back"))
    assert bool(judged.answers) == (does != "refuses")


def test_medians_and_the_ratio_of_each_round() -> None:
    plan = Plan((50,), rounds=3)
    measured = {
        "join_50": [turn(100, 50), turn(200, 40), turn(100, 60), turn(1, 1)],
        "warm_50": [turn(1000), turn(800), turn(600), turn(1, 1)],
        "raw_50": [turn(2000), turn(2000), turn(2000), turn(1, 1)],
        "posts_join_50": [turn(10)] * 3,
        "posts_warm_50": [turn(30)] * 3,
    }
    found = outcome(plan, measured, Judged(7, ["wrong"]))  # a fourth round, of an earlier plan, does not count
    assert found.ratios["warm_50"] == Ratio(6, 4, 10)
    assert found.ratios["posts_warm_50"] == Ratio(3, 3, 3)
    assert found.of_raw == {"warm_50": Ratio(0.4, 0.3, 0.5)}
    assert found.figures["join_50"] == Figure(100, 100, 200, 1, 50, 1000, 10_000, 2)
    brief = in_brief(found)
    assert (brief["ratio_warm_50"], brief["p99_ms_warm_50"], brief["p99_ms_join_50"]) == (6, 5, 50)
    assert (brief["of_raw_warm_50"], brief["violations"], brief["judged"]) == (0.4, 1, 7)
    assert "violations" not in in_brief(outcome(plan, measured, Judged()))  # nobody looked


def test_the_table_names_every_side_and_what_was_judged(capsys: pytest.CaptureFixture[str]) -> None:
    plan = Plan(degrees=(50,))
    names = {f"{load}{side}" for load in ("", "posts_") for side in (*BESIDE_JOIN, "join")}
    print_timeline(outcome(plan, {f"{name}_50": [turn(10)] * 5 for name in names}, Judged(7, ["Ada saw less"])))
    told = capsys.readouterr().out
    assert told.count("Tidings, one process, no caches") == 2
    assert "monolith, one JOIN, with posts" in told
    assert "7 answers were judged" in told and "1 violations" in told and "  Ada saw less" in told


def test_rounds_are_kept_and_gone_on_with_under_the_same_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan(rounds=2)
    state = State.of(plan, tmp_path)
    assert state.rounds == 0
    state.measured = {"join_50": [turn(1), turn(2)], "warm_50": [turn(3)]}
    state.keep(tmp_path)
    assert State.of(plan, tmp_path).rounds == 1
    assert State.of(Plan(rounds=9), tmp_path).measured == state.measured
    assert State.of(Plan(rounds=2, seconds=9), tmp_path).measured == {}
    monkeypatch.setattr(timeline, "digest_of_code", lambda: "of other code")
    assert State.of(plan, tmp_path).measured == {}


def test_the_picture_has_a_bar_for_each_side_and_number_of_friends() -> None:
    figures = {
        name: Figure.of([turn(rate)]) for name, rate in (("join_50", 900), ("warm_50", 21_000), ("join_200", 500))
    }
    picture = ET.fromstring(bars(figures, command.NAMES, (50, 200)))
    rects = [one for one in picture.iter() if one.tag.endswith("rect")]
    tall = {one.get("fill"): float(one.get("height") or 0) for one in rects if one.get("width") == "25"}
    assert len(rects) == 2 + 3  # the legend, the bars
    assert tall["#1f6f8b"] > tall["#8a8f98"] > 0
    assert {"900", "21k", "500"} <= {one.text for one in picture.iter()}


def test_without_wrk_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    answer = CliRunner().invoke(command.app, ["timeline", "--quick"])
    assert answer.exit_code == 2
    assert "apt-get install wrk" in answer.output
    assert "This takes about" in answer.output


def test_what_an_earlier_run_has_filled_needs_no_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan((50,), people=10, messages_each=3)
    everything = room_needed(plan, tmp_path)
    for name in ("warm", "letters"):  # of which one is ours
        (tmp_path / name).mkdir()
        (tmp_path / name / "data").write_bytes(bytes(3_000_000))
    assert 3_000_000 <= everything - room_needed(plan, tmp_path) < 3_100_000
    monkeypatch.setattr(room, "EMPTY_BYTES", 0)
    assert room_needed(plan, tmp_path) == 0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), (6000, 3.0, 5)),
        (("--quick",), (1000, 1.0, 5)),
        (("--quick", "--people", "5000", "--seconds", "2", "--rounds", "7"), (5000, 2.0, 7)),
    ],
)
def test_what_is_asked_for_holds_with_quick_too(
    monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], expected: tuple[int, float, int]
) -> None:
    plans: list[Plan] = []

    async def measure(plan: Plan, *_: object) -> None:
        plans.append(plan)
        raise WrongAnswers("none")

    monkeypatch.setattr(timeline, "measure", measure)
    assert CliRunner().invoke(command.app, ["timeline", *options]).exit_code != 0
    assert [(plan.people, plan.seconds, plan.rounds) for plan in plans] == [expected]


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_who_was_shown_less_is_no_success(monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]) -> None:
    async def measure(plan: Plan, *_: object) -> object:
        measured = {f"{side}_50": [turn(10)] * 5 for side in ("join", "warm")}
        return outcome(Plan(degrees=(50,)), measured, Judged(7, ["Ada saw less"]))

    monkeypatch.setattr(timeline, "measure", measure)
    answer = CliRunner().invoke(command.app, ["timeline", "--quick", *options])
    assert answer.exit_code != 0
    assert "Ada saw less" in answer.stdout
    assert "1 of 7 answers" in answer.output


@pytest.mark.parametrize("silent", [0, 2, WARM_UPS])
async def test_the_first_answer_may_take_some_turns(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, silent: int
) -> None:
    tries: list[float] = []

    async def take(side: Side, degree: int, *, seconds: float, **_: object) -> Turn:
        tries.append(seconds)
        if len(tries) <= silent:
            raise NoAnswers("nothing")
        return turn(1.0)

    monkeypatch.setattr(turns, "take", take)
    tokens = tmp_path / "tokens"
    tokens.write_text("")
    seat = Seat(Side("join", "http://127.0.0.1:1", {3: tokens}, 1, engine=1), 3)
    load = _Load(Plan(degrees=(3,)), a_town(), [0], Judged())
    if silent < WARM_UPS:
        await load.warm_up(seat)
    else:
        with pytest.raises(NoAnswers):
            await load.warm_up(seat)
    assert tries == [Plan().warm_up] * min(silent + 1, WARM_UPS)


@pytest.mark.parametrize("posts", [False, True])
async def test_everybody_reads_before_a_turn_of_reads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, posts: bool
) -> None:
    done: list[str] = []

    async def timeline(request: Request) -> JSONResponse:
        done.append(request.headers["authorization"])
        return JSONResponse({})

    async def take(*_: object, **__: object) -> Turn:
        done.append("turn")
        return turn(1.0)

    monkeypatch.setattr(turns, "take", take)
    tokens = {AUTHORS: tmp_path / "authors", 3: tmp_path / "readers"}
    tokens[3].write_text("one\ntwo\n")
    app = Starlette(routes=[Route("/v1/timeline", timeline)])
    listener = Listener(app, bind_tcp("127.0.0.1", 0), idle_timeout=5, header_timeout=5)
    await listener.start()
    try:
        side = Side("join", f"http://127.0.0.1:{listener.port}", tokens, 1, engine=1)
        await _Load(Plan(degrees=(3,)), a_town(), [0], Judged()).turn(Seat(side, 3, posts=posts), 1.0)
    finally:
        await listener.stop()
    assert done == (["turn"] if posts else ["Bearer one", "Bearer two", "turn"])

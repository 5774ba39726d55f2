"""The naive client: what it puts together is the timeline, by two requests a friend and one for all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.system import Whole
from tidings.bench import naive
from tidings.bench.monolith import PATH
from tidings.bench.rounds import Turn
from tidings.bench.sides import NotTheSame, Side, body_of


async def test_it_comes_to_the_timeline(tidings: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    me, *friends = [await tidings.joins(f"Person{number}") for number in range(4)]
    for one in friends:
        await me.befriends(one)
    for one in (*friends[:2], friends[0]):
        await one.posts("hello")
    tokens = {3: tmp_path / "tokens"}
    tokens[3].write_text(f"{me.token}\n")
    side = Side("warm", me.client.base, tokens, 1)
    client, each = await naive.client_of(side, 3, tmp_path)
    lines = client.tokens[3].read_text().splitlines()
    assert (client.name, client.url, each, len(lines)) == ("naive", side.url, 7, 7)
    assert {line.split()[0] for line in lines} == {me.token}
    said = naive.entries_of(await body_of(side, PATH, 3))
    assert [author for author, _ in said] == [friends[0].id, friends[1].id]

    monkeypatch.setattr(naive, "entries_of", lambda body: said[:1])
    with pytest.raises(NotTheSame, match="3 friends"):
        await naive.client_of(side, 3, tmp_path)


def test_a_timeline_is_all_of_its_requests() -> None:
    found = naive.of_pages(Turn(700.0, 1.0, 2.0, 100.0, 10.0, 1.0, {"timeline": 10.0}), 7)
    assert found == Turn(100.0, 0.0, 0.0, 700.0, 70.0, 7.0, {"timeline": 70.0})

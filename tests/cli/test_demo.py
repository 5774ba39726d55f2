"""`tidings demo`: a graph is loaded once, whole or not at all, and read back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.command import Server, ask, facts, refused, tidings, up
from tidings.contracts.friends import MOST_FRIENDS
from tidings.demo.graph import LARGEST_NUMBER, Graph, GraphProblem, read_graph
from tidings.demo.people import JOINED_DAYS, LAST_MS, SPOKEN_DAYS

REED98 = Path(__file__).parents[3] / "shared/datasets/socfb-Reed98.edges"  # R. A. Rossi, N. K. Ahmed, AAAI 2015
GRAPH = "# a small graph\n" + "".join(f"{a} {b}\n" for a in range(12) for b in range(a))


def test_a_graph_is_loaded_once_and_read_back(server: Server, tmp_path: Path) -> None:
    where = ("--data", server.card["data"])
    graph = tmp_path / "small.edges"
    graph.write_text(GRAPH)
    first = facts("demo", "load", "--graph", graph, *where)["loaded"]
    assert first["people"] == {"added": 12, "present": 0}
    assert first["friendships"] == {"added": 66, "present": 0}
    messages = first["messages"]["added"]
    assert 12 * 3 < messages < 12 * 30

    done = tidings("demo", "load", "--graph", graph, *where)
    assert done.returncode == 0, done.stderr
    assert "0 added  (12 were there)" in done.stdout
    assert f"0 added  ({messages} were there)" in done.stdout
    handle = first["best_known"]["handle"]
    assert f"tidings demo timeline @{handle} --data {server.card['data']}" in done.stdout

    page = tidings("demo", "timeline", f"@{handle}", *where)
    assert page.returncode == 0, page.stderr
    assert f"Timeline of @{handle}" in page.stdout
    assert page.stdout.count(" ago") >= 10
    seen = facts("demo", "timeline", handle, "--per-friend", 2, *where)
    assert 9 <= len(seen["entries"]) <= 11  # a few people of a demonstration never say anything
    assert max(len(entry["messages"]) for entry in seen["entries"]) == 2

    link = facts("demo", "signin", f"@{handle}", *where)["address"].partition("?link=")[2]
    status, token = ask("POST", f"{server.url}/v1/sessions", {"link": link})
    assert status == 201
    # The look at the timeline has signed itself out again.
    _, sessions = ask("GET", f"{server.url}/v1/sessions", token=token["token"])
    assert len(sessions["sessions"]) == 1


def test_a_malformed_line_is_named_and_nothing_is_loaded(server: Server, tmp_path: Path) -> None:
    graph = tmp_path / "bad.edges"
    graph.write_text("1001 1002\n1002 nobody\n")
    before = facts("users", "list", "--data", server.card["data"])["total"]
    said = refused("demo", "load", "--graph", graph, "--data", server.card["data"], code=14)
    assert "bad.edges, line 2:" in said
    assert "Nothing was loaded." in said
    assert facts("users", "list", "--data", server.card["data"])["total"] == before


def test_the_help_describes_an_edge_list_as_it_is_read(tmp_path: Path) -> None:
    said = " ".join(tidings("demo", "load", "--help", COLUMNS="200").stdout.split())
    graph = tmp_path / "every.edges"

    def read(text: str) -> Graph:
        graph.write_text(text)
        return read_graph(graph)

    assert "blanks or tabs between. Empty lines and lines that begin with # or % are skipped." in said
    assert read("# one\n% two\n\n1 2\n\t2 \t 3\n").edges == ((0, 1), (1, 2))
    assert "comes again, in either order, counts once" in said
    assert read("1 2\n2 1\n1 2\n").edges == ((0, 1),)
    assert f"from 0 to {LARGEST_NUMBER}" in said
    assert read(f"0 {LARGEST_NUMBER}\n").people == 2
    assert "a third column, a comma, somebody as their own friend" in said
    for wrong in ("1 2 3", "1,2", "1 1", f"0 {LARGEST_NUMBER + 1}", "1 2 # a comment"):
        with pytest.raises(GraphProblem, match="line 2"):
            read(f"1 2\n{wrong}\n")
    assert f"more than {MOST_FRIENDS:,} friends of one person" in said


def test_the_help_says_when_the_demonstration_takes_place() -> None:
    said = " ".join(tidings("demo", "load", "--help", COLUMNS="200").stdout.split())
    last = datetime.fromtimestamp(LAST_MS / 1000, UTC)
    assert f"the {SPOKEN_DAYS} days up to {last:%Y-%m-%d}" in said
    assert f"the {JOINED_DAYS} days before those" in said


def test_a_generated_graph_is_the_same_for_the_same_seed(server: Server) -> None:
    where = ("--data", server.card["data"])
    first = facts("demo", "load", "--generate", 30, "--seed", 7, *where)["loaded"]
    assert first["people"]["added"] == 30
    again = facts("demo", "load", "--generate", 30, "--seed", 7, *where)["loaded"]
    assert [again[what]["added"] for what in ("people", "friendships", "messages")] == [0, 0, 0]


def test_one_graph_has_to_be_named(server: Server) -> None:
    assert "--generate 1000" in refused("demo", "load", "--data", server.card["data"], code=2)


@pytest.mark.skipif(
    not REED98.exists(), reason="the graph of Reed College is read from where it lies, and is not here"
)
def test_the_graph_of_reed_college_has_all_its_people_and_friendships(data: Path) -> None:
    with up(data) as server:
        where = ("--data", server.card["data"])
        first = facts("demo", "load", "--graph", REED98, *where)["loaded"]
        assert (first["people"]["added"], first["friendships"]["added"]) == (962, 18_812)
        assert 9 * 962 < first["messages"]["added"] < 11 * 962
        again = facts("demo", "load", "--graph", REED98, *where)["loaded"]
        assert [again[what]["added"] for what in ("people", "friendships", "messages")] == [0, 0, 0]
        assert server.stop() == 0

"""Who is whose friend in the mix: files are read or refused with the line, and what is made has the known shape."""

from pathlib import Path
from statistics import mean, median

import pytest

from tidings.bench.graph import find_graph, make_graph
from tidings.demo.graph import GraphProblem


def test_an_edge_list_is_read(tmp_path: Path) -> None:
    file = tmp_path / "some.edges"
    file.write_text("# a comment\n0 1\n1 2\n2 1\n")
    assert find_graph(file, seed=1).friends() == [[1], [0, 2], [1]]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("3", "1 word where two numbers belong"),
        ("3 4 5", "3 words"),
        ("3 x", "'x' is not a whole number"),
        ("3 -4", "'-4' is negative"),
        ("3,4", "1 word"),
        ("7 7", "person 7 would be their own friend"),
    ],
)
def test_a_bad_line_is_named_with_its_file(tmp_path: Path, line: str, wrong: str) -> None:
    file = tmp_path / "some.edges"
    file.write_text(f"0 1\n1 2\n{line}\n")
    with pytest.raises(GraphProblem) as refused:
        find_graph(file, seed=1)
    assert str(refused.value).startswith(f"{file}, line 3: {wrong}")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(GraphProblem, match=r"none\.edges: there is no such file"):
        find_graph(tmp_path / "none.edges", seed=1)


def test_the_same_seed_makes_the_same_graph() -> None:
    assert make_graph(seed=3) == make_graph(seed=3)
    assert make_graph(seed=3).edges != make_graph(seed=4).edges


@pytest.mark.parametrize("seed", range(5))
def test_a_graph_that_is_made_has_the_shape_of_the_known_one(seed: int) -> None:
    """Reed College: 962 people with 39.1 friends each; the middle 29, one in a hundred 157, the most 313."""
    graph = find_graph(None, seed=seed)
    degrees = sorted(map(len, graph.friends()))
    assert graph.people == 962
    assert 38.5 < mean(degrees) <= 39.1
    assert 25 <= median(degrees) <= 34
    assert 120 <= degrees[952] <= 200
    assert 200 <= degrees[-1] <= 320
    assert degrees[0] >= 1
    assert len(set(graph.edges)) == len(graph.edges)
    assert all(a < b for a, b in graph.edges)


def test_more_friends_than_people_allow_are_refused() -> None:
    with pytest.raises(GraphProblem, match="takes 390 people"):
        make_graph(people=389, seed=1)

"""The friend graph: what a file may hold, how each mistake is named, and what the generator promises."""

import math
import time
from pathlib import Path

import pytest

from tidings.demo import graph as graphs
from tidings.demo.graph import GraphProblem, generate_graph, read_graph


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "graph.edges"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_reads_comments_blank_lines_tabs_a_mark_and_any_line_ending(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf# made by hand\r\n% and with\r\n\r\n10\t7\r\n  7 3 \n010 3"
    graph = read_graph(written(tmp_path, content))
    assert graph.labels == (3, 7, 10)
    assert graph.edges == ((0, 1), (0, 2), (1, 2))
    assert graph.friends() == [[1, 2], [0, 2], [0, 1]]


def test_order_direction_repetition_and_comments_do_not_change_the_digest(tmp_path: Path) -> None:
    plain = read_graph(written(tmp_path, "1 2\n2 3\n"))
    other = read_graph(written(tmp_path, "# again\n3 2\n2 1\n1 2\n1 2\n"))
    assert (other.digest, other.edges) == (plain.digest, plain.edges)
    assert (plain.repeated, other.repeated) == (0, 2)
    assert read_graph(written(tmp_path, "1 2\n2 4\n")).digest != plain.digest


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("5", "1 word where two numbers belong"),
        ("5 6 7", "3 words where two numbers belong"),
        ("5,6", "1 word where"),
        ("5 x", "'x' is not a whole number"),
        ("5 1.5", "'1.5' is not a whole number"),
        ("٣ 5", "is not a whole number"),
        ("-3 5", "'-3' is negative"),
        ("5 5", "person 5 would be their own friend"),
        ("5 2147483648", "is too large, 2147483647 is the most"),
        ("5 " + "9" * 5000, "is too large"),
        ("5 \x1b[2J", "'\\x1b[2J' is not a whole number"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str, wrong: str) -> None:
    path = written(tmp_path, f"# a comment\n0 1\n\n{line}\n1 2\n")
    with pytest.raises(GraphProblem) as problem:
        read_graph(path)
    message = str(problem.value)
    assert message.startswith(f"{path}, line 4: ")
    assert wrong in message
    assert "Expected two different whole numbers" in message
    assert message.isprintable()
    assert len(message) < 500


def test_a_line_that_is_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(GraphProblem, match="line 2: not text in UTF-8"):
        read_graph(written(tmp_path, b"0 1\n\xff\xfe 2\n"))


def test_nobody_has_more_than_5000_friends(tmp_path: Path) -> None:
    full = "".join(f"0 {other}\n" for other in range(1, 5001))
    assert read_graph(written(tmp_path, full + "5000 0\n")).people == 5001
    with pytest.raises(GraphProblem, match=r"line 5001: person 0 has more than 5,000 friends"):
        read_graph(written(tmp_path, full + "5001 0\n"))


@pytest.mark.parametrize("content", ["", "\n\n", "# nothing\n"])
def test_a_file_without_friendships(tmp_path: Path, content: str) -> None:
    with pytest.raises(GraphProblem, match="has no friendships"):
        read_graph(written(tmp_path, content))


def test_what_is_not_an_edge_list(tmp_path: Path) -> None:
    with pytest.raises(GraphProblem, match="no such file"):
        read_graph(tmp_path / "absent.edges")
    with pytest.raises(GraphProblem, match="is a directory"):
        read_graph(tmp_path)
    with pytest.raises(GraphProblem, match="is not text in UTF-8"):
        read_graph(written(tmp_path, b"\x7fELF\x00\x01"))
    with pytest.raises(GraphProblem, match="is not text in UTF-8"):
        read_graph(written(tmp_path, "0 1\n".encode("utf-16")))


def test_ten_thousand_people_have_a_heavy_tail_and_close_triangles() -> None:
    begun = time.process_time()
    graph = generate_graph(10_000, seed=7)
    assert time.process_time() - begun < 2
    friends = graph.friends()
    degrees = sorted(len(of_one) for of_one in friends)
    mean = sum(degrees) / len(degrees)
    assert graph.people == 10_000
    assert 18 < mean < 22
    assert degrees[0] >= 1
    assert 10 * mean < degrees[-1] <= 5000
    # The maximum likelihood estimate of the exponent (Clauset, Shalizi and Newman, SIAM Review 51, 661, 2009).
    tail = [degree for degree in degrees if degree >= 40]
    assert 2.5 < 1 + len(tail) / sum(math.log(degree / 39.5) for degree in tail) < 3.5
    sets = [set(of_one) for of_one in friends]
    sample = [of_one for of_one in range(0, 10_000, 50) if len(friends[of_one]) > 1]
    clustering = [
        sum(len(sets[friend] & sets[person]) for friend in friends[person])
        / (len(friends[person]) * (len(friends[person]) - 1))
        for person in sample
    ]
    assert sum(clustering) / len(clustering) > 20 * mean / 10_000  # far above that of a random graph


@pytest.mark.parametrize("people", [2, 3, 10, 500])
def test_generated_friendships_are_mutual_single_and_connect_everybody(people: int) -> None:
    graph = generate_graph(people, seed=3)
    assert graph.people == people
    assert list(graph.edges) == sorted(set(graph.edges))
    assert all(0 <= a < b < people for a, b in graph.edges)
    friends, reached, ahead = graph.friends(), {0}, [0]
    while ahead:
        new = set(friends[ahead.pop()]) - reached
        reached |= new
        ahead += new
    assert len(reached) == people


def test_the_generator_repeats_itself_by_seed() -> None:
    assert generate_graph(300, seed=7) == generate_graph(300, seed=7)
    digests = {generate_graph(300, seed=seed).digest for seed in (-7, 0, 7, 8)}
    assert len(digests) == 4
    # The same on every Python and machine: a changed digest would load everything a second time.
    assert generate_graph(300, seed=7).digest.hex()[:16] == "c3e94e29a5afffae"


def test_the_well_known_stop_at_the_most_friends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "MOST_FRIENDS", 25)
    assert max(map(len, generate_graph(500, seed=1).friends())) <= 25


@pytest.mark.parametrize("people", [-1, 0, 1, 2**31])
def test_a_number_of_people_that_makes_no_graph(people: int) -> None:
    with pytest.raises(GraphProblem, match="cannot be made"):
        generate_graph(people, seed=7)

"""A friend graph, read from an edge list or generated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from io import BufferedReader
from pathlib import Path

from tidings.contracts.friends import MOST_FRIENDS
from tidings.demo.chance import Chance

LARGEST_NUMBER = 2**31 - 1
FRIENDSHIPS_EACH = 19  # the most that a newcomer makes; the mean is 10, so the mean degree 20
CLOSES_TRIANGLE = 0.8


class GraphProblem(ValueError):
    """The graph cannot be used; the message says where, what is wrong and what is expected."""


@dataclass(frozen=True, slots=True)
class Graph:
    """People 0 to `people - 1` and their friendships, each pair `a < b` once, in order.

    `labels` are the people's numbers in the file. `digest` is the SHA-256 of the friendships in canonical form
    (`a b` by label, one a line, sorted), so comments, order and repetitions do not change it. `repeated` counts
    the lines that said again what another had said.
    """

    people: int
    edges: tuple[tuple[int, int], ...]
    digest: bytes
    labels: tuple[int, ...]
    repeated: int = 0

    def friends(self) -> list[list[int]]:
        """The friends of each person, in order."""
        friends: list[list[int]] = [[] for _ in range(self.people)]
        for a, b in self.edges:
            friends[a].append(b)
            friends[b].append(a)
        return friends


def read_graph(path: Path) -> Graph:
    """Read an edge list: two whole numbers a line, `#` or `%` begins a comment. Raises `GraphProblem`."""
    try:
        with path.open("rb") as file:
            _refuse_binary(path, file)
            pairs, repeated = _pairs(path, file)
    except FileNotFoundError:
        raise GraphProblem(f"{path}: there is no such file. Name an edge list, or use --generate.") from None
    except IsADirectoryError:
        raise GraphProblem(f"{path} is a directory. Name the edge list itself.") from None
    except OSError as error:
        raise GraphProblem(f"{path} cannot be read: {error.strerror}. Name a file that you may read.") from None
    if not pairs:
        raise GraphProblem(f"{path} has no friendships: expected lines such as `15 0`, two people's numbers each.")
    return _graph(pairs, repeated)


def graph_of(friendships: Iterable[tuple[int, int]]) -> Graph:
    """The graph of friendships that are known already, in any order."""
    return _graph({_pair(a, b) for a, b in friendships}, repeated=0)


def generate_graph(people: int, seed: int) -> Graph:
    """A graph that grows as social networks do: newcomers befriend the well-known, and friends of friends.

    Holme and Kim, "Growing scale-free networks with tunable clustering", Physical Review E 65, 026107 (2002):
    preferential attachment (Barabási and Albert, Science 286, 509, 1999) in which each such step is followed,
    with a fixed probability, by one that closes a triangle. Degrees k have a power-law tail, P(k) ~ k^-3.
    Unlike the paper's, a newcomer makes 1 to 19 friendships, each number as likely (mean 10, so the mean
    degree is about 20), and who has 5,000 friends makes no more. It is connected: everyone has a friend.
    """
    if people < 2:
        raise GraphProblem(f"A graph of {people} cannot be made: friendship takes at least 2 people.")
    if people > LARGEST_NUMBER:
        raise GraphProblem(f"A graph of {people} cannot be made: the most is {LARGEST_NUMBER} people.")
    chance = Chance("graph", people, seed)
    friends: list[list[int]] = [[1], [0]]
    ends = [0, 1]  # each person as often as they have friends
    for newcomer in range(2, people):
        chosen = _befriended(chance, friends, ends, min(newcomer, 1 + chance.below(FRIENDSHIPS_EACH)))
        friends.append(chosen)
        for other in chosen:
            friends[other].append(newcomer)
            ends += (other, newcomer)
    places = list(range(people))  # shuffled, or the first number would always be the best known
    for last in range(people - 1, 0, -1):
        other = chance.below(last + 1)
        places[last], places[other] = places[other], places[last]
    pairs = {
        _pair(places[person], places[other])
        for person, known in enumerate(friends)
        for other in known
        if person < other
    }
    return _graph(pairs, repeated=0)


def _befriended(chance: Chance, friends: list[list[int]], ends: list[int], wanted: int) -> list[int]:
    chosen: dict[int, None] = {}  # a set that keeps its order
    known: list[int] = []  # friends of the last one chosen by renown
    # Crowded graphs may refuse many draws: a newcomer then settles for fewer friends, never for none.
    for _ in range(50 * wanted):
        if len(chosen) == wanted:
            break
        closing = bool(known) and chance.happens(CLOSES_TRIANGLE)
        other = chance.one_of(known if closing else ends)
        if other in chosen or len(friends[other]) >= MOST_FRIENDS:
            known = []
            continue
        chosen[other] = None
        known = [] if closing else friends[other]
    if not chosen:
        chosen[min(range(len(friends)), key=lambda person: len(friends[person]))] = None
    return list(chosen)


def _graph(pairs: set[int], repeated: int) -> Graph:
    ordered = [_unpaired(pair) for pair in sorted(pairs)]
    labels = tuple(sorted({label for edge in ordered for label in edge}))
    places = {label: place for place, label in enumerate(labels)}
    digest = sha256()
    for a, b in ordered:
        digest.update(b"%d %d\n" % (a, b))
    edges = tuple((places[a], places[b]) for a, b in ordered)
    return Graph(people=len(labels), edges=edges, digest=digest.digest(), labels=labels, repeated=repeated)


def _pair(a: int, b: int) -> int:
    # One number a pair: half the memory of a tuple, and it sorts the same.
    return a << 32 | b if a < b else b << 32 | a


def _unpaired(pair: int) -> tuple[int, int]:
    return pair >> 32, pair & 0xFFFF_FFFF


def _refuse_binary(path: Path, file: BufferedReader) -> None:
    if b"\0" in file.peek(8192)[:8192]:
        raise GraphProblem(
            f"{path} is not text in UTF-8: expected lines such as `15 0`, two people's numbers each."
        )


def _pairs(path: Path, file: BufferedReader) -> tuple[set[int], int]:
    pairs: set[int] = set()
    degrees: dict[int, int] = {}
    repeated = 0
    for number, line in _lines(path, file):
        a, b = _numbers(path, number, line)
        pair = _pair(a, b)
        if pair in pairs:
            repeated += 1
            continue
        pairs.add(pair)
        for person in (a, b):
            degrees[person] = degrees.get(person, 0) + 1
            if degrees[person] > MOST_FRIENDS:
                raise GraphProblem(
                    f"{path}, line {number}: person {person} has more than {MOST_FRIENDS:,} friends from here on."
                    f" Expected at most {MOST_FRIENDS:,} for one person."
                )
    return pairs, repeated


def _lines(path: Path, file: BufferedReader) -> Iterator[tuple[int, str]]:
    for number, raw in enumerate(file, start=1):
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError:
            raise GraphProblem(
                f"{path}, line {number}: not text in UTF-8. Expected two people's numbers, such as `15 0`."
            ) from None
        if line and line[0] not in "#%":
            yield number, line


def _numbers(path: Path, number: int, line: str) -> tuple[int, int]:
    words = line.split()
    if len(words) != 2:
        wrong = f"{len(words)} word{'s' * (len(words) != 1)} where two numbers belong"
        raise _malformed(path, number, line, wrong)
    for word in words:
        if word[0] == "-" and _whole(word[1:]):
            raise _malformed(path, number, line, f"{_excerpt(word)} is negative")
        if not _whole(word):
            raise _malformed(path, number, line, f"{_excerpt(word)} is not a whole number")
        if len(word.lstrip("0")) > 10 or int(word) > LARGEST_NUMBER:
            raise _malformed(path, number, line, f"{_excerpt(word)} is too large, {LARGEST_NUMBER} is the most")
    a, b = int(words[0]), int(words[1])
    if a == b:
        raise _malformed(path, number, line, f"person {a} would be their own friend")
    return a, b


def _whole(word: str) -> bool:
    return word.isascii() and word.isdigit()


def _excerpt(text: str) -> str:
    # The file is anybody's: `ascii` shows control characters instead of sending them to the terminal.
    return ascii(text if len(text) <= 40 else text[:40] + "...")


def _malformed(path: Path, number: int, line: str, wrong: str) -> GraphProblem:
    return GraphProblem(
        f"{path}, line {number}: {wrong}. Expected two different whole numbers from 0 up, such as `15 0`;"
        f" the line is {_excerpt(line)}."
    )

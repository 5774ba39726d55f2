"""Who is whose friend: an edge list that somebody has, or a graph of the same shape that is made here."""

from __future__ import annotations

import math
from bisect import bisect
from itertools import accumulate
from pathlib import Path
from typing import Final

from tidings.demo.chance import Chance
from tidings.demo.graph import Graph, GraphProblem, graph_of, read_graph

PEOPLE: Final = 962
MEAN: Final = 39  # friends of a person
SPREAD: Final = 0.77  # of the logarithm of how many: half have 29 or fewer, one in a hundred 157 or more
MOST: Final = 0.33  # of all people: nobody has more friends


def find_graph(path: Path | None, *, people: int = PEOPLE, seed: int) -> Graph:
    """The edge list at `path`, or one that is made. Raises `GraphProblem`."""
    if path is None:
        return make_graph(people=people, seed=seed)
    if not path.exists():
        raise GraphProblem(f"{path}: there is no such file. Name an edge list, or none: then a graph is made.")
    return read_graph(path)


def make_graph(*, people: int = PEOPLE, mean: int = MEAN, seed: int) -> Graph:
    """A graph with a heavy tail; everybody has a friend. The same arguments make the same graph.

    Chung and Lu, "Connected components in random graphs with given expected degree sequences", Annals of
    Combinatorics 6, 125 (2002): both ends of a friendship are drawn by weight. Weights are log-normal, with the
    spread of the friendships at Reed College (socfb-Reed98 of networkrepository.com).
    """
    if people < 10 * mean:
        raise GraphProblem(
            f"A graph of {people} with {mean} friends each is not made: it takes {10 * mean} people."
        )
    chance = Chance("mix", people, mean, seed)
    heights = list(accumulate(math.exp(SPREAD * _normal(chance)) for _ in range(people)))
    degrees = [0] * people
    most = round(MOST * people)
    pairs: dict[tuple[int, int], None] = {}

    def befriend(a: int) -> bool:
        b = bisect(heights, chance.draw() * heights[-1])
        pair = (min(a, b), max(a, b))
        if a == b or pair in pairs or degrees[a] >= most or degrees[b] >= most:
            return False
        pairs[pair] = None
        degrees[a] += 1
        degrees[b] += 1
        return True

    for person in range(people):
        while not degrees[person] and not befriend(person):
            pass
    while len(pairs) < people * mean // 2:
        befriend(bisect(heights, chance.draw() * heights[-1]))
    return graph_of(pairs)


def _normal(chance: Chance) -> float:
    """Box and Muller, Annals of Mathematical Statistics 29, 610 (1958)."""
    return math.sqrt(-2 * math.log(1 - chance.draw())) * math.cos(2 * math.pi * chance.draw())

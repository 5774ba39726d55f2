"""Any history of anybody's doings, compared with a small model."""

from __future__ import annotations

from itertools import permutations
from typing import Literal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.services.friends.town import Person, Town, ids, shown
from tidings.contracts.friends import NotYourself, Relation
from tidings.contracts.users import UserId
from tidings.platform.contract import NotFound, Refusal

Doing = Literal["asks", "ends", "drops", "blocks", "unblocks", "mutes", "unmutes"]
DOINGS: tuple[Doing, ...] = ("asks", "ends", "drops", "blocks", "unblocks", "mutes", "unmutes")
CAST = 3

steps = st.lists(
    st.tuples(st.integers(0, CAST - 1), st.sampled_from(("asks", "asks", *DOINGS)), st.integers(0, CAST - 1)),
    min_size=1,
    max_size=25,
)


class Model:
    """Sets of pairs; each rule in a line."""

    def __init__(self) -> None:
        self.friends: set[frozenset[int]] = set()
        self.asked: set[tuple[int, int]] = set()
        self.blocks: set[tuple[int, int]] = set()
        self.mutes: set[tuple[int, int]] = set()

    def does(self, me: int, doing: Doing, other: int) -> type[Refusal] | None:
        """Change, or say with what it is refused."""
        pair, way, back = frozenset((me, other)), (me, other), (other, me)
        if me == other:
            return NotYourself if doing in ("asks", "blocks", "mutes") else NotFound
        match doing:
            case "asks":
                if {way, back} & self.blocks:
                    return NotFound
                if back in self.asked:
                    self.asked.remove(back)
                    self.friends.add(pair)
                elif pair not in self.friends:
                    self.asked.add(way)
            case "ends":
                if pair not in self.friends:
                    return NotFound
                self.friends.remove(pair)
            case "drops":
                if not {way, back} & self.asked:
                    return NotFound
                self.asked -= {way, back}
            case "blocks":
                self.blocks.add(way)
                self.friends.discard(pair)
                self.asked -= {way, back}
            case "unblocks":
                if way not in self.blocks:
                    return NotFound
                self.blocks.remove(way)
            case "mutes":
                self.mutes.add(way)
            case "unmutes":
                if way not in self.mutes:
                    return NotFound
                self.mutes.remove(way)
        return None

    def relation(self, me: int, other: int) -> Relation:
        return Relation(
            friend=frozenset((me, other)) in self.friends,
            blocked=bool({(me, other), (other, me)} & self.blocks),
            muted=(me, other) in self.mutes,
        )


@settings(
    max_examples=15,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=steps)
async def test_any_history_is_as_the_model_says(running: Town, steps: list[tuple[int, Doing, int]]) -> None:
    running.users_down = False
    cast, model = running.people(CAST), Model()
    for me, doing, other in steps:
        expected = model.does(me, doing, other)
        refused: type[Refusal] | None = None
        try:
            await getattr(cast[me], doing)(cast[other])
        except (NotFound, NotYourself) as error:
            refused = type(error)
        assert refused == expected, (me, doing, other)
    await agrees(cast, model)


async def agrees(cast: list[Person], model: Model) -> None:
    for me, one in enumerate(cast):
        others = [(number, person) for number, person in enumerate(cast) if number != me]
        circle = await one.circle()
        friends = [person.id for number, person in others if frozenset((me, number)) in model.friends]
        assert sorted(circle.friends) == sorted(friends)  # no self edge and no double one either
        assert sorted(circle.muted) == sorted(
            person.id for number, person in others if person.id in friends and (me, number) in model.mutes
        )
        expected = {person.id: model.relation(me, number) for number, person in others}
        assert await one.relations(*cast) == {
            other: relation for other, relation in expected.items() if relation != Relation()
        }
        assert sorted(shown(await one.friends())) == sorted(friends)
        assert sorted(shown(await one.outgoing())) == chosen(cast, model.asked, me)
        assert sorted(shown(await one.incoming())) == chosen(cast, {(b, a) for a, b in model.asked}, me)
        assert sorted(shown(await one.blocked())) == chosen(cast, model.blocks, me)
        assert sorted(shown(await one.muted())) == chosen(cast, model.mutes, me)
    assert all((a.id in ids_of) == (b.id in other_ids) for a, b, ids_of, other_ids in await edges(cast))


async def edges(cast: list[Person]) -> list[tuple[Person, Person, list[UserId], list[UserId]]]:
    circles = {person.id: (await person.circle()).friends for person in cast}
    return [(a, b, circles[b.id], circles[a.id]) for a, b in permutations(cast, 2)]


def chosen(cast: list[Person], pairs: set[tuple[int, int]], me: int) -> list[UserId]:
    return sorted(ids(cast[other] for one, other in pairs if one == me))

"""The failpoint matrix as a table: each point, against whom, by what fault, and what may come of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final, Literal

Role = Literal["coordinator", "participant", "its database", "users database", "coordinator and one database"]
Fault = Literal["kill", "stop", "request lost", "reply lost", "partition", "stall", "none"]
Outcome = Literal["untouched", "aborted", "deleted"]

ROLES: Final[dict[str, Role]] = {
    "coordinator": "coordinator",
    "participant": "participant",
    "database": "its database",
    "users-db": "users database",
    "both": "coordinator and one database",
}
FAULTS: Final[tuple[Fault, ...]] = ("kill", "stop", "request lost", "reply lost", "partition")

OUTCOMES: Final[dict[str, frozenset[Outcome]]] = {
    "A": frozenset({"aborted"}),
    "D": frozenset({"deleted"}),
    "E": frozenset({"aborted", "deleted"}),
    "U": frozenset({"untouched"}),
    "N": frozenset({"untouched", "aborted"}),
}

REASONS: Final[dict[str, str]] = {
    "n": "nothing is sent to a participant before the log row is in: cp1 has it",
    "r": "the coordinator says nothing to its database between the log row and the decision: cp0 and cp5 have it",
    "m": "no message to a participant is on its way: the last was the vote (cp3), the next is the commit (cp7)",
    "a": "the request has arrived, or nobody would be at this point",
    "d": "its database was told all that there is to tell here: the next is at cp7 and cp8",
    "f": "users' database hears nothing before all have acknowledged: cp10 has it",
    "k": "all participants have acknowledged for good: there is nothing left to ask them",
    "l": "the coordinator has finished: it says nothing more, and a lost duplicate is none",
    "o": "one message is on its way at a time: each alone is in the rows above",
    "c": "the same as at cp11",
    "s": "MongoDB has no slots for prepared transactions that could be used up",
    "q": "duplicates ask nothing of users' database",
}


@dataclass(frozen=True)
class Point:
    """A row of the table for one role. `hold` is where everything waits while the fault is made.

    `next` is the participant whose turn it is there: it, or its database, is struck. `way` is how one gets there:
    `straight`; `abort` (the other participant has no vote); `late` (the coordinator sleeps past its deadline, and
    recovery comes); `undone` (an operator has rolled the branch back); `full` (no prepared transaction finds a
    slot); `disk` (its disk is full); `writers` (others write at the same time); `again` (every message is sent once
    more, late).
    """

    name: str
    role: Role
    hold: str
    next: str
    way: str
    cells: tuple[str, ...]  # by FAULTS: a key of OUTCOMES, or one of REASONS
    with_database: str = "users"  # of `coordinator and one database`


# point  role        held at        next      way       kill stop req reply partition [with]
TABLE: Final = """
cp0  coordinator  cp0@users       friends   straight  U N n n A
cp0  participant  cp0@users       friends   straight  E A n n A
cp0  database     cp0@users       friends   straight  E A n n A
cp0  users-db     cp0@users       friends   straight  U N U A N
cp0  both         cp0@users       friends   straight  U N o o N  users

cp1  coordinator  cp1@users       friends   straight  A A E E A
cp1  participant  cp1@users       friends   straight  E A A A A
cp1  database     cp1@users       friends   straight  E A A A A
cp1  users-db     cp1@users       friends   straight  E A r r A
cp1  both         cp1@users       friends   straight  A A o o A  friends

cp2  coordinator  cp2@friends     friends   straight  A A a E A
cp2  participant  cp2@friends     friends   straight  E A a A A
cp2  database     cp2@friends     friends   straight  E A E A A
cp2  users-db     cp2@messages    messages  straight  E A r r A
cp2  both         cp2@messages    messages  straight  A A o o A  messages

cp3  coordinator  cp3@messages    messages  straight  A A a E A
cp3  participant  cp3@messages    messages  straight  E A a A A
cp3  database     cp3@friends     friends   straight  E E d d E
cp3  users-db     cp3@friends     friends   straight  E A r r A
cp3  both         cp3@friends     friends   straight  A A o o A  friends

cp4  coordinator  cp4@users       messages  straight  A A E E A
cp4  participant  cp4@users       messages  straight  E A A A A
cp4  database     cp4@users       messages  straight  E A A A A
cp4  users-db     cp4@users       messages  straight  E A r r A
cp4  both         cp4@users       messages  straight  A A o o A  friends

cp5  coordinator  cp5@users       friends   straight  A A m m D
cp5  participant  cp5@users       friends   straight  D D m m D
cp5  database     cp5@users       messages  straight  D D m m D
cp5  users-db     cp5@users       friends   straight  E A A A A
cp5  both         cp5@users       friends   straight  A A o o A  users

cp6  coordinator  cp6@users       friends   straight  A A m m D
cp6  participant  cp6@users       messages  straight  D D m m D
cp6  database     cp6@users       friends   straight  D D m m D
cp6  users-db     cp6@users       friends   straight  A E A D E
cp6  both         cp6@users       friends   straight  A E o o E  users

cp7  coordinator  cp7@users       friends   straight  D D D D D
cp7  participant  cp7@users       friends   straight  D D D D D
cp7  database     cp7@users       friends   straight  D D D D D
cp7  users-db     cp7@users       friends   straight  D D f f D
cp7  both         cp7@users       friends   straight  D D o o D  friends

cp8  coordinator  cp8@users       messages  straight  D D D D D
cp8  participant  cp8@users       messages  straight  D D D D D
cp8  database     cp8@users       messages  straight  D D D D D
cp8  users-db     cp8@users       messages  straight  D D f f D
cp8  both         cp8@users       messages  straight  D D o o D  messages

cp9  coordinator  cp9@friends     friends   straight  D D a D D
cp9  participant  cp9@friends     friends   straight  D D a D D
cp9  database     cp9@messages    messages  straight  D D d d D
cp9  users-db     cp9@messages    messages  straight  D D f f D
cp9  both         cp9@messages    messages  straight  D D o o D  messages

cp10 coordinator  cp10@users      friends   straight  D D k k k
cp10 participant  cp10@users      friends   straight  k k k k k
cp10 database     cp10@users      friends   straight  D k k k k
cp10 users-db     cp10@users      friends   straight  D D D D D
cp10 both         cp10@users      friends   straight  D D o o D  users

cp11 coordinator  cp11@users      friends   abort     A A A A A
cp11 participant  cp11@friends    friends   abort     A A a A A
cp11 database     cp11@friends    friends   abort     A A A A A
cp11 users-db     cp11@friends    friends   abort     A A f f A
cp11 both         cp11@friends    friends   abort     A A o o A  friends

cp11m coordinator cp11m@friends   friends   abort     c c c c c
cp11m participant cp11m@friends   friends   abort     A A a A A
cp11m database    cp11m@friends   friends   abort     A A A A A
cp11m users-db    cp11m@friends   friends   abort     c c c c c
cp11m both        cp11m@friends   friends   abort     c c c c c  friends

cp12 coordinator  cp12@users      friends   late-cp5  A A A A A
cp12 participant  cp12@users      friends   late-cp7  D D D D D
cp12 database     cp12@users      friends   late-cp7  D D D D D
cp12 users-db     cp12@users      friends   late-cp5  A A A A A
cp12 both         cp12@users      friends   late-cp7  D D o o D  users

cp13 coordinator  cp13@users      friends   again     D D l l l
cp13 participant  cp13@users      friends   again     D D l l D
cp13 database     cp13@users      friends   again-abort A A A A A
cp13 users-db     cp13@users      friends   again     D D q q q
cp13 both         cp13@users      friends   again-abort A A o o A  friends

cp14 coordinator  cp7@users       friends   undone    D D D D D
cp14 participant  cp7@users       friends   undone    D D D D D
cp14 database     cp7@users       friends   undone    D D D D D
cp14 users-db     cp7@users       friends   undone    D D f f D
cp14 both         cp8@users       messages  undone    D D o o D  messages

cp15 coordinator  cp2@friends     friends   full      A A a A A
cp15 participant  cp2@friends     friends   full      A A a A A
cp15 database     cp2@friends     friends   full      A A A A A
cp15 users-db     cp2@messages    messages  full      A A r r A
cp15 both         cp2@messages    messages  full      A A o o A  messages

cp15d coordinator cp1@users       friends   disk      A A A A A
cp15d participant cp1@users       friends   disk      A A A A A
cp15d database    cp1@users       friends   disk      A A A A A
cp15d users-db    cp1@users       friends   disk      A A r r A
cp15d both        cp1@users       friends   disk      A A o o A  friends

cp16 coordinator  cp4@users       messages  writers   E E E E E
cp16 participant  cp3@messages    messages  writers   E E a E E
cp16 database     cp2@friends     friends   writers   E E E E E
cp16 users-db     cp5@users       friends   writers   E E E E E
cp16 both         cp7@users       friends   writers   E E o o E  friends
"""

# cp16 says "at each point": others write there, and nothing breaks.
BUSY_POINTS: Final = (
    "cp0@users", "cp1@users", "cp2@friends", "cp2@messages", "cp3@friends", "cp3@messages", "cp4@users",
    "cp5@users", "cp6@users", "cp7@users", "cp8@users", "cp9@friends", "cp9@messages", "cp10@users", "cp13@users",
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One place of the table. `reason` says why it has no meaning, if it has none."""

    point: Point
    fault: Fault
    outcomes: frozenset[Outcome] = frozenset()
    reason: str | None = None

    @property
    def name(self) -> str:
        return f"{self.point.name}/{self.point.role}/{self.fault}".replace(" ", "-")


def cells(*, no_disk: str | None = None, on_mongodb: Collection[str] = ()) -> Iterator[Cell]:
    """Every cell, in the order of the table, a commit that stalls, and cp16 at every point.

    `no_disk` says why no disk can be full here; the participants of `on_mongodb` keep their data there.
    """
    for point in points():
        for fault, key in zip(FAULTS, point.cells, strict=True):
            if point.way == "full" and point.next in on_mongodb:
                yield Cell(point, fault, reason=REASONS["s"])
            elif point.way == "disk" and no_disk is not None:
                yield Cell(point, fault, reason=no_disk)
            elif key in OUTCOMES:
                yield Cell(point, fault, OUTCOMES[key])
            else:
                yield Cell(point, fault, reason=REASONS[key])
    decision = Point("cp6", ROLES["users-db"], "cp6@users", "friends", "straight", ())
    yield Cell(decision, "stall", OUTCOMES["D"])
    for hold in BUSY_POINTS:
        yield Cell(Point(f"cp16 at {hold}", "coordinator", hold, "friends", "writers", ()), "none", OUTCOMES["E"])


def points() -> Iterator[Point]:
    for line in filter(None, map(str.strip, TABLE.splitlines())):
        name, role, hold, following, way, *rest = line.split()
        yield Point(name, ROLES[role], hold, following, way, tuple(rest[:5]), *rest[5:])

"""The commit protocol keeps its properties in every interleaving, and loses one with each line that is left out."""

from __future__ import annotations

import pytest

from tests.twophase.explore import Witness, explore, refused
from tests.twophase.model import (
    AGAIN,
    MARK,
    PREPARE,
    USUAL,
    Bounds,
    Branch,
    Coordinator,
    Decision,
    Mode,
    Protocol,
    Row,
    State,
    Variant,
)


def _waits(state: State, messages: tuple[str, str], *branches: Branch) -> bool:
    return any(state.branches[which] in branches and messages[which] in state.network for which in (0, 1))


# What must be met on the way, or "no violation" says nothing.
WITNESSES: dict[str, Witness] = {
    "COMMIT, finished, at rest": lambda state: (
        state.row is Row.COMMIT_FINISHED and not state.network and not state.workers
    ),
    "ABORT, finished, at rest": lambda state: (
        state.row is Row.ABORT_FINISHED and not state.network and not state.workers
    ),
    "two recoverers beside a coordinator that decides": lambda state: (
        state.coordinator is Coordinator.DECIDES and len(state.workers) == 2
    ),
    "two who commit": lambda state: [one.mode for one in state.workers] == [Mode.COMMITS] * 2,
    "a compare-and-set waits for the decision": lambda state: (
        state.decision is Decision.HOLDS and any(one.mode is Mode.SETTLES for one in state.workers)
    ),
    "the deadline passed between evaluation and COMMIT": lambda state: (
        state.decision is Decision.HOLDS and state.late
    ),
    "one committed, the other prepared": lambda state: (
        state.branches == (Branch.COMMITTED, Branch.PREPARED) and not state.workers
    ),
    "a branch prepared, its coordinator gone, nothing decided": lambda state: (
        state.coordinator is Coordinator.GONE and Branch.PREPARED in state.branches and state.row is Row.OPEN
    ),
    "a marker waits for a branch that runs": lambda state: _waits(state, MARK, Branch.RUNS),
    "a marker waits for a prepared branch": lambda state: _waits(state, MARK, Branch.PREPARED),
    "a second run waits for a prepared branch": lambda state: _waits(state, AGAIN, Branch.PREPARED),
    "a prepare is on its way after a finished ABORT": lambda state: (
        state.row is Row.ABORT_FINISHED and PREPARE[0] in state.network
    ),
    "two copies of one message": lambda state: len(set(state.network)) < len(state.network),
}

STEPS = [
    "coordinator: sends prepare to friends again",
    "friends: is prepared already, votes yes",
    "messages: refuses to prepare, votes no",
    "messages: the branch fails, votes no",
    "decision: evaluated, no row hit",
    "decision: rolled back by its database",
    "coordinator: gives up before the decision",
    "coordinator: loses the decision's answer",
    "coordinator: loses the decision's answer of a COMMIT that is durable",
    "compare-and-set: ABORT",
    "compare-and-set: no row hit, reads COMMIT",
    "compare-and-set: no row hit, reads ABORT",
    "recovery: finds 'open', settles",
    "recovery: finds 'COMMIT', commits",
    "recovery: finds 'ABORT', aborts",
    "sweep of friends: reads COMMIT, commits",
    "sweep of messages: reads ABORT, rolls back",
    "friends: 42704, the branch is committed, acks",
    "friends: 42704, no branch row",
    "friends: runs the branch again as a local transaction",
    "friends: a late prepare meets 'aborted', votes no",
    "messages: a late prepare meets 'committed', votes no",
    "users: the finished log row is forgotten",
    "fault: 'prepare messages' is lost",
    "fault: 'yes friends' is lost",
    "fault: 'ack messages' is lost",
    "fault: 'prepare friends' is duplicated",
    "fault: 'commit friends' is duplicated",
    "fault: the coordinator crashes",
    "fault: a worker that commits crashes",
    "fault: a worker that aborts crashes",
    "fault: friends crashes",
    "fault: messages crashes",
    "fault: the branch of friends is rolled back by hand",
    "fault: compare-and-set: ABORT, its answer lost",
]
NEVER = ["damage", "no such row", "plain read", "taken for COMMIT", "no outcome"]


def test_the_protocol_keeps_every_property_wherever_it_can_go() -> None:
    result = explore(Protocol(bounds=USUAL), witnesses=WITNESSES)
    print(f"{result.states:,} states, {result.transitions:,} transitions, in {result.seconds:.1f} s")
    assert result.counterexample is None, str(result.counterexample)
    assert result.states > 95_000
    assert result.faults == USUAL.faults == 2  # every pair of faults
    assert [name for name, states in result.witnessed.items() if not states] == []
    assert [name for name in STEPS if not result.taken[name]] == []
    assert [name for name in result.taken if any(part in name for part in NEVER)] == []


@pytest.mark.parametrize(
    ("variant", "judged", "broken", "matters"),
    [
        # The eight that the protocol's issue lists.
        (Variant.NO_LOG_ROW, "abcd", "d", "coordinator: sends prepare to friends"),
        (Variant.NO_LOG_ROW, "a", "a", "sweep of friends: reads no such row, rolls back"),
        (Variant.PREPARE_FIRST, "abcd", "d", "coordinator: sends prepare to friends"),
        (Variant.PREPARE_FIRST, "a", "a", "sweep of friends: reads no such row, rolls back"),
        (Variant.NO_COMPARE_AND_SET, "abcd", "a", "decision: evaluated, holds the row"),
        (Variant.PLAIN_READ, "abcd", "a", "plain read: 'open', aborts"),
        (Variant.NO_HIT_IS_COMMIT, "abcd", "a", "compare-and-set: no row hit, taken for COMMIT"),
        (Variant.EARLY_FINISH, "abcd", "a", "worker that commits: finishes"),
        (Variant.NO_DEADLINE, "abcd", "b", "decision: evaluated, holds the row"),
        (Variant.NO_MARKER, "abcd", "c", "worker that aborts: has the ack of friends"),
        # And more of the lines that protect it.
        (Variant.EARLY_END, "abcd", "c", "worker that aborts: finishes"),
        (Variant.ABORT_OVERWRITES, "abcd", "a", "compare-and-set: ABORT"),
        (Variant.NOW, "abcd", "b", "decision: evaluated, holds the row"),
        (Variant.ABSENT_IS_ACK, "abcd", "a", "worker that commits: has the ack of friends"),
        (Variant.HASTY_SWEEP, "abcd", "a", "sweep of friends: reads no outcome, rolls back"),
    ],
)
def test_each_wrong_variant_breaks_a_property(variant: Variant, judged: str, broken: str, matters: str) -> None:
    # All but one need no fault at all: delay, order and giving up are enough.
    bounds = Bounds(faults=1, workers=1) if variant is Variant.ABSENT_IS_ACK else Bounds(faults=0)
    found = explore(Protocol(variant, bounds), judged=judged).counterexample
    print(found)
    assert found is not None
    assert found.property == broken
    assert found.trace
    way = found.trace + found.healing
    assert matters in way
    assert refused(Protocol(variant, bounds), way) is None
    # The protocol itself can't go that way.
    assert refused(Protocol(bounds=bounds), way) is not None
    if judged == "abcd":
        assert refused(Protocol(bounds=bounds), way) == matters


def test_two_who_settle_follow_one_outcome() -> None:
    """The way that the protocol was made for: a COMMIT that lands after its coordinator gave it up."""
    way = [
        "coordinator: the log row is durable",
        "coordinator: sends prepare to friends",
        "friends: begins to prepare",
        "friends: PREPARE TRANSACTION, votes yes",
        "coordinator: friends voted yes, sends prepare to messages",
        "messages: begins to prepare",
        "messages: PREPARE TRANSACTION, votes yes",
        "coordinator: messages voted yes",
        "coordinator: sends the decision",
        "decision: evaluated, holds the row",
        "coordinator: loses the decision's answer",
        "the deadline passes",
        "recovery: finds 'open', settles",
    ]
    protocol = Protocol(bounds=Bounds(faults=0))
    assert refused(protocol, way) is None
    assert refused(protocol, [*way, "compare-and-set: ABORT"]) == "compare-and-set: ABORT"  # waits for the row
    landed = [*way, "decision: COMMIT and the tombstone are durable"]
    assert refused(protocol, [*landed, *["compare-and-set: no row hit, reads COMMIT"] * 2]) is None
    assert refused(protocol, [*landed, "compare-and-set: ABORT"]) == "compare-and-set: ABORT"

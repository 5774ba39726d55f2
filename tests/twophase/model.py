"""The commit protocol of account deletion as a transition system: pure functions over hashable states.

One deletion, one gid. *Users* is coordinator and last agent; *friends* and *messages* are participants.

Modelled:

- Users' database: the log row (none, open, COMMIT, ABORT, each finished or not, forgotten after its days), the
  tombstone, the deadline as a step that may come at any time, and the decision's transaction: on its way,
  evaluated (it holds the row from then on), durable or rolled back, its answer read or lost. The compare-and-set to
  ABORT waits for the row; a plain read, a recoverer's first look and the sweep do not.
- A participant's database: no branch row, a branch transaction that runs, prepared, committed, an abort marker.
  Running and prepared branches hold their locks, and whoever inserts the same branch row waits for them.
  ROLLBACK PREPARED and the marker's insert are two steps, and so are 42704 with an absent branch row and the
  branch's second run as a local transaction; anything may come between.
- The coordinator's process, with what it alone knows: how far it is and which votes it has. It may give up waiting
  at any step (for a vote, for the decision's answer) and then settles, or crash at any step and be gone.
- Workers: whoever settles, commits or aborts, with the acks that they alone know. The coordinator becomes one when
  it is done with the decision; recovery starts others at any time, beside it and beside each other, by no more than
  what the log row says. Leases are left out: they save work, nothing may depend on them.
- The sweep of a participant: it asks for the outcome of a prepared branch at any time and acts on the answer later.
  It rolls back as an abort does: ROLLBACK PREPARED and the marker.
- The network: a bounded multiset of messages, delivered in any order, lost and duplicated. The second half of a
  participant's handler is a message to itself, which its crash loses.
- Somebody who rolls back a prepared branch by hand.

Abstracted:

- Time: there is no clock but "the deadline has passed". Time-outs, delays and pauses (SIGSTOP) are steps that come,
  or do not.
- Data: a participant's contents are gone exactly if its branch is committed, else as before. Fences, writers,
  outbox, events and caches are not here.
- The compare-and-set to ABORT is one step: it holds the row for nobody to meet.
- A statement of recovery, or the log row's insert, that is evaluated after its sender died is the same as a sender
  who dies after it was evaluated. A participant's database that crashes is its process that crashes: prepared
  branches survive. Users' database that crashes rolls the decision's transaction back.
- Answers are addressed: a vote that nobody waits for, and an ack that no living worker lacks, is gone at once. An
  ack may reach any worker who lacks it, whoever asked; that only adds behaviour. A request to abort is its answer
  as soon as the marker is in. Once the outcome is set and no decision is on its way, the deadline means nothing and
  counts as passed. All this merges states that differ in nothing.
- Workers are alike, so only how many are where is kept.
- The log row is forgotten (after seven days) only when no message and no worker is left; a prepared branch may be.
- One deletion: a second try has a gid of its own.

Bounds: the faults of a run (each loss, duplicate, crash and roll-back by hand is one; delay, reordering, giving up,
no votes, the deadline, recovery and the sweep are free), the copies of one message on its way, and the workers at
once. With two copies and two workers the states are few enough for any number of faults. A message is sent again
whenever no copy is on its way; a second copy is a fault, wherever it may come from.

`python -m tests.twophase --deep` looks further than the tests do; `--wrong` shows how each wrong variant fails.

Properties, as the documents name them: (a) the oracle, (b) no COMMIT by a statement evaluated after the deadline,
(c) after a finished ABORT no prepare takes a lock, (d) nothing is sent before the log row is durable.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

PARTICIPANTS = ("friends", "messages")
NOBODY, EVERYBODY = 0, 3  # sets of participants, one bit each


class Coordinator(StrEnum):
    IDLE = "idle"
    BEGUN = "begun"  # the log row is in, nothing sent
    ASKS_FRIENDS = "asks friends"
    ASKS_MESSAGES = "asks messages"
    READY = "ready"  # both votes are yes
    DECIDES = "decides"  # waits for the decision's answer
    GONE = "gone"  # crashed, or at work as one of the workers


ASKS = (Coordinator.ASKS_FRIENDS, Coordinator.ASKS_MESSAGES)


class Row(StrEnum):
    """The log row. Readers take a forgotten one for none; the model keeps apart what it was."""

    NONE = "none"
    OPEN = "open"
    COMMIT = "COMMIT"
    ABORT = "ABORT"
    COMMIT_FINISHED = "COMMIT, finished"
    ABORT_FINISHED = "ABORT, finished"
    COMMIT_FORGOTTEN = "COMMIT, forgotten"
    ABORT_FORGOTTEN = "ABORT, forgotten"


COMMITS = (Row.COMMIT, Row.COMMIT_FINISHED, Row.COMMIT_FORGOTTEN)
ABORTS = (Row.ABORT, Row.ABORT_FINISHED, Row.ABORT_FORGOTTEN)
FINISHED_ABORTS = (Row.ABORT_FINISHED, Row.ABORT_FORGOTTEN)
UNDECIDED = (Row.NONE, Row.OPEN)
UNREADABLE = (Row.NONE, Row.COMMIT_FORGOTTEN, Row.ABORT_FORGOTTEN)


class Decision(StrEnum):
    """The transaction that writes COMMIT and the tombstone, seen from its database."""

    NONE = "none"
    SENT = "sent"
    HOLDS = "holds the row"  # its UPDATE hit the row before the deadline; not durable yet
    HOLDS_LATE = "holds the row, evaluated late"  # only wrong variants come here
    LANDED = "landed"  # durable, the answer on its way
    MISSED = "missed"  # no row hit, the answer on its way


ANSWERS = (Decision.LANDED, Decision.MISSED)


class Branch(StrEnum):
    NONE = "none"  # never there, or rolled back: nothing tells the two apart
    RUNS = "runs"
    PREPARED = "prepared"
    COMMITTED = "committed"
    ABORTED = "aborted"  # the marker


LOCKS = (Branch.RUNS, Branch.PREPARED)


class Mode(StrEnum):
    SETTLES = "settles"
    COMMITS = "commits"
    ABORTS = "aborts"
    LOOKS = "looks"  # wrong: settles a lost COMMIT by a plain read
    GUESSES = "guesses"  # wrong: takes no row hit for COMMIT


class Worker(NamedTuple):
    mode: Mode
    acks: int = NOBODY


def _both(kind: str) -> tuple[str, str]:
    return (f"{kind} {PARTICIPANTS[0]}", f"{kind} {PARTICIPANTS[1]}")


# What may be on its way, to or from each participant.
PREPARE, YES, NO = _both("prepare"), _both("yes"), _both("no")
COMMIT, ACK = _both("commit"), _both("ack")
ABORT, MARKED = _both("abort"), _both("marked")
MARK, AGAIN = _both("to mark"), _both("to run again")  # a handler's second half

_WANTED = {message: ASKS[which] for which in (0, 1) for message in (YES[which], NO[which])}
_OWN = frozenset(MARK + AGAIN)
# Once the branch is what was asked for, the request can only lead to the answer.
_SETTLED = {
    **{ABORT[which]: (which, Branch.ABORTED, MARKED[which]) for which in (0, 1)},
    **{MARK[which]: (which, Branch.ABORTED, MARKED[which]) for which in (0, 1)},
    **{AGAIN[which]: (which, Branch.COMMITTED, ACK[which]) for which in (0, 1)},
}
_ACKED = {ACK[which]: (Mode.COMMITS, 1 << which) for which in (0, 1)} | {
    MARKED[which]: (Mode.ABORTS, 1 << which) for which in (0, 1)
}


class State(NamedTuple):
    coordinator: Coordinator
    row: Row
    late: bool
    tombstone: bool
    decision: Decision
    branches: tuple[Branch, Branch]
    workers: tuple[Worker, ...]  # sorted
    network: tuple[str, ...]  # sorted


class Step(NamedTuple):
    name: str
    after: State


class Variant(StrEnum):
    """The protocol, and what it would be without each line that protects it."""

    CORRECT = "the protocol"
    NO_LOG_ROW = "no log row with a sweep"
    PREPARE_FIRST = "prepare sent before the log row"
    NO_COMPARE_AND_SET = "decision without compare-and-set"
    PLAIN_READ = "a plain read after a lost COMMIT"
    NO_HIT_IS_COMMIT = "no row hit taken for COMMIT"
    EARLY_FINISH = "finish before all acks"
    NO_DEADLINE = "no deadline check"
    NO_MARKER = "no abort marker"
    EARLY_END = "an ABORT finished before all markers"
    ABORT_OVERWRITES = "recovery's ABORT without compare-and-set"
    NOW = "the deadline compared with now(), the transaction's start"
    ABSENT_IS_ACK = "42704 with no branch row taken for an ack"
    HASTY_SWEEP = "a sweep that rolls back what is undecided"


class Bounds(NamedTuple):
    """How far to look: faults in one run (None: any number), copies of one message on its way, workers at once."""

    faults: int | None = 2
    copies: int = 2
    workers: int = 2


USUAL = Bounds()


def _plus(network: tuple[str, ...], message: str) -> tuple[str, ...]:
    return tuple(sorted((*network, message)))


def _minus(network: tuple[str, ...], message: str) -> tuple[str, ...]:
    at = network.index(message)
    return network[:at] + network[at + 1 :]


def _with(branches: tuple[Branch, Branch], which: int, branch: Branch) -> tuple[Branch, Branch]:
    return (branch, branches[1]) if which == 0 else (branches[0], branch)


def _holds(state: State) -> bool:
    return state.decision in (Decision.HOLDS, Decision.HOLDS_LATE)


def _tidy(state: State) -> State:
    """Drop what can have no effect any more, so that states which differ in nothing are one."""
    network, decision = state.network, state.decision
    if network:
        kept = tuple([told for message in network if (told := _told(state, message)) is not None])
        if kept != network:
            state = state._replace(network=tuple(sorted(kept)))
    if decision in ANSWERS and state.coordinator is not Coordinator.DECIDES:
        decision = Decision.NONE
        state = state._replace(decision=decision)
    if not state.late and decision is not Decision.SENT and state.row not in UNDECIDED:
        state = state._replace(late=True)
    return state


def _told(state: State, message: str) -> str | None:
    """The message, or None if nobody waits for it, or the answer instead of what can only lead to that answer."""
    if message in _WANTED:
        return message if state.coordinator is _WANTED[message] else None
    if message in _SETTLED:
        which, branch, answer = _SETTLED[message]
        if state.branches[which] is not branch:
            return message
        message = answer
    if message in _ACKED:
        mode, bit = _ACKED[message]
        for worker in state.workers:
            if worker.mode is mode and not worker.acks & bit:
                return message
        return None
    return message


@dataclass(frozen=True)
class Protocol:
    """The steps of one variant within bounds, and what each property says of them."""

    variant: Variant = Variant.CORRECT
    bounds: Bounds = USUAL

    def start(self) -> State:
        return State(
            coordinator=Coordinator.IDLE,
            row=Row.NONE,
            late=False,
            tombstone=False,
            decision=Decision.NONE,
            branches=(Branch.NONE, Branch.NONE),
            workers=(),
            network=(),
        )

    # Steps

    def free(self, state: State) -> Iterator[Step]:
        """Everything that may happen next and is no fault."""
        yield from self.fair(state)
        yield from self.choices(state)

    def fair(self, state: State) -> Iterator[Step]:
        """What happens by itself in the end, the promptest first: healing always takes the first one."""
        # Nothing here may count on its place: an exploration takes every one of them at any time.
        for message in dict.fromkeys(state.network):
            yield from self._delivered(state, message)
        for which in (0, 1):
            if state.branches[which] is Branch.RUNS:
                name = f"{PARTICIPANTS[which]}: PREPARE TRANSACTION, votes yes"
                yield self._step(name, state, branch=(which, Branch.PREPARED), sends=YES[which])
        yield from self._decision(state)
        yield from self._coordinator(state)
        for at, worker in enumerate(state.workers):
            if worker not in state.workers[:at]:
                yield from self._worker(state, worker)
        yield from self._patience(state)
        if len(state.workers) < self.bounds.workers:
            yield from self._recovery(state)
        yield from self._sweep(state)

    def choices(self, state: State) -> Iterator[Step]:
        """What may happen and need not."""
        for which in (0, 1):
            if PREPARE[which] in state.network and state.branches[which] is Branch.NONE:
                name = f"{PARTICIPANTS[which]}: refuses to prepare, votes no"
                yield self._step(name, state, takes=PREPARE[which], sends=NO[which])
            if state.branches[which] is Branch.RUNS:
                name = f"{PARTICIPANTS[which]}: the branch fails, votes no"
                yield self._step(name, state, branch=(which, Branch.NONE), sends=NO[which])
        if _holds(state):
            yield self._step("decision: rolled back by its database", state, decision=Decision.NONE)
        if state.decision is Decision.SENT:
            yield self._step("decision: never evaluated", state, decision=Decision.NONE)
        idle = state.coordinator is Coordinator.GONE and not state.workers and not state.network
        if idle and state.row in (Row.COMMIT_FINISHED, Row.ABORT_FINISHED):
            row = Row.COMMIT_FORGOTTEN if state.row is Row.COMMIT_FINISHED else Row.ABORT_FORGOTTEN
            yield self._step("users: the finished log row is forgotten", state, row=row)

    def faults(self, state: State) -> Iterator[Step]:
        """What goes wrong; the explorer counts these."""
        for message in dict.fromkeys(state.network):
            yield self._step(f"fault: '{message}' is lost", state, takes=message)
            if message not in _OWN and state.network.count(message) < self.bounds.copies:
                twice = state._replace(network=_plus(state.network, message))
                yield self._step(f"fault: '{message}' is duplicated", twice)
        if state.coordinator not in (Coordinator.IDLE, Coordinator.GONE):
            yield self._step("fault: the coordinator crashes", state, coordinator=Coordinator.GONE)
        for worker in dict.fromkeys(state.workers):
            yield self._step(f"fault: a worker that {worker.mode} crashes", state, worker=(worker, None))
        for which in (0, 1):
            mine = {MARK[which], AGAIN[which]}
            if state.branches[which] is Branch.RUNS or not mine.isdisjoint(state.network):
                branch = Branch.NONE if state.branches[which] is Branch.RUNS else state.branches[which]
                left = tuple(message for message in state.network if message not in mine)
                name = f"fault: {PARTICIPANTS[which]} crashes"
                yield self._step(name, state._replace(network=left), branch=(which, branch))
            if state.branches[which] is Branch.PREPARED:
                name = f"fault: the branch of {PARTICIPANTS[which]} is rolled back by hand"
                yield self._step(name, state, branch=(which, Branch.NONE))
        if state.row is Row.OPEN and not _holds(state) and any(one.mode is Mode.SETTLES for one in state.workers):
            yield self._step("fault: compare-and-set: ABORT, its answer lost", state, row=Row.ABORT)

    def _delivered(self, state: State, message: str) -> Iterator[Step]:
        """A participant's handlers, and the answers that reach the coordinator and the workers."""
        kind, _, name = message.rpartition(" ")
        which = PARTICIPANTS.index(name)
        branch = state.branches[which]
        match kind:
            case "prepare" if branch is Branch.NONE:
                yield self._step(f"{name}: begins to prepare", state, takes=message, branch=(which, Branch.RUNS))
            case "prepare" if branch is Branch.PREPARED:
                yield self._step(f"{name}: is prepared already, votes yes", state, takes=message, sends=YES[which])
            case "prepare" if branch is not Branch.RUNS:  # its insert fails on the primary key
                told = f"{name}: a late prepare meets '{branch}', votes no"
                yield self._step(told, state, takes=message, sends=NO[which])
            case "yes" if which == 0:
                yield self._step(
                    "coordinator: friends voted yes, sends prepare to messages",
                    state,
                    takes=message,
                    sends=PREPARE[1],
                    coordinator=Coordinator.ASKS_MESSAGES,
                )
            case "yes":
                told = "coordinator: messages voted yes"
                yield self._step(told, state, takes=message, coordinator=Coordinator.READY)
            case "no":
                yield self._becomes(f"coordinator: {name} voted no", state, Worker(Mode.SETTLES), takes=message)
            case "commit":
                yield self._committed(state, which)
            case "abort":
                yield self._aborted(state, which)
            case "to run again" if branch is Branch.NONE:
                told = f"{name}: runs the branch again as a local transaction"
                yield self._step(told, state, takes=message, branch=(which, Branch.COMMITTED), sends=ACK[which])
            case "to run again" if branch is Branch.ABORTED:
                yield self._step(f"{name}: damage: an abort marker", state, takes=message)
            case "to mark" if branch is Branch.NONE:
                told = f"{name}: inserts the abort marker"
                yield self._step(told, state, takes=message, branch=(which, Branch.ABORTED), sends=MARKED[which])
            case "to mark" if branch is Branch.COMMITTED:
                yield self._step(f"{name}: damage: committed", state, takes=message)
            case "ack" | "marked":
                mode, bit = _ACKED[message]
                for worker in dict.fromkeys(state.workers):
                    if worker.mode is mode and not worker.acks & bit:
                        told = f"worker that {mode}: has the ack of {name}"
                        now = Worker(mode, worker.acks | bit)
                        yield self._step(told, state, takes=message, worker=(worker, now))

    def _committed(self, state: State, which: int) -> Step:
        name, message = PARTICIPANTS[which], COMMIT[which]
        match state.branches[which]:
            case Branch.PREPARED:
                told = f"{name}: COMMIT PREPARED, acks"
                return self._step(told, state, takes=message, branch=(which, Branch.COMMITTED), sends=ACK[which])
            case Branch.COMMITTED:
                return self._step(
                    f"{name}: 42704, the branch is committed, acks", state, takes=message, sends=ACK[which]
                )
            case Branch.ABORTED:
                return self._step(f"{name}: 42704, damage: an abort marker", state, takes=message)
            case _:
                sends = ACK[which] if self.variant is Variant.ABSENT_IS_ACK else AGAIN[which]
                return self._step(f"{name}: 42704, no branch row", state, takes=message, sends=sends)

    def _aborted(self, state: State, which: int) -> Step:
        name, message = PARTICIPANTS[which], ABORT[which]
        sends = MARKED[which] if self.variant is Variant.NO_MARKER else MARK[which]
        if state.branches[which] is Branch.PREPARED:
            told = f"{name}: ROLLBACK PREPARED"
            return self._step(told, state, takes=message, branch=(which, Branch.NONE), sends=sends)
        return self._step(f"{name}: nothing prepared to roll back", state, takes=message, sends=sends)

    def _decision(self, state: State) -> Iterator[Step]:
        """What users' database makes of the decision."""
        if state.decision is Decision.SENT:
            found = state.row is Row.OPEN or (
                self.variant is Variant.NO_COMPARE_AND_SET and state.row not in UNREADABLE
            )
            if self.variant is Variant.NO_LOG_ROW:
                found = state.row is Row.NONE
            in_time = not state.late or self.variant in (Variant.NO_DEADLINE, Variant.NOW)
            if found and in_time:
                hit = Decision.HOLDS_LATE if state.late else Decision.HOLDS
                yield self._step("decision: evaluated, holds the row", state, decision=hit)
            else:
                yield self._step("decision: evaluated, no row hit", state, decision=Decision.MISSED)
        if _holds(state):
            told, marked = "decision: COMMIT and the tombstone are durable", state._replace(tombstone=True)
            yield self._step(told, marked, row=Row.COMMIT, decision=Decision.LANDED)

    def _coordinator(self, state: State) -> Iterator[Step]:
        """The coordinator's main line, while nobody makes it wait."""
        here, network = state.coordinator, state.network
        first = self.variant in (Variant.PREPARE_FIRST, Variant.NO_LOG_ROW)
        if here is Coordinator.IDLE and not first:
            yield self._step(
                "coordinator: the log row is durable", state, coordinator=Coordinator.BEGUN, row=Row.OPEN
            )
        if here is Coordinator.BEGUN or (here is Coordinator.IDLE and first):
            told = "coordinator: sends prepare to friends"
            yield self._step(told, state, sends=PREPARE[0], coordinator=Coordinator.ASKS_FRIENDS)
        if self.variant is Variant.PREPARE_FIRST and here in (*ASKS, Coordinator.READY) and state.row is Row.NONE:
            yield self._step("coordinator: the log row is durable", state, row=Row.OPEN)
            return
        if here in ASKS:
            which = ASKS.index(here)
            # While the first one is at work, a second is a duplicate, and so a fault.
            works = state.branches[which] is Branch.RUNS
            if not works and not {PREPARE[which], YES[which], NO[which]} & set(network):
                told = f"coordinator: sends prepare to {PARTICIPANTS[which]} again"
                yield self._step(told, state, sends=PREPARE[which])
        if here is Coordinator.READY:
            if self.variant is Variant.NOW and state.late:
                yield self._becomes("coordinator: starts the decision too late", state, Worker(Mode.SETTLES))
            else:
                told = "coordinator: sends the decision"
                yield self._step(told, state, coordinator=Coordinator.DECIDES, decision=Decision.SENT)
        if here is Coordinator.DECIDES and state.decision is Decision.LANDED:
            yield self._becomes("coordinator: knows that COMMIT is durable", state, Worker(Mode.COMMITS))
        if here is Coordinator.DECIDES and state.decision is Decision.MISSED:
            yield self._becomes("coordinator: its decision hit no row", state, Worker(Mode.SETTLES))

    def _worker(self, state: State, worker: Worker) -> Iterator[Step]:
        if worker.mode in (Mode.COMMITS, Mode.ABORTS):
            yield from self._loop(state, worker)
            return
        gone = self._step(f"worker that {worker.mode}: finds nothing to do", state, worker=(worker, None))
        if worker.mode is Mode.LOOKS:
            mode = Mode.COMMITS if state.row in COMMITS else Mode.ABORTS
            yield self._step(f"plain read: '{state.row}', {mode}", state, worker=(worker, Worker(mode)))
            return
        if _holds(state):
            return  # the compare-and-set waits for the row
        aborts = Worker(Mode.ABORTS)
        if (
            state.row is Row.OPEN
            or (state.row is Row.NONE and self.variant is Variant.NO_LOG_ROW)
            or (state.row is Row.COMMIT and self.variant is Variant.ABORT_OVERWRITES)
        ):
            yield self._step("compare-and-set: ABORT", state, row=Row.ABORT, worker=(worker, aborts))
        elif worker.mode is Mode.GUESSES and state.row not in UNREADABLE:
            told = "compare-and-set: no row hit, taken for COMMIT"
            yield self._step(told, state, worker=(worker, Worker(Mode.COMMITS)))
        elif state.row is Row.ABORT:
            yield self._step("compare-and-set: no row hit, reads ABORT", state, worker=(worker, aborts))
        elif state.row is Row.COMMIT:
            now = Worker(Mode.COMMITS)
            yield self._step("compare-and-set: no row hit, reads COMMIT", state, worker=(worker, now))
        else:
            yield gone

    def _loop(self, state: State, worker: Worker) -> Iterator[Step]:
        """Ask until everybody has answered, then finish."""
        commits = worker.mode is Mode.COMMITS
        early = Variant.EARLY_FINISH if commits else Variant.EARLY_END
        outcome, done = (Row.COMMIT, Row.COMMIT_FINISHED) if commits else (Row.ABORT, Row.ABORT_FINISHED)
        if worker.acks == EVERYBODY or self.variant is early:
            row = done if state.row is outcome else state.row
            yield self._step(f"worker that {worker.mode}: finishes", state, row=row, worker=(worker, None))
        requests, answers = (COMMIT, ACK) if commits else (ABORT, MARKED)
        for which in (0, 1):
            if not worker.acks & 1 << which and not {requests[which], answers[which]} & set(state.network):
                yield self._step(
                    f"worker that {worker.mode}: asks {PARTICIPANTS[which]}", state, sends=requests[which]
                )

    def _patience(self, state: State) -> Iterator[Step]:
        """Giving up, and the deadline: when nothing else goes on, or at any time."""
        if state.coordinator in (*ASKS, Coordinator.READY):
            yield self._becomes("coordinator: gives up before the decision", state, Worker(Mode.SETTLES))
        if state.coordinator is Coordinator.DECIDES:
            mode = {Variant.PLAIN_READ: Mode.LOOKS, Variant.NO_HIT_IS_COMMIT: Mode.GUESSES}
            worker = Worker(mode.get(self.variant, Mode.SETTLES))
            lost = " of a COMMIT that is durable" if state.decision is Decision.LANDED else ""
            yield self._becomes(f"coordinator: loses the decision's answer{lost}", state, worker)
        if not state.late and (state.row is Row.OPEN or state.decision is Decision.SENT):
            yield self._step("the deadline passes", state._replace(late=True))

    def _recovery(self, state: State) -> Iterator[Step]:
        mode = {Row.COMMIT: Mode.COMMITS, Row.ABORT: Mode.ABORTS}.get(state.row)
        if state.row is Row.OPEN and state.late:
            mode = Mode.SETTLES
        if mode is not None:
            yield self._step(f"recovery: finds '{state.row}', {mode}", state, worker=(None, Worker(mode)))

    def _sweep(self, state: State) -> Iterator[Step]:
        for which in (0, 1):
            if state.branches[which] is not Branch.PREPARED:
                continue
            told = f"sweep of {PARTICIPANTS[which]}: reads"
            if state.row in UNREADABLE:
                yield self._step(f"{told} no such row, rolls back", state, sends=ABORT[which])
            elif state.row in COMMITS:
                yield self._step(f"{told} COMMIT, commits", state, sends=COMMIT[which])
            elif state.row in ABORTS:
                yield self._step(f"{told} ABORT, rolls back", state, sends=ABORT[which])
            elif self.variant is Variant.HASTY_SWEEP:
                yield self._step(f"{told} no outcome, rolls back", state, sends=ABORT[which])

    def _becomes(self, name: str, state: State, worker: Worker, *, takes: str | None = None) -> Step:
        """The coordinator goes on as a worker, and so knows only what a worker knows."""
        return self._step(name, state, takes=takes, coordinator=Coordinator.GONE, worker=(None, worker))

    def _step(
        self,
        name: str,
        state: State,
        *,
        takes: str | None = None,
        sends: str | None = None,
        branch: tuple[int, Branch] | None = None,
        worker: tuple[Worker | None, Worker | None] | None = None,
        coordinator: Coordinator | None = None,
        row: Row | None = None,
        decision: Decision | None = None,
    ) -> Step:
        """The state after one step: a message taken, one sent, a worker that changes from one to another, ..."""
        network, workers = state.network, state.workers
        if takes is not None:
            network = _minus(network, takes)
        if sends is not None and sends not in network:
            network = _plus(network, sends)
        if worker is not None:
            before, after = worker
            those = list(workers)
            if before is not None:
                those.remove(before)
            if after is not None:
                those.append(after)
            workers = tuple(sorted(those))
        changed = State(
            coordinator=coordinator or state.coordinator,
            row=row or state.row,
            late=state.late,
            tombstone=state.tombstone,
            decision=decision or state.decision,
            branches=state.branches if branch is None else _with(state.branches, *branch),
            workers=workers,
            network=network,
        )
        return Step(name, _tidy(changed))

    # Properties

    def broken(self, before: State, after: State) -> list[tuple[str, str]]:
        """The properties that one step breaks, with what is wrong."""
        wrong = []
        if Branch.COMMITTED in after.branches and not after.tombstone:
            wrong.append(("a", "a participant is committed without a decision to commit"))
        if after.tombstone and Branch.ABORTED in after.branches:
            wrong.append(("a", "a participant is aborted for good beside the tombstone"))
        if after.row in ABORTS and (after.tombstone or before.row in COMMITS):
            wrong.append(("a", "ABORT after the tombstone"))
        if before.row in ABORTS and after.row in COMMITS:
            wrong.append(("a", "COMMIT after ABORT"))
        if before.decision is Decision.HOLDS_LATE and after.tombstone and not before.tombstone:
            wrong.append(("b", "COMMIT is durable by a statement that was evaluated after the deadline"))
        if before.row in FINISHED_ABORTS:
            for was, branch in zip(before.branches, after.branches, strict=True):
                if branch in LOCKS and was not in LOCKS:
                    wrong.append(("c", "a prepare takes its locks after the ABORT was finished"))
        if after.row is Row.NONE and after.network:
            wrong.append(("d", "something was sent and there is no log row"))
        return wrong

    def unhealed(self, state: State) -> str | None:
        """What is wrong with a state in which nothing more happens by itself, by property (a); None: nothing."""
        if any(branch in LOCKS for branch in state.branches):
            return "a branch is left behind"
        if state.row in (Row.OPEN, Row.COMMIT, Row.ABORT):
            return "a log row is left unfinished"
        if state.tombstone and state.branches != (Branch.COMMITTED, Branch.COMMITTED):
            return "a tombstone, and a participant that is not committed"
        if not state.tombstone and Branch.COMMITTED in state.branches:
            return "a participant is committed without a tombstone"
        return None

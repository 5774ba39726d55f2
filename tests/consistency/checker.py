"""Judges a history: what was shown though it could not be, and what was missing though it had to be there.

Sound under lost answers: an operation whose outcome nobody knows may have happened at any moment until `SETTLES`
seconds after its client gave up, or never; only what no possible order of events explains is a violation.

Two measures. What takes something away (a deletion, a withdrawal, a block, the end of a friendship, a narrower
audience) holds for everybody's reads from its acknowledgement on (I4, I9). What adds something has to be seen by
those who did it, saw it, or saw what was said in sight of it (I5: read your writes, monotonic reads, writes follow
reads; Terry et al., Session Guarantees for Weakly Consistent Replicated Data, 1994), or who was told of it by
somebody who did.
"""

from __future__ import annotations

import math
from bisect import insort
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.consistency.history import INITIAL, History, Message, Operation, Register, Shown, Sight, pair

SETTLES = 30.0  # seconds; longer than a route's deadline, a transaction's, and a stopped process together
DURABLE = "acknowledged to who wrote it"
RECENT = 20  # how many of the messages that somebody saw last count as read before they write


READ_YOUR_WRITES = "read your writes"
MONOTONIC_READS = "monotonic reads"
WRITES_FOLLOW_READS = "writes follow reads"
ACROSS_PEOPLE = "causality across people"
NO_MESSAGE_WITHOUT_AUTHOR = "no visible message without its author"
NO_EDGE_TO_TOMBSTONE = "no edge to a tombstone"
DELETED_STAYS_DELETED = "deleted content never comes back"
TAKEN_AWAY = "what was taken away"
ONE_EFFECT = "one effect"


@dataclass(frozen=True, slots=True)
class Violation:
    """`proof` are the operations that cannot all have happened as they were answered."""

    invariant: str
    what: str
    proof: tuple[Operation, ...] = ()
    guarantee: str = TAKEN_AWAY

    def in_words(self) -> str:
        return "\n    ".join([f"{self.invariant}: {self.what}", *(one.in_words() for one in self.proof)])


@dataclass(slots=True, eq=False)
class Write:
    """It happened between `invoked` and `latest`; for certain if `sure`."""

    values: frozenset[str]
    invoked: float
    latest: float
    sure: bool
    operation: Operation | None = None


@dataclass(slots=True, eq=False)
class Session:
    """What one client did and saw."""

    floors: dict[Register, float] = field(default_factory=dict)  # what happened before is over, for this client
    grounds: dict[Register, str] = field(default_factory=dict)  # by which guarantee
    versions: dict[str, int] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)  # messages that they know, and from where
    by_author: defaultdict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    by_parent: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    friends: set[str] = field(default_factory=set)  # with whom they ever were, or saw that they were
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT))

    def passes(self, register: Register, moment: float, ground: str) -> None:
        if moment > self.floors.get(register, -math.inf):
            self.floors[register] = moment
            self.grounds[register] = ground

    def told_by(self, other: Session) -> Session:
        """What this client may rely on when it goes on with another's token, and no longer with its own."""
        return Session(
            floors=dict(other.floors),
            grounds=dict.fromkeys(other.grounds, ACROSS_PEOPLE),
            versions=dict(other.versions),
            why=dict.fromkeys(other.why, ACROSS_PEOPLE),
            by_author=defaultdict(list, {author: list(known) for author, known in other.by_author.items()}),
            by_parent=defaultdict(list, {parent: list(known) for parent, known in other.by_parent.items()}),
            friends=set(self.friends),
            recent=deque(other.recent, maxlen=RECENT),
        )


class Checker:
    """Told of operations as they begin and end; says what is wrong when it is first known."""

    def __init__(self, messages: dict[str, Message]) -> None:
        self._messages = messages
        self._writes: dict[Register, list[Write]] = {}
        self._of: dict[int, list[Write]] = {}
        self._sessions: defaultdict[str, Session] = defaultdict(Session)
        self._read_before: dict[str, tuple[str, ...]] = {}  # message: those that its author knew
        self._ids: dict[str, str] = {}

    # What happens.

    def began(self, operation: Operation) -> None:
        """At its invocation: from now on it may have happened."""
        mine = self._of[operation.number] = []
        for register, values in operation.may.items():
            write = Write(values, operation.invoked, math.inf, sure=False, operation=operation)
            self._register(register).append(write)
            mine.append(write)
        if operation.kind in ("post", "reply"):
            self._read_before[operation.about["name"]] = tuple(self._sessions[operation.client].recent)

    def ended(self, operation: Operation) -> list[Violation]:
        """At its return."""
        mine = self._of.pop(operation.number)
        if operation.outcome == "unknown":
            for write in mine:
                write.latest = operation.returned + SETTLES
            return []
        if operation.outcome == "refused":
            for register, write in zip(operation.may, mine, strict=True):
                self._register(register).remove(write)
            return []
        found = list(self._identified(operation))
        if operation.kind == "told":
            teller = self._sessions[operation.about["by"]]
            self._sessions[operation.client] = self._sessions[operation.client].told_by(teller)
        session = self._sessions[operation.client]
        for (register, value), write in zip(operation.made.items(), mine, strict=True):
            if operation.copies:
                late = operation.returned + SETTLES
                self._register(register).append(Write(write.values, write.invoked, late, False, operation))
            write.values, write.latest, write.sure = frozenset({value}), operation.returned, True
            session.passes(register, write.invoked, READ_YOUR_WRITES)
            if register[0] == "pair" and value == "friends":
                self._befriended(session, _other(register, operation.client))
        if operation.kind in ("post", "reply"):
            said = self._messages[operation.about["name"]]
            for name in (*said.above, said.name):
                self._knows(session, name, READ_YOUR_WRITES)
        if operation.shown is not None:
            found += self._judge(operation, operation.shown, session)
        return found

    # What is possible.

    def possible(self, register: Register, since: float, until: float) -> set[str]:
        """Values that a read from `since` to `until` may show if every acknowledged write is seen."""
        return {value for write in self._alive(register, since, until) for value in write.values}

    def certain(self, register: Register, value: str, session: Session, until: float) -> bool:
        """Whether this client can be shown nothing else."""
        floor = session.floors.get(register, -math.inf)
        alive = [one for one in self._register(register) if one.invoked < until and one.latest >= floor]
        return bool(alive) and all(one.values == {value} for one in alive)

    def registers(self, kind: str) -> Iterator[Register]:
        """Those that were written."""
        return (register for register in self._writes if register[0] == kind)

    def knows_all(self, client: str, moment: float) -> None:
        """From now on this client has to be shown all that was acknowledged to anybody before `moment`.

        For a time of calm, when everything has had the time to reach everybody.
        """
        session = self._sessions[client]
        for register, writes in list(self._writes.items()):
            done = [one.invoked for one in writes if one.sure and one.latest < moment]
            session.passes(register, max(done, default=-math.inf), DURABLE)
            if (
                register[0] == "pair"
                and client in register
                and self.possible(register, moment, moment) == {"friends"}
            ):
                session.friends.add(_other(register, client))
            if register[0] == "message" and self.possible(register, moment, moment) == {"standing"}:
                self._knows(session, register[1], DURABLE)

    def proof(self, register: Register) -> tuple[Operation, ...]:
        """The last writes of it, for people."""
        return tuple(one.operation for one in self._register(register)[-4:] if one.operation)

    def id_of(self, name: str) -> str | None:
        return self._ids.get(name)

    def name_of(self, identifier: str) -> str | None:
        return self._ids.get(f"id {identifier}")

    def _register(self, register: Register) -> list[Write]:
        writes = self._writes.get(register)
        if writes is None:
            initial = Write(frozenset({INITIAL[register[0]]}), -math.inf, -math.inf, sure=True)
            writes = self._writes[register] = [initial]
        return writes

    def _alive(self, register: Register, since: float, until: float) -> list[Write]:
        writes = self._register(register)
        over = max(one.invoked for one in writes if one.sure and (one.latest < since or one.operation is None))
        return [one for one in writes if one.invoked < until and one.latest >= over]

    def _against(self, register: Register, since: float) -> tuple[Operation, ...]:
        """The writes that rule out what was before."""
        done = [one for one in self._register(register) if one.sure and one.latest < since and one.operation]
        return tuple(one.operation for one in done[-2:] if one.operation)

    # Identity: one name, one id.

    def _identified(self, operation: Operation) -> Iterator[Violation]:
        if operation.kind in ("post", "reply"):
            yield from self._named(operation, operation.about["name"], operation.about["id"])

    def _named(self, operation: Operation, name: str, identifier: str) -> Iterator[Violation]:
        known = self._ids.setdefault(name, identifier)
        self._ids.setdefault(f"id {identifier}", name)
        if known != identifier:
            what = f"{name} was posted once and is there twice: {known}, {identifier}"
            yield Violation("I6", what, (operation,), ONE_EFFECT)

    # Judging a read.

    def _judge(self, read: Operation, shown: Shown, session: Session) -> Iterator[Violation]:
        for user, role in shown.cards:
            yield from self._judge_card(read, user, role)
        for sight in shown.sights:
            yield from self._judge_sight(read, sight, session)
        for register, value in shown.values:
            yield from self._judge_value(read, register, value, session)
        # What stands in sight of what is shown has to be there too, and from now on.
        for sight in shown.sights:
            for before in self._read_before.get(sight.name, ()):
                self._knows(session, before, WRITES_FOLLOW_READS)
        if shown.covers is not None:
            yield from self._missing(read, shown, session)
        for sight in shown.sights:
            self._knows(session, sight.name, MONOTONIC_READS)
            session.versions[sight.name] = max(session.versions.get(sight.name, 0), sight.version)

    def _judge_card(self, read: Operation, user: str, role: str) -> Iterator[Violation]:
        what = f"{user} is shown as {role}"
        yield from self._needs(read, ("account", user), {"live"}, what, guarantee=NO_EDGE_TO_TOMBSTONE)
        if user == read.client:
            return
        yield from self._unblocked(read, user, what)
        if role == "friend":
            yield from self._needs(read, pair(read.client, user), {"friends"}, f"{user} is shown as a friend")
            self._befriended(self._sessions[read.client], user)
            self._attribute(read, pair(read.client, user), "friends")
        self._attribute(read, ("account", user), "live")

    def _judge_sight(self, read: Operation, sight: Sight, session: Session) -> Iterator[Violation]:
        said = self._messages.get(sight.name)
        if said is None or said.author != sight.author:
            yield Violation("I4", f"nobody said what {sight} shows", (read,), ONE_EFFECT)
            return
        yield from self._named(read, sight.name, sight.id)
        viewer, what = read.client, f"{sight.name} of {sight.author} is shown ({sight.where})"
        for name in (*said.above, sight.name):
            author = self._messages[name].author
            yield from self._needs(read, ("message", name), {"standing"}, what, "I4", DELETED_STAYS_DELETED)
            yield from self._needs(read, ("account", author), {"live"}, what, guarantee=NO_MESSAGE_WITHOUT_AUTHOR)
            if author != viewer:
                yield from self._unblocked(read, author, what)
        root = (*said.above, sight.name)[0]
        listed = sight.where in ("feed", "timeline")
        yield from self._admitted(read, root, what, listed=listed)
        if listed:
            yield from self._unmuted(read, sight.author, what, session)
        if sight.version < session.versions.get(sight.name, 0):
            what = f"{what} at version {sight.version}: this client saw a later one"
            yield Violation("I5", what, (read,), MONOTONIC_READS)
        yield from self._judge_value(read, ("text", sight.name), sight.text, session)
        self._attribute(read, ("message", sight.name), "standing")

    def _admitted(self, read: Operation, name: str, what: str, *, listed: bool) -> Iterator[Violation]:
        """The audience lets this client see it; lists hold what friends said."""
        author = self._messages[name].author
        if author == read.client:
            return
        friends = "friends" in self.possible(pair(read.client, author), read.invoked, read.returned)
        audiences = self.possible(("audience", name), read.invoked, read.returned)
        if listed and not friends:
            proof = self._against(pair(read.client, author), read.invoked)
            yield Violation("I9", f"{what} though they are no friends", (*proof, read))
        elif not any(admits(audience, read.client, friends=friends) for audience in audiences):
            proof = (
                *self._against(("audience", name), read.invoked),
                *self._against(pair(read.client, author), read.invoked),
            )
            yield Violation("I9", f"{what} outside its audience {sorted(audiences)}", (*proof, read))

    def _judge_value(
        self, read: Operation, register: Register, value: str, session: Session
    ) -> Iterator[Violation]:
        floor = session.floors.get(register, -math.inf)
        alive = [one for one in self._register(register) if one.invoked < read.returned and one.latest >= floor]
        if not any(value in one.values for one in alive):
            own = tuple(one.operation for one in alive if one.operation)
            what = f"{' '.join(register)} is shown as {value}, which is older than what this client did or saw"
            ground = session.grounds.get(register, ONE_EFFECT)  # without any, nobody ever wrote that
            yield Violation("I5", what, (*own[-3:], read), ground)
        if register[0] == "pair" and value == "friends":
            yield from self._needs(read, register, {value}, f"{' '.join(register)} is shown as friends")
        self._attribute(read, register, value)

    def _needs(
        self,
        read: Operation,
        register: Register,
        wanted: set[str],
        what: str,
        invariant: str = "I9",
        guarantee: str = TAKEN_AWAY,
    ) -> Iterator[Violation]:
        found = self.possible(register, read.invoked, read.returned)
        if not found & wanted:
            proof = (*self._against(register, read.invoked), read)
            what = f"{what} though {' '.join(register)} was {sorted(found)} before"
            yield Violation(invariant, what, proof, guarantee)

    def _unblocked(self, read: Operation, user: str, what: str) -> Iterator[Violation]:
        for register in (("block", read.client, user), ("block", user, read.client)):
            yield from self._needs(read, register, {"no"}, what)

    def _unmuted(self, read: Operation, user: str, what: str, session: Session) -> Iterator[Violation]:
        register = ("mute", read.client, user)
        if self.certain(register, "yes", session, read.returned):
            proof = (*self._against(register, read.invoked), read)
            yield Violation("I5", f"{what} though this client has muted {user}", proof, session.grounds[register])

    def _attribute(self, read: Operation, register: Register, value: str) -> None:
        """If only one write can have made what was shown, this client has seen it, and nothing before it again."""
        candidates = [one for one in self._alive(register, read.invoked, read.returned) if value in one.values]
        if len(candidates) == 1:
            self._sessions[read.client].passes(register, candidates[0].invoked, MONOTONIC_READS)

    # What is missing.

    def _befriended(self, session: Session, user: str) -> None:
        session.friends.add(user)
        self._met(session, user, MONOTONIC_READS)

    def _met(self, session: Session, user: str, why: str) -> None:
        """This client knows that they signed up."""
        came = self._register(("account", user))
        session.passes(("account", user), came[min(1, len(came) - 1)].invoked, why)

    def _knows(self, session: Session, name: str, why: str) -> None:
        if name in session.why or name not in self._ids:
            return
        session.why[name] = why
        session.recent.append(name)
        said, posted = self._messages[name], self._register(("message", name))
        for register in (("message", name), ("audience", name), ("text", name)):
            session.passes(register, posted[1].invoked, why)
        self._met(session, said.author, why)
        if said.above:
            session.by_parent[said.above[-1]].append(name)
        else:
            insort(session.by_author[said.author], (self._ids[name], name))

    def _missing(self, read: Operation, shown: Shown, session: Session) -> Iterator[Violation]:
        kind, _, about = (shown.covers or "").partition(" ")
        seen = {sight.name for sight in shown.sights}
        missing: list[str] = []
        if kind == "feed":
            for author in (*session.friends, read.client):
                newer = (
                    one for one in session.by_author[author] if shown.down_to is None or one[0] > shown.down_to
                )
                missing += [name for _, name in newer if name not in seen and self._must_list(read, name, session)]
        elif kind == "timeline":
            newest = {
                author: max(one.id for one in shown.sights if one.author == author) for author in _authors(shown)
            }
            for author in session.friends:
                after = newest.get(author, "")
                newer = (one for one in session.by_author[author] if one[0] > after)
                missing += [name for _, name in newer if self._must_list(read, name, session)]
        elif kind == "item":
            missing += [about] if about not in seen and about in session.why else []
            missing = [name for name in missing if self._must_show(read, name, session)]
        elif kind == "replies":
            replies = session.by_parent[about]
            missing += [name for name in replies if name not in seen and self._must_show(read, name, session)]
        else:
            yield from self._missing_people(read, shown, session)
        for name in missing:
            why = self._why(read, name, session)
            what = f"{name} of {self._messages[name].author} is missing from {shown.covers}: {why}"
            proof = [one.operation for one in self._register(("message", name)) if one.operation]
            rule = "I3" if session.why[name] == DURABLE else "I5"
            yield Violation(rule, what, (*proof, read), why)

    def _why(self, read: Operation, name: str, session: Session) -> str:
        """The guarantee by which it had to be there: that of the last thing that this client knows of it."""
        author = self._messages[name].author
        about = [("mute", read.client, author), pair(read.client, author)]
        known = [(session.floors[one], session.grounds[one]) for one in about if one in session.floors]
        return max([*known, (session.floors["message", name], session.why[name])])[1]

    def _missing_people(self, read: Operation, shown: Shown, session: Session) -> Iterator[Violation]:
        kind, _, about = (shown.covers or "").partition(" ")
        cards = {user for user, _ in shown.cards}
        if kind == "friends":
            for user in sorted(session.friends - cards):
                if self._sure_friend(read, user, session):
                    register = pair(read.client, user)
                    proof = [one.operation for one in self._register(register) if one.operation]
                    what = f"{user} is missing among the friends"
                    yield Violation("I5", what, (*proof[-3:], read), session.grounds[register])
        elif kind == "profile" and about not in cards and self._sure_person(read, about, session):
            what = f"{about} is not found, though nobody deleted or blocked them"
            yield Violation("I5", what, (read,), session.grounds["account", about])

    def _must_list(self, read: Operation, name: str, session: Session) -> bool:
        author = self._messages[name].author
        unmuted = self.certain(("mute", read.client, author), "no", session, read.returned)
        known = author == read.client or (unmuted and self._sure_friend(read, author, session))
        return known and self._must_show(read, name, session)

    def _must_show(self, read: Operation, name: str, session: Session) -> bool:
        """Nothing that anybody did can explain that it is not shown to this client."""
        said, viewer, until = self._messages[name], read.client, read.returned
        chain = (*said.above, name)
        root_author = self._messages[chain[0]].author
        friends = root_author == viewer or self._sure_friend(read, root_author, session)
        for one in chain:
            author = self._messages[one].author
            if not self.certain(("message", one), "standing", session, until):
                return False
            if author != viewer and not self._sure_person(read, author, session):
                return False
            audiences = self._audiences(one, session, until)
            own = author == viewer
            if not own and not all(admits(audience, viewer, friends=friends) for audience in audiences):
                return False
        return True

    def _audiences(self, name: str, session: Session, until: float) -> set[str]:
        register = ("audience", name)
        floor = session.floors.get(register, -math.inf)
        alive = (one for one in self._register(register) if one.invoked < until and one.latest >= floor)
        return {value for one in alive for value in one.values}

    def _sure_friend(self, read: Operation, user: str, session: Session) -> bool:
        is_friend = self.certain(pair(read.client, user), "friends", session, read.returned)
        return is_friend and self._sure_person(read, user, session)

    def _sure_person(self, read: Operation, user: str, session: Session) -> bool:
        blocks = (("block", read.client, user), ("block", user, read.client))
        return self.certain(("account", user), "live", session, read.returned) and all(
            self.certain(register, "no", session, read.returned) for register in blocks
        )


def admits(audience: str, viewer: str, *, friends: bool) -> bool:
    """Whether an audience lets somebody see what is not their own."""
    kind, _, names = audience.partition(" ")
    return kind == "public" or (kind == "friends" and friends) or (kind == "only" and viewer in names.split(","))


def violations(history: History) -> list[Violation]:
    """All of a history, in the order in which they could first be known."""
    checker = Checker(history.messages)
    steps = [(one.invoked, 0, one) for one in history.operations]
    steps += [(one.returned, 1, one) for one in history.operations if one.outcome != "pending"]
    found: list[Violation] = []
    for _, ended, operation in sorted(steps, key=lambda step: (step[0], step[1], step[2].number)):
        if ended:
            found += checker.ended(operation)
        else:
            checker.began(operation)
    return found


def _authors(shown: Shown) -> set[str]:
    return {one.author for one in shown.sights}


def _other(register: Register, user: str) -> str:
    return register[1] if register[2] == user else register[2]

"""Writes down what everybody does, and has each answer judged at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from tests.consistency.checker import Checker, Violation
from tests.consistency.history import History, Operation, Outcome, Register, Shown

# Whom a request cannot do without, beside the edge and users, who are asked about every sign-in.
NEEDS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("sign_up", "sign_in", "profile"), frozenset()),
    **dict.fromkeys(("befriend", "unfriend", "decline", "block", "unblock"), frozenset({"friends"})),
    **dict.fromkeys(("see_friends", "see_requests", "how"), frozenset({"friends"})),
    **dict.fromkeys(("post", "edit", "narrow", "widen", "withdraw"), frozenset({"messages", "friends"})),
    **dict.fromkeys(("reply", "react", "unreact"), frozenset({"messages", "friends"})),
    **dict.fromkeys(("see_item", "see_replies", "see_reactions", "see_author"), frozenset({"messages", "friends"})),
    **dict.fromkeys(("see_feed", "see_timeline"), frozenset({"messages", "friends", "timeline"})),
    "see_notifications": frozenset({"messages", "friends", "notifications"}),
    "leave": frozenset({"messages", "friends"}),
}
ALWAYS = frozenset({"edge", "users"})


class Witness:
    """The history, its judge, and what is under way. What is wrong is appended to `found`."""

    def __init__(self, found: list[Violation] | None = None) -> None:
        self.history = History()
        self.checker = Checker(self.history.messages)
        self.found: list[Violation] = [] if found is None else found
        self.under_way: set[Operation] = set()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.shown = 0  # messages and people in judged answers

    def begins(
        self, client: str, kind: str, may: Mapping[Register, Iterable[str]] | None = None, **about: Any
    ) -> Operation:
        """Before anything is sent."""
        operation = self.history.invokes(client, kind, may, **about)
        self.checker.began(operation)
        self.under_way.add(operation)
        return operation

    def ends(
        self,
        operation: Operation,
        outcome: Outcome,
        *,
        made: Mapping[Register, str] | None = None,
        shown: Shown | None = None,
    ) -> None:
        """After the answer was read, or given up."""
        self.history.returns(operation, outcome, made=made, shown=shown)
        self.under_way.discard(operation)
        self.counts[operation.kind, outcome] += 1
        if operation.shown is not None:
            self.shown += len(operation.shown.sights) + len(operation.shown.cards)
        self.found += self.checker.ended(operation)

    def finds(self, invariant: str, what: str, *proof: Operation) -> None:
        """A violation that somebody else saw."""
        self.found.append(Violation(invariant, what, proof))

    def in_flight(self, service: str) -> int:
        """Requests under way that cannot be answered without this service."""
        return sum(service in ALWAYS or service in NEEDS[one.kind] for one in self.under_way)

"""The checker on histories that are right, and on each kind that is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.consistency.checker import SETTLES, Violation, violations
from tests.consistency.history import History, Message, Operation, Outcome, Register, Shown, Sight, pair


class Told(History):
    """A history that is written down step by step; each step takes a second."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(self._tick)

    def _tick(self) -> float:
        self.now += 1.0
        return self.now

    def does(
        self,
        client: str,
        kind: str,
        may: Mapping[Register, set[str]],
        *,
        outcome: Outcome = "ok",
        made: Mapping[Register, str] | None = None,
        **about: Any,
    ) -> Operation:
        operation = self.invokes(client, kind, may, **about)
        self.returns(operation, outcome, made=made)
        return operation

    def sign_up(self, *people: str) -> None:
        for person in people:
            self.does(person, "sign_up", {("account", person): {"live"}})

    def befriend(self, one: str, other: str) -> None:
        may = {pair(one, other): {f"asks {one}", "friends"}}
        self.does(one, "befriend", may, made={pair(one, other): f"asks {one}"})
        may = {pair(one, other): {f"asks {other}", "friends"}}
        self.does(other, "befriend", may, made={pair(one, other): "friends"})

    def unfriend(self, one: str, other: str, outcome: Outcome = "ok") -> Operation:
        return self.does(one, "unfriend", {pair(one, other): {"none"}}, outcome=outcome)

    def block(self, one: str, other: str) -> None:
        self.does(one, "block", {("block", one, other): {"yes"}, pair(one, other): {"none"}})

    def posts(self, author: str, audience: str = "friends", *, above: tuple[str, ...] = ()) -> Message:
        message = self.names(author, above=above)
        may = {("message", message.name): {"standing"}, ("audience", message.name): {audience}}
        may[("text", message.name)] = {"0"}
        self.does(author, "reply" if above else "post", may, name=message.name, id=id_of(message))
        return message

    def edits(self, message: Message, text: str, outcome: Outcome = "ok") -> None:
        self.does(message.author, "edit", {("text", message.name): {text}}, outcome=outcome)

    def withdraws(self, message: Message, outcome: Outcome = "ok") -> None:
        self.does(message.author, "withdraw", {("message", message.name): {"withdrawn"}}, outcome=outcome)

    def mutes(self, one: str, other: str, muted: str = "yes") -> None:
        self.does(one, "mute", {("mute", one, other): {muted}})

    def tells(self, one: str, other: str) -> None:
        self.does(other, "told", {}, by=one)

    def leaves(self, person: str, outcome: Outcome = "ok") -> None:
        self.does(person, "leave", {("account", person): {"deleted"}}, outcome=outcome)

    def reads(self, client: str, shown: Shown) -> Operation:
        operation = self.invokes(client, "read")
        self.returns(operation, "ok", shown=shown)
        return operation

    def feed(self, client: str, *messages: Message, text: str = "0", version: int = 1) -> Operation:
        return self.reads(client, Shown(self.sights("feed", messages, text, version), covers="feed"))

    def sights(
        self, where: str, messages: tuple[Message, ...], text: str = "0", version: int = 1
    ) -> tuple[Sight, ...]:
        return tuple(Sight(one.name, id_of(one), one.author, text, version, where) for one in messages)


def id_of(message: Message) -> str:
    return f"{int(message.name[1:]):04}"


def found(history: History) -> list[tuple[str, str]]:
    return [(one.invariant, one.what) for one in violations(history)]


@pytest.fixture
def told() -> Told:
    """Alice and Bob are friends; Carol is nobody's."""
    history = Told()
    history.sign_up("alice", "bob", "carol")
    history.befriend("alice", "bob")
    return history


def guarantees(history: History) -> list[str]:
    return [one.guarantee for one in violations(history)]


def one(history: History, invariant: str, words: str) -> Violation:
    (violation,) = violations(history)
    assert violation.invariant == invariant, violation.in_words()
    assert words in f"{violation.what} ({violation.guarantee})"
    assert violation.proof
    return violation


def test_a_history_in_order_is_right(told: Told) -> None:
    first = told.posts("alice")
    told.feed("bob", first)
    second = told.posts("bob")
    told.feed("alice", second, first)
    told.edits(first, "1")
    told.feed("carol")
    assert found(told) == []


def test_what_nobody_said_is_found(told: Told) -> None:
    told.feed("bob", Message("m99", "alice"))
    one(told, "I4", "nobody said")


def test_a_withdrawn_message_that_comes_back(told: Told) -> None:
    said = told.posts("alice")
    told.feed("bob", said)
    told.withdraws(said)
    told.feed("bob", said)
    proof = one(told, "I4", "withdrawn").proof
    assert [operation.kind for operation in proof][-2:] == ["withdraw", "read"]


def test_a_withdrawal_whose_answer_was_lost_may_have_happened_or_not(told: Told) -> None:
    said = told.posts("alice")
    told.withdraws(said, outcome="unknown")
    told.feed("bob", said)
    told.feed("bob")
    told.now += SETTLES
    told.feed("bob")
    assert found(told) == []


def test_a_refused_withdrawal_has_not_happened(told: Told) -> None:
    said = told.posts("alice")
    told.withdraws(said, outcome="refused")
    told.feed("alice")
    one(told, "I5", "read your writes")


def test_a_read_that_began_before_the_withdrawal_was_acknowledged_may_show_it(told: Told) -> None:
    said = told.posts("alice")
    read = told.invokes("bob", "read")
    told.withdraws(said)
    told.returns(read, "ok", shown=Shown(told.sights("feed", (said,)), covers="feed"))
    assert found(told) == []


def test_a_deleted_author_who_is_shown(told: Told) -> None:
    said = told.posts("alice")
    told.leaves("alice")
    told.feed("bob", said)
    one(told, "I9", "account alice was ['deleted'] before")


def test_a_deletion_that_is_not_acknowledged_yet_explains_both(told: Told) -> None:
    said = told.posts("alice")
    told.feed("bob", said)
    told.invokes("alice", "leave", {("account", "alice"): {"deleted"}})
    told.feed("bob", said)
    told.feed("bob")
    assert found(told) == []


def test_a_blocked_person_who_is_shown_to_either(told: Told) -> None:
    told.block("bob", "carol")
    told.reads("carol", Shown(cards=(("bob", "other"),)))
    told.reads("bob", Shown(cards=(("carol", "other"),)))
    assert [name for name, _ in found(told)] == ["I9", "I9"]


def test_what_an_end_of_friendship_took_away(told: Told) -> None:
    said = told.posts("alice")
    told.unfriend("alice", "bob")
    told.feed("bob", said)
    one(told, "I9", "though they are no friends")


def test_a_friendship_that_begins_again_explains_it(told: Told) -> None:
    said = told.posts("alice")
    told.unfriend("alice", "bob")
    told.befriend("bob", "alice")
    told.feed("bob", said)
    assert found(told) == []


def test_what_a_narrower_audience_took_away(told: Told) -> None:
    said = told.posts("alice", "public")
    told.reads("carol", Shown(told.sights("item", (said,)), covers=f"item {said.name}"))
    told.does("alice", "narrow", {("audience", said.name): {"only bob"}})
    told.feed("bob", said)
    told.reads("carol", Shown(covers=f"item {said.name}"))
    assert found(told) == []
    told.reads("carol", Shown(told.sights("item", (said,)), covers=f"item {said.name}"))
    one(told, "I9", "outside its audience")


def test_ones_own_write_that_is_missing(told: Told) -> None:
    told.posts("alice")
    told.feed("alice")
    one(told, "I5", "read your writes")


def test_anothers_write_may_be_late(told: Told) -> None:
    told.posts("alice")
    told.feed("bob")
    assert found(told) == []


def test_what_was_seen_and_is_missing_later(told: Told) -> None:
    said = told.posts("alice")
    told.feed("bob", said)
    told.feed("bob")
    one(told, "I5", "monotonic reads")


def test_what_is_on_a_later_page_is_not_missing(told: Told) -> None:
    first, second = told.posts("alice"), told.posts("alice")
    sights = told.sights("feed", (second,))
    told.reads("alice", Shown(sights, covers="feed", down_to=id_of(second)))
    assert found(told) == []
    told.reads("alice", Shown(told.sights("feed", (first,)), covers="feed", down_to=id_of(first)))
    one(told, "I5", f"{second.name} of alice is missing")


def test_a_text_that_goes_back(told: Told) -> None:
    said = told.posts("alice")
    told.edits(said, "1")
    told.feed("bob", said, text="1", version=2)
    told.feed("bob", said, text="0", version=1)
    assert {name for name, _ in found(told)} == {"I5"}


def test_ones_own_edit_that_is_not_seen(told: Told) -> None:
    said = told.posts("alice")
    told.edits(said, "1")
    told.feed("alice", said, text="0")
    one(told, "I5", "older than what this client did or saw")


def test_an_answer_without_what_it_answers(told: Told) -> None:
    """Writes follow reads: Bob said it in sight of Alice's message, and Dan, a friend of both, must see both."""
    told.sign_up("dan")
    told.befriend("dan", "alice")
    told.befriend("bob", "dan")
    told.reads("dan", Shown(cards=(("alice", "friend"), ("bob", "friend")), covers="friends"))
    first = told.posts("alice")
    told.feed("bob", first)
    second = told.posts("bob")
    told.feed("dan", second, first)
    assert found(told) == []
    third = told.posts("alice")
    told.feed("bob", third, second, first)
    fourth = told.posts("bob")
    told.feed("dan", fourth, second, first)
    one(told, "I5", "writes follow reads")


def test_a_timeline_without_the_newest_that_was_seen(told: Told) -> None:
    first = told.posts("bob")
    told.reads("alice", Shown(cards=(("bob", "friend"),), covers="friends"))
    second = told.posts("bob")
    told.reads("alice", Shown(told.sights("timeline", (second,)), (("bob", "friend"),), covers="timeline"))
    assert found(told) == []
    told.reads("alice", Shown(told.sights("timeline", (first,)), (("bob", "friend"),), covers="timeline"))
    one(told, "I5", f"{second.name} of bob is missing from timeline")


def test_a_friend_who_is_missing(told: Told) -> None:
    told.reads("bob", Shown(covers="friends"))
    one(told, "I5", "alice is missing among the friends")


def test_a_friend_who_left_without_an_answer_may_be_missing(told: Told) -> None:
    told.unfriend("alice", "bob", outcome="unknown")
    told.reads("bob", Shown(covers="friends"))
    told.reads("bob", Shown(cards=(("alice", "friend"),), covers="friends"))
    assert found(told) == []


def test_a_copy_of_a_request_may_arrive_late(told: Told) -> None:
    """Sent twice, answered once: the other may undo what came after it."""
    gone = told.invokes("bob", "unfriend", {pair("alice", "bob"): {"none"}})
    gone.copies = True
    told.returns(gone, "ok")
    told.befriend("alice", "bob")
    told.reads("bob", Shown(covers="friends"))
    assert found(told) == []
    told.now += SETTLES
    told.befriend("alice", "bob")
    told.reads("bob", Shown(covers="friends"))
    one(told, "I5", "alice is missing among the friends")


def test_a_person_who_was_seen_and_is_not_found(told: Told) -> None:
    told.reads("carol", Shown(covers="profile alice"))  # she may not know of her yet
    told.reads("carol", Shown(cards=(("alice", "other"),), covers="profile alice"))
    assert found(told) == []
    told.reads("carol", Shown(covers="profile alice"))
    one(told, "I5", "alice is not found")


def test_a_reply_below_what_was_withdrawn(told: Told) -> None:
    said = told.posts("alice")
    reply = told.posts("bob", above=(said.name,))
    told.reads("alice", Shown(told.sights("replies", (reply,)), covers=f"replies {said.name}"))
    told.withdraws(said)
    told.reads("alice", Shown(told.sights("notifications", (reply,))))
    one(told, "I4", f"message {said.name} was ['withdrawn'] before")


def test_a_reply_that_is_missing(told: Told) -> None:
    said = told.posts("alice")
    told.posts("bob", above=(said.name,))
    told.reads("bob", Shown(covers=f"replies {said.name}"))
    one(told, "I5", "read your writes")


def test_one_message_under_two_ids(told: Told) -> None:
    said = told.posts("alice")
    (sight,) = told.sights("feed", (said,))
    other = Sight(sight.name, "0999", sight.author, sight.text, sight.version, sight.where)
    told.reads("bob", Shown((sight, other), covers="feed"))
    one(told, "I6", "posted once and is there twice")


def test_a_history_is_kept_and_read_again(told: Told, tmp_path: Path) -> None:
    said = told.posts("alice")
    told.withdraws(said)
    told.feed("bob", said)
    told.invokes("carol", "leave", {("account", "carol"): {"deleted"}})
    told.save(tmp_path / "history")
    again = History.load(tmp_path / "history")
    assert found(again) == found(told) != []
    assert [operation.in_words() for operation in again.operations] == [
        operation.in_words() for operation in told.operations
    ]


def test_a_muted_person_who_is_shown_to_who_muted_them(told: Told) -> None:
    said = told.posts("bob")
    told.feed("alice", said)
    told.mutes("alice", "bob")
    told.feed("alice")
    told.reads("alice", Shown(told.sights("item", (said,)), (("bob", "friend"),), covers="friends"))
    assert found(told) == []
    told.feed("alice", said)
    one(told, "I5", "read your writes")


def test_a_person_who_is_no_longer_muted_and_still_missing(told: Told) -> None:
    said = told.posts("bob")
    told.feed("alice", said)
    told.reads("alice", Shown(cards=(("bob", "friend"),), covers="friends"))
    told.mutes("alice", "bob")
    told.mutes("alice", "bob", "no")
    told.feed("alice", said)
    assert found(told) == []
    told.feed("alice")
    one(told, "I5", "read your writes")


def test_ones_own_new_name_that_is_not_shown(told: Told) -> None:
    for name in ("Al", "Ali"):
        told.does("alice", "rename", {("name", "alice"): {name}})
    told.reads("bob", Shown(values=((("name", "alice"), "Al"),)))
    assert found(told) == []
    told.reads("alice", Shown(values=((("name", "alice"), "Al"),)))
    one(told, "I5", "read your writes")


def test_a_name_that_goes_back(told: Told) -> None:
    for name in ("Al", "Ali"):
        told.does("alice", "rename", {("name", "alice"): {name}})
    told.reads("bob", Shown(values=((("name", "alice"), "Ali"),)))
    told.reads("bob", Shown(values=((("name", "alice"), "Al"),)))
    one(told, "I5", "monotonic reads")


def test_what_one_was_told_of_has_to_be_there(told: Told) -> None:
    told.reads("bob", Shown(cards=(("alice", "friend"),), covers="friends"))
    told.reads("alice", Shown(cards=(("bob", "friend"),), covers="friends"))
    told.posts("bob")
    told.reads("alice", Shown(cards=(("bob", "friend"),), covers="timeline"))
    assert found(told) == []
    told.tells("bob", "alice")
    told.reads("alice", Shown(cards=(("bob", "friend"),), covers="timeline"))
    one(told, "I5", "causality across people")


def test_who_goes_on_with_anothers_token_no_longer_relies_on_their_own(told: Told) -> None:
    told.posts("alice")
    told.tells("bob", "alice")
    told.feed("alice")
    assert found(told) == []


def test_each_guarantee_has_its_name(told: Told) -> None:
    said, gone = told.posts("alice"), told.posts("bob")
    told.feed("bob", gone, said)
    told.withdraws(gone)
    told.leaves("alice")
    told.feed("bob", gone)
    told.feed("bob", said)
    told.reads("bob", Shown(cards=(("alice", "friend"),), covers="friends"))
    told.unfriend("bob", "alice")
    told.reads("bob", Shown(values=((pair("alice", "bob"), "friends"),)))
    assert set(guarantees(told)[:3]) == {
        "deleted content never comes back",
        "no visible message without its author",
        "no edge to a tombstone",
    }
    assert {"read your writes", "what was taken away"} <= set(guarantees(told)[3:])

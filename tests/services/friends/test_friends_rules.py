"""The pure decisions."""

from __future__ import annotations

from uuid import UUID

import pytest

from tidings.contracts.friends import MOST_FRIENDS, ImportedFriendship, NotYourself, TooManyFriends
from tidings.contracts.users import UserId
from tidings.platform.contract import Forbidden
from tidings.platform.request import Viewer
from tidings.services.friends import rules

A, B, C = (UserId(UUID(int=number)) for number in (1, 2, 3))


def test_asking_makes_a_request_of_nothing_and_a_friendship_of_their_request() -> None:
    assert rules.after_asking(None) == "requested"
    assert rules.after_asking("asked") == "friends"
    assert rules.after_asking("requested") == "requested"
    assert rules.after_asking("friends") == "friends"


def test_the_last_place_may_be_taken_and_no_more() -> None:
    rules.check_room([MOST_FRIENDS - 1, 0])
    with pytest.raises(TooManyFriends):
        rules.check_room([0, MOST_FRIENDS])
    rules.check_held({A: MOST_FRIENDS})
    with pytest.raises(TooManyFriends, match=str(B)):
        rules.check_held({A: MOST_FRIENDS, B: MOST_FRIENDS + 1})


def test_a_batch_names_each_pair_once_the_lower_id_first() -> None:
    batch = [friendship(B, A, 5), friendship(C, A, 6), friendship(A, B, 7)]
    assert rules.pairs_of(batch) == [friendship(A, B, 5), friendship(A, C, 6)]
    with pytest.raises(NotYourself):
        rules.pairs_of([friendship(A, A, 1)])


def test_friends_of_are_for_oneself_and_for_friends() -> None:
    assert rules.may_list(A, A, None)
    assert rules.may_list(A, B, "friends")
    assert not rules.may_list(A, B, "asked")
    assert not rules.may_list(A, B, None)


def test_members_do_not_import() -> None:
    rules.check_operator(Viewer(role="operator"))
    rules.check_operator(Viewer(user_id=A, role="administrator"))
    with pytest.raises(Forbidden):
        rules.check_operator(Viewer(user_id=A, role="member"))


def friendship(a: UserId, b: UserId, since_ms: int) -> ImportedFriendship:
    return ImportedFriendship(a=a, b=b, since_ms=since_ms)

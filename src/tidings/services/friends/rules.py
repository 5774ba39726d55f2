"""What may stand between two people: pure decisions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, Protocol
from uuid import UUID

from tidings.contracts.friends import MOST_FRIENDS, ImportedFriendship, NotYourself, TooManyFriends
from tidings.contracts.users import UserId
from tidings.platform.contract import Forbidden, NotFound
from tidings.platform.request import Viewer

State = Literal["friends", "requested", "asked"]

# One sentence for the unknown, the gone and the blocked: nobody learns that they were blocked.
NOBODY = "There is no such person, or they are not to be found by you."


class Fenced(Protocol):
    """A subject's fence: only the `live` may write and be written to."""

    @property
    def state(self) -> str: ...


def check_other(me: UserId, other: UserId) -> None:
    """Raises `NotYourself`."""
    if me == other:
        raise NotYourself("That is you. Name somebody else.")


def check_live(fences: Iterable[Fenced]) -> None:
    """Raises `NotFound` if one of them is being deleted, or was."""
    if any(fence.state != "live" for fence in fences):
        raise NotFound(NOBODY)


def check_room(friends: Iterable[int]) -> None:
    """Raises `TooManyFriends` if one more friend is too many for one of these counts."""
    if any(count >= MOST_FRIENDS for count in friends):
        raise TooManyFriends(f"A person has up to {MOST_FRIENDS:,} friends; one of you two has that many.")


def check_held(friends: Mapping[UserId, int]) -> None:
    """Raises `TooManyFriends` if one of these counts is over the limit already."""
    over = [str(user_id) for user_id, count in friends.items() if count > MOST_FRIENDS]
    if over:
        raise TooManyFriends(
            f"A person has up to {MOST_FRIENDS:,} friends, and with this batch {over[0]} would have more."
            " Nothing of the batch was kept."
        )


def check_operator(viewer: Viewer) -> None:
    """Raises `Forbidden` unless an operator or an administrator asks."""
    if viewer.role not in ("operator", "administrator"):
        raise Forbidden("Only an operator may do this.")


def after_asking(state: State | None) -> State:
    """What stands between two people once the first has asked: a stranger asks, the asked accept."""
    if state is None:
        return "requested"
    return "friends" if state == "asked" else state


def pairs_of(batch: Iterable[ImportedFriendship]) -> list[ImportedFriendship]:
    """Each pair once, the lower id first, in key order; the first to name a pair says since when.

    Raises `NotYourself`.
    """
    pairs: dict[tuple[UserId, UserId], ImportedFriendship] = {}
    for one in batch:
        check_other(one.a, one.b)
        low, high = sorted((one.a, one.b))
        pairs.setdefault((low, high), ImportedFriendship(a=low, b=high, since_ms=one.since_ms))
    return [pairs[key] for key in sorted(pairs)]


def people_of(pairs: Iterable[ImportedFriendship]) -> set[UserId]:
    """Everybody whom the pairs name."""
    return {person for pair in pairs for person in (pair.a, pair.b)}


def among(pairs: Iterable[ImportedFriendship], fences: Mapping[UUID, Fenced]) -> list[ImportedFriendship]:
    """The pairs of whom both are live: an import that is repeated after a deletion brings nobody back."""
    return [pair for pair in pairs if fences[pair.a].state == fences[pair.b].state == "live"]


def may_list(me: UserId, owner: UserId, state: State | None) -> bool:
    """Whether I may see the owner's friends: my own, and those of a friend."""
    return me == owner or state == "friends"

"""friends: mutual friendship by asking and accepting, blocks and mutes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta

from tidings.contracts.users import (
    Branch,
    Branches,
    ByIds,
    Cursor,
    Imported,
    Limit,
    Removal,
    TransactionsAsk,
    UserCard,
    UserId,
    Vote,
)
from tidings.platform.cache.registration import Registration
from tidings.platform.clock import Instant
from tidings.platform.contract import Call, Event, NotFound, Nothing, Refusal, Route, Value
from tidings.platform.export import Export
from tidings.platform.occurrence import DeadLetters, EventId, OccurredAsk, OccurredPage, Replay

MOST_FRIENDS = 5000


class TooManyFriends(Refusal, code="too_many_friends", status=409, title="Too many friends"):
    """A person has up to 5,000 friends; one of the two has that many."""


class NotYourself(Refusal, code="not_yourself", status=422, title="That is you"):
    """One cannot befriend, block or mute oneself."""


# Internal calls.


class Circle(Value, frozen=True):
    """Somebody's friends, oldest friendship first, which of them they have muted, and who is hidden from them.

    `blocked` are those with a block between, whoever made it. `as_of`: the version of their own graph then.
    """

    friends: list[UserId]
    muted: list[UserId]
    blocked: list[UserId] = []
    as_of: int = 0


class Relation(Value, frozen=True):
    """What stands between the viewer and one other. `blocked` is true whoever blocked whom."""

    friend: bool = False
    blocked: bool = False
    muted: bool = False


class ImportedFriendship(Value, frozen=True):
    a: UserId
    b: UserId
    since_ms: int


class ImportFriendships(Value, frozen=True):
    """One batch, one transaction. Friendships that are there already stay as they are."""

    friendships: Annotated[list[ImportedFriendship], Meta(max_length=5000)]


class EverybodyAsk(Value, frozen=True):
    """Who comes after somebody, in the order of ids."""

    after: UserId = UserId(UUID(int=0))
    limit: Annotated[int, Meta(ge=1, le=1000)] = 1000


class Everybody(Value, frozen=True):
    """People who have a friend, a request, a block or a mute, whichever side of it they are on."""

    ids: list[UserId]


circles: Call[ByIds, Mapping[UserId, Circle]] = Call(
    "friends/circles", ByIds, dict[UserId, Circle], safe=True, callers={"timeline", "messages"}
)  # an empty one of whoever has no friends, or is not there
relations: Call[ByIds, dict[UserId, Relation]] = Call(
    "friends/relations",
    ByIds,
    dict[UserId, Relation],
    safe=True,
    callers={"messages", "notifications", "users", "media", "web"},
)  # strangers are absent
register_cache = Call(
    "friends/register_cache", Registration, Nothing, callers={"timeline", "messages", "edge"}, guarded=False
)
occurrences = Call(
    "friends/occurrences",
    OccurredAsk,
    OccurredPage,
    safe=True,
    callers={"friends", "notifications"},
    guarded=False,
)
dead_letters = Call("friends/dead_letters", Nothing, DeadLetters, safe=True, callers={"cli"})
replay_event = Call("friends/replay_event", EventId, Replay, callers={"cli"})
export = Export(
    "friends",
    callers={"users"},
    files={
        "friends.json": "your friends, and since when",
        "requests.json": "who asked for your friendship and whom you asked, where it was not answered",
        "blocks.json": "whom you block",
        "mutes.json": "whom you have muted",
    },
)
import_friendships = Call("friends/import_friendships", ImportFriendships, Imported, callers={"cli"}, deadline=30.0)

# Not guarded: the coordinator has deadlines of its own, and who is not told of the outcome keeps its locks.
prepare_removal = Call("friends/prepare_removal", Removal, Vote, callers={"users"}, guarded=False)
commit_removal = Call("friends/commit_removal", Removal, Branch, callers={"users"}, guarded=False)
abort_removal = Call("friends/abort_removal", Removal, Branch, callers={"users"}, guarded=False)
branches = Call("friends/branches", TransactionsAsk, Branches, safe=True, callers={"cli"})
everybody = Call("friends/everybody", EverybodyAsk, Everybody, safe=True, callers={"cli"})


# Events. `version` is that of `user_id`'s own graph, taken under its fence.


class GraphChanged(Value, frozen=True):
    """Something between two people changed, seen from `user_id`."""

    user_id: UserId
    other_id: UserId
    by_id: UserId | None  # whose act it was; None: the other one is gone
    version: int


class FriendsImported(Value, frozen=True):
    """The operator made these people friends of `user_id`."""

    user_id: UserId
    friend_ids: list[UserId]
    version: int


class PersonRemoved(Value, frozen=True):
    """Somebody is gone, and all that stood between them and others. `friend_ids` were their friends."""

    user_id: UserId
    version: int
    friend_ids: list[UserId]


requested = Event("friends.requested", GraphChanged)
request_withdrawn = Event("friends.request_withdrawn", GraphChanged)
befriended = Event("friends.befriended", GraphChanged)
imported = Event("friends.imported", FriendsImported)
unfriended = Event("friends.unfriended", GraphChanged, takes_away=True)
blocked = Event("friends.blocked", GraphChanged, takes_away=True)
unblocked = Event("friends.unblocked", GraphChanged)
muted = Event("friends.muted", GraphChanged)
unmuted = Event("friends.unmuted", GraphChanged)
person_removed = Event("friends.person_removed", PersonRemoved)


# Public routes.


class PageAsk(Value, frozen=True):
    limit: Limit = 50
    cursor: Cursor | None = None


class Other(Value, frozen=True):
    user_id: UserId


class FriendsOf(Value, frozen=True):
    user_id: UserId
    limit: Limit = 50
    cursor: Cursor | None = None


class RequestsAsk(Value, frozen=True):
    direction: Literal["incoming", "outgoing"] = "incoming"
    limit: Limit = 50
    cursor: Cursor | None = None


class Person(Value, frozen=True):
    """Somebody on a list of one's own, and since when."""

    user: UserCard
    since: Instant


class People(Value, frozen=True):
    """People, newest first."""

    people: list[Person]
    next_cursor: str | None = None


class Friendship(Value, frozen=True):
    """`requested`: you asked; `asked`: they did, PUT accepts."""

    user_id: UserId
    state: Literal["friends", "requested", "asked"]
    since: Instant


list_friends = Route(
    "friends/list_friends", "GET", "/v1/friends", PageAsk, People, "One's friends", callers={"web"}
)
get_friend = Route(
    "friends/get_friend",
    "GET",
    "/v1/friends/{user_id}",
    Other,
    Friendship,
    "How one stands with a person",
    refusals=(NotFound,),
    callers={"web"},
)
befriend = Route(
    "friends/befriend",
    "PUT",
    "/v1/friends/{user_id}",
    Other,
    Friendship,
    "Ask for friendship, or accept if they asked",
    refusals=(NotFound, NotYourself, TooManyFriends),
    callers={"web"},
)
unfriend = Route(
    "friends/unfriend",
    "DELETE",
    "/v1/friends/{user_id}",
    Other,
    Nothing,
    "End a friendship",
    status=204,
    refusals=(NotFound,),
    callers={"web"},
)
friends_of = Route(
    "friends/friends_of",
    "GET",
    "/v1/users/{user_id}/friends",
    FriendsOf,
    People,
    "The friends of oneself or of a friend",
    refusals=(NotFound,),
    me=True,
    callers={"web"},
)
list_requests = Route(
    "friends/list_requests",
    "GET",
    "/v1/friend-requests",
    RequestsAsk,
    People,
    "Requests to and from oneself",
    callers={"web"},
)
drop_request = Route(
    "friends/drop_request",
    "DELETE",
    "/v1/friend-requests/{user_id}",
    Other,
    Nothing,
    "Decline a request, or withdraw one's own",
    status=204,
    refusals=(NotFound,),
    callers={"web"},
)
list_blocks = Route(
    "friends/list_blocks", "GET", "/v1/blocks", PageAsk, People, "Whom one has blocked", callers={"web"}
)
block = Route(
    "friends/block",
    "PUT",
    "/v1/blocks/{user_id}",
    Other,
    Nothing,
    "Block a person: neither sees the other, and a friendship ends",
    status=204,
    refusals=(NotFound, NotYourself),
    callers={"web"},
)
unblock = Route(
    "friends/unblock",
    "DELETE",
    "/v1/blocks/{user_id}",
    Other,
    Nothing,
    "End a block",
    status=204,
    refusals=(NotFound,),
    callers={"web"},
)
list_mutes = Route("friends/list_mutes", "GET", "/v1/mutes", PageAsk, People, "Whom one has muted", callers={"web"})
mute = Route(
    "friends/mute",
    "PUT",
    "/v1/mutes/{user_id}",
    Other,
    Nothing,
    "Mute a person: their messages leave one's own timeline and feed",
    status=204,
    refusals=(NotFound, NotYourself),
    callers={"web"},
)
unmute = Route(
    "friends/unmute",
    "DELETE",
    "/v1/mutes/{user_id}",
    Other,
    Nothing,
    "End a mute",
    status=204,
    refusals=(NotFound,),
    callers={"web"},
)

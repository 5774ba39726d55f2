"""users: accounts, credentials, sessions, invites, profiles and preferences."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal, NewType
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from tidings.platform.cache.registration import Registration
from tidings.platform.clock import Instant
from tidings.platform.contract import Busy, Call, Event, NotFound, Nothing, Refusal, Route, Stale, Value
from tidings.platform.export import Export
from tidings.platform.occurrence import OccurredAsk, OccurredPage

UserId = NewType("UserId", UUID)
SessionId = NewType("SessionId", UUID)

# NOTE: Python's $ also matches before a last newline; (?!\n) after it does not let that pass.
Handle = Annotated[
    str, Meta(min_length=2, max_length=30, pattern=r"^[a-z0-9_]+$(?!\n)", description="without the @")
]
Name = Annotated[str, Meta(min_length=1, max_length=80, pattern=r"\S")]
Bio = Annotated[str, Meta(max_length=500)]
NewPassword = Annotated[str, Meta(min_length=8, max_length=256)]
Password = Annotated[str, Meta(max_length=256)]
Secret = Annotated[str, Meta(min_length=1, max_length=100)]
Cursor = Annotated[
    str,
    Meta(min_length=1, max_length=8000, description="`next_cursor` of the page before; without it, the first page"),
]
Limit = Annotated[int, Meta(ge=1, le=100, description="how many at most")]
Role = Literal["member", "administrator"]
UserIds = Annotated[list[UserId], Meta(max_length=5001)]


class HandleTaken(Refusal, code="handle_taken", status=409, title="That handle is taken"):
    """Somebody has that handle, or had it less than 30 days ago."""


class InviteNeeded(Refusal, code="invite_needed", status=403, title="An invite is needed"):
    """This server takes new people by invite, and the code given is unknown, used or expired."""


class LinkSpent(Refusal, code="link_spent", status=403, title="The link is spent"):
    """A one-time link that was used, has expired, or never existed."""


class WeakPassword(Refusal, code="weak_password", status=422, title="That password is known to attackers"):
    """The password stands in lists of leaked ones, or is the handle or name."""


class WrongPassword(Refusal, code="wrong_password", status=403, title="The current password is not right"):
    """A password change must name the current one."""


class SignInFailed(Refusal, code="sign_in_failed", status=401, title="Handle and password do not fit"):
    """The same for an unknown handle, a wrong password and a suspended account."""


class DeletionAborted(Refusal, code="deletion_aborted", status=503, title="Not deleted"):
    """A part of the server could not promise to take part, so nothing at all was deleted. Try again."""


class LastAdministrator(Refusal, code="last_administrator", status=409, title="The last administrator"):
    """A server keeps at least one administrator who is not suspended."""


class ExportTooLarge(Refusal, code="export_too_large", status=422, title="Too much for one archive"):
    """What is kept is more than fits one archive, or than can be put together in time. Ask for it in parts."""


# What others see of a person.


class UserCard(Value, frozen=True):
    """The little that stands beside everything a person says."""

    id: UserId
    handle: str
    name: str
    avatar: str  # a path that the server makes


class Profile(Value, frozen=True):
    """A person's page. `role` and `suspended` are shown to oneself and to administrators only."""

    id: UserId
    handle: str
    name: str
    bio: str
    avatar: str
    created_at: Instant
    role: Role | UnsetType = UNSET
    suspended: bool | UnsetType = UNSET


class Users(Value, frozen=True):
    """People, a page of them."""

    users: list[UserCard]
    next_cursor: str | None = None


# Internal calls.


class ByIds(Value, frozen=True):
    """Which people."""

    ids: UserIds


class CardAsOf(Value, frozen=True):
    """A card, and the person's version when it was read: for those who keep it. Who is suspended has no card."""

    card: UserCard | None
    as_of: int


class TokenDigests(Value, frozen=True):
    """SHA-256 of sessions' tokens: the tokens themselves stay at the edge."""

    digests: list[bytes]


class SignedIn(Value, frozen=True):
    """Who holds a token."""

    user_id: UserId
    role: Role
    session_id: SessionId
    as_of: int  # the person's version when this was read
    expires_ms: int


class ByHandle(Value, frozen=True):
    """Which person, by handle."""

    handle: str


class ByHandles(Value, frozen=True):
    """Which people, by their handles."""

    handles: Annotated[list[str], Meta(max_length=100)]


class Living(Value, frozen=True):
    """Those who have an account, the suspended too."""

    ids: list[UserId]


class ImportedPerson(Value, frozen=True):
    """A person made elsewhere; no password, so nobody can sign in but by a one-time link."""

    id: UserId
    handle: Handle
    name: Name
    bio: Bio
    created_ms: int


class ImportPeople(Value, frozen=True):
    """One batch, one transaction. People who are there already stay as they are."""

    people: Annotated[list[ImportedPerson], Meta(max_length=5000)]


class Imported(Value, frozen=True):
    """How many came new, and how many were there."""

    added: int
    present: int


class OneTimeLink(Value, frozen=True):
    """`secret` opens `path` once, until `expires_at`."""

    path: str
    secret: str
    expires_at: Instant


class Account(Value, frozen=True):
    """An account as the operator sees it."""

    id: UserId
    handle: str
    name: str
    role: Role
    suspended: bool
    created_at: Instant


class AccountsAsk(Value, frozen=True):
    """Accounts after a handle, in handle order."""

    after: str = ""
    limit: int = 100


class Accounts(Value, frozen=True):
    """A page of accounts and the count of all."""

    accounts: list[Account]
    total: int


class Suspend(Value, frozen=True):
    """Suspend or let back in."""

    handle: str
    suspended: bool


Gid = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$(?!\n)", description="as the status address has it")]
TransactionOutcome = Literal["COMMIT", "ABORT"]
BranchState = Literal["prepared", "committed", "aborted", "absent"]


class Removal(Value, frozen=True):
    """The deletion of an account, as its participants are told of it."""

    gid: Gid
    user_id: UserId


class Vote(Value, frozen=True):
    """`yes` is a promise that outlives any crash."""

    yes: bool


class Branch(Value, frozen=True):
    """What a participant's part of a deletion is by now."""

    state: BranchState


class OneTransaction(Value, frozen=True):
    gid: Gid


class Outcome(Value, frozen=True):
    """What was decided. Who is not `known` was never decided, and is aborted."""

    known: bool
    outcome: TransactionOutcome | None


class TransactionsAsk(Value, frozen=True):
    """One transaction, ended ones too; without `gid`, all that are unfinished."""

    gid: Gid | None = None


class Transaction(Value, frozen=True):
    """A deletion in the coordinator's log."""

    gid: Gid
    user_id: UserId
    participants: list[str]
    outcome: TransactionOutcome | None
    begun_at: Instant
    deadline: Instant
    finished_at: Instant | None
    age: float  # seconds


class Transactions(Value, frozen=True):
    transactions: list[Transaction]


class HeldBranch(Value, frozen=True):
    """A part of a deletion at one participant. `age` is that of a prepared one, in seconds."""

    gid: Gid
    state: BranchState
    age: float | None = None


class Branches(Value, frozen=True):
    """The branch that was asked for; without `gid`, all that are prepared."""

    branches: list[HeldBranch]


class SetUpState(Value, frozen=True):
    """`link` is set while the server has no administrator."""

    link: OneTimeLink | None


cards: Call[ByIds, dict[UserId, UserCard]] = Call(
    "users/cards",
    ByIds,
    dict[UserId, UserCard],
    safe=True,
    callers={"timeline", "messages", "friends", "cli", "notifications", "media"},
)
cards_as_of: Call[ByIds, Mapping[UserId, CardAsOf]] = Call(
    "users/cards_as_of", ByIds, dict[UserId, CardAsOf], safe=True, callers={"timeline", "messages"}
)
whois: Call[TokenDigests, list[SignedIn | None]] = Call(
    "users/whois", TokenDigests, list[SignedIn | None], safe=True, callers={"edge"}
)  # in their order; None for a token that opens nothing
set_up_state = Call("users/set_up_state", Nothing, SetUpState, callers={"cli"})
find = Call("users/find", ByHandle, Account, safe=True, callers={"cli"})
accounts = Call("users/accounts", AccountsAsk, Accounts, safe=True, callers={"cli"})
living = Call("users/living", ByIds, Living, safe=True, callers={"cli"})
by_handles: Call[ByHandles, dict[str, UserCard]] = Call(
    "users/by_handles", ByHandles, dict[str, UserCard], safe=True, callers={"web"}
)  # the unknown and the hidden are absent alike
showing_presence = Call("users/showing_presence", ByIds, Living, safe=True, callers={"timeline"})
invite = Call("users/invite", Nothing, OneTimeLink, callers={"cli"})
suspend = Call("users/suspend", Suspend, Account, callers={"cli"})
reset_link = Call("users/reset_link", ByHandle, OneTimeLink, callers={"cli"})
sign_in_link = Call("users/sign_in_link", ByHandle, OneTimeLink, callers={"cli"})
make_administrator = Call("users/make_administrator", ByHandle, Account, callers={"cli"})
# Not guarded: participants hold locks until they know it.
outcome = Call("users/outcome", OneTransaction, Outcome, safe=True, callers={"friends", "messages"}, guarded=False)
transactions = Call("users/transactions", TransactionsAsk, Transactions, safe=True, callers={"cli"})
register_cache = Call(
    "users/register_cache", Registration, Nothing, callers={"timeline", "messages", "edge"}, guarded=False
)
occurrences = Call(
    "users/occurrences", OccurredAsk, OccurredPage, safe=True, callers={"notifications", "media"}, guarded=False
)
export = Export(
    "users",
    callers={"users"},  # the archive is made of what each service gives, this one too
    files={
        "profile.json": "your account: handle, name, what you say about yourself, role, and since when",
        "preferences.json": "what your clients remember for you",
        "sessions.json": "where you are signed in",
        "invites.json": "the invites that you made, without their codes",
        "links.json": "one-time links made for you that nobody has used yet, without their secrets",
    },
)
import_people = Call("users/import_people", ImportPeople, Imported, callers={"cli"}, deadline=30.0)


# Events: ids and versions, never content.


class UserChanged(Value, frozen=True):
    """A profile, a suspension or a role changed: read the user again."""

    user_id: UserId
    version: int
    avatar: UUID | None = None  # the picture that is theirs by now


joined = Event("users.joined", UserChanged)
changed = Event("users.changed", UserChanged)
suspended = Event("users.suspended", UserChanged, takes_away=True)
reinstated = Event("users.reinstated", UserChanged)
removed = Event("users.removed", UserChanged, takes_away=True)
signed_out = Event("users.signed_out", UserChanged, takes_away=True)


# Public routes.


class NewUser(Value, frozen=True):
    """Sign up. `invite` is needed unless the server is open."""

    handle: Handle
    name: Name
    password: NewPassword
    invite: Secret | None = None


class SignUp(Value, frozen=True):
    body: NewUser


class FindUsers(Value, frozen=True):
    """One of `ids`, `handle` and `q`; `q` finds by the beginning of a name's words or of the handle."""

    ids: Annotated[list[UserId], Meta(max_length=100)] | None = None
    handle: Handle | None = None
    q: Annotated[str, Meta(min_length=1, max_length=80)] | None = None
    limit: Limit = 20
    cursor: Cursor | None = None


class OneUser(Value, frozen=True):
    user_id: UserId


class OneDeletion(Value, frozen=True):
    """The address comes with the 202 of the deletion. It needs no sign-in, since the account's has ended."""

    gid: Gid


class Deletion(Value, frozen=True):
    """`deleted` and `aborted` are final; an aborted deletion changed nothing."""

    state: Literal["deciding", "deleted", "aborted"]


class ExportOfMe(Value, frozen=True):
    """Everything that is kept about oneself, as one ZIP; its README.txt says what each file holds.

    `since` and `until` narrow messages, replies, reactions and pictures to what is from then on, and before then.
    """

    user_id: UserId
    since: Annotated[datetime, Meta(tz=True)] | None = None
    until: Annotated[datetime, Meta(tz=True)] | None = None


class NewProfile(Value, frozen=True):
    """The whole of what one may change. `avatar` is a picture of one's own, uploaded before."""

    name: Name
    bio: Bio
    avatar: UUID | None = None


class ReplaceProfile(Value, frozen=True):
    user_id: UserId
    body: NewProfile


class ProfilePatch(Value, frozen=True):
    """A merge patch (RFC 7396): what is left out stays; `bio: null` empties it, `avatar: null` removes it."""

    name: Name | UnsetType = UNSET
    bio: Bio | UnsetType | None = UNSET
    avatar: UUID | UnsetType | None = UNSET


class PatchProfile(Value, frozen=True):
    user_id: UserId
    body: ProfilePatch


class PasswordChange(Value, frozen=True):
    current: Password
    new: NewPassword


class ChangePassword(Value, frozen=True):
    body: PasswordChange


class Preferences(Value, frozen=True):
    """What one's clients remember. `feed_marker` is the message one has read to."""

    language: Annotated[str, Meta(max_length=35, pattern=r"^[A-Za-z0-9-]*$(?!\n)")] = ""
    feed_marker: UUID | None = None
    presence: bool = True


class Greeting(Value, frozen=True):
    """Who somebody who is signed in is, and what their clients remember."""

    card: UserCard
    role: Role
    preferences: Preferences


greeting = Call("users/greeting", Nothing, Greeting, safe=True, callers={"web"})  # refuses with Unauthenticated


class ReplacePreferences(Value, frozen=True):
    body: Preferences


class FirstAdministrator(Value, frozen=True):
    """Redeems the one-time link that `tidings up` prints."""

    link: Secret
    handle: Handle
    name: Name
    password: NewPassword


class SetUp(Value, frozen=True):
    body: FirstAdministrator


class NewSession(Value, frozen=True):
    """Sign in by `handle` and `password`, or by a one-time `link`."""

    handle: Annotated[str, Meta(max_length=30)] | None = None
    password: Password | None = None
    link: Secret | None = None
    label: Annotated[str, Meta(max_length=80)] = ""


class SignIn(Value, frozen=True):
    body: NewSession


class NewToken(Value, frozen=True):
    """The token is shown once. Send it as `Authorization: Bearer`."""

    token: str
    session_id: SessionId
    user_id: UserId
    expires_at: Instant


class Session(Value, frozen=True):
    """One sign-in of one's own."""

    id: SessionId
    label: str
    created_at: Instant
    expires_at: Instant
    current: bool


class Sessions(Value, frozen=True):
    sessions: list[Session]


class OneSession(Value, frozen=True):
    session_id: SessionId


class PasswordReset(Value, frozen=True):
    """Redeems a reset link; every session of the account ends."""

    link: Secret
    password: NewPassword


class ResetPassword(Value, frozen=True):
    body: PasswordReset


class Invite(Value, frozen=True):
    """Lets one person sign up. `code` is shown to its maker only."""

    id: UUID
    code: str
    expires_at: Instant
    used: bool


class Invites(Value, frozen=True):
    invites: list[Invite]


class OneInvite(Value, frozen=True):
    invite_id: UUID


sign_up = Route(
    "users/sign_up",
    "POST",
    "/v1/users",
    SignUp,
    Profile,
    "Sign up",
    status=201,
    who="anyone",
    refusals=(HandleTaken, InviteNeeded, WeakPassword),
    idempotency=True,
    idempotency_scope="key",
    callers={"web"},
)
find_users = Route(
    "users/find_users",
    "GET",
    "/v1/users",
    FindUsers,
    Users,
    "People by ids, handle or name",
    can_wait=True,
    callers={"web"},
)
get_user = Route(
    "users/get_user",
    "GET",
    "/v1/users/{user_id}",
    OneUser,
    Profile,
    "A person",
    refusals=(NotFound,),
    me=True,
    callers={"web"},
)
replace_user = Route(
    "users/replace_user",
    "PUT",
    "/v1/users/{user_id}",
    ReplaceProfile,
    Profile,
    "Replace one's profile",
    refusals=(NotFound, Stale),
    conditional=True,
    me=True,
)
patch_user = Route(
    "users/patch_user",
    "PATCH",
    "/v1/users/{user_id}",
    PatchProfile,
    Profile,
    "Change one's profile",
    refusals=(NotFound, Stale),
    conditional=True,
    me=True,
    callers={"web"},
)
delete_user = Route(
    "users/delete_user",
    "DELETE",
    "/v1/users/{user_id}",
    OneUser,
    Nothing,
    "Delete one's account with all that belongs to it, or nothing of it",
    status=204,
    accepted=Deletion,
    refusals=(NotFound, LastAdministrator, DeletionAborted),
    me=True,
    callers={"web"},
)
get_deletion = Route(
    "users/get_deletion",
    "GET",
    "/v1/deletions/{gid}",
    OneDeletion,
    Deletion,
    "How a deletion goes",
    who="anyone",
    refusals=(NotFound,),
    callers={"web"},
)
get_export = Route(
    "users/get_export",
    "GET",
    "/v1/users/{user_id}/export",
    ExportOfMe,
    bytes,
    "All that is kept about oneself, as an archive",
    refusals=(NotFound, ExportTooLarge, Busy),
    me=True,
    content_type="application/zip",
    deadline=60.0,
)
change_password = Route(
    "users/change_password",
    "PUT",
    "/v1/users/me/password",
    ChangePassword,
    NewToken,
    "Change one's password; every other session ends, and this one gets a new token",
    refusals=(WrongPassword, WeakPassword),
    callers={"web"},
)
get_preferences = Route(
    "users/get_preferences",
    "GET",
    "/v1/users/me/preferences",
    Nothing,
    Preferences,
    "One's preferences",
    callers={"web"},
)
replace_preferences = Route(
    "users/replace_preferences",
    "PUT",
    "/v1/users/me/preferences",
    ReplacePreferences,
    Preferences,
    "Replace one's preferences",
    refusals=(Stale,),
    conditional=True,
    callers={"web"},
)
suspend_user = Route(
    "users/suspend_user",
    "PUT",
    "/v1/users/{user_id}/suspension",
    OneUser,
    Nothing,
    "Suspend a person",
    status=204,
    who="administrator",
    refusals=(NotFound, LastAdministrator),
)
reinstate_user = Route(
    "users/reinstate_user",
    "DELETE",
    "/v1/users/{user_id}/suspension",
    OneUser,
    Nothing,
    "Let a person back in",
    status=204,
    who="administrator",
    refusals=(NotFound,),
)
set_up = Route(
    "users/set_up",
    "POST",
    "/v1/setup",
    SetUp,
    Profile,
    "Make the first administrator",
    status=201,
    who="anyone",
    refusals=(LinkSpent, HandleTaken, WeakPassword),
    callers={"web"},
)
sign_in = Route(
    "users/sign_in",
    "POST",
    "/v1/sessions",
    SignIn,
    NewToken,
    "Sign in",
    status=201,
    who="anyone",
    refusals=(SignInFailed, LinkSpent),
    callers={"web"},
)
list_sessions = Route(
    "users/list_sessions", "GET", "/v1/sessions", Nothing, Sessions, "One's sessions", callers={"web"}
)
sign_out_everywhere = Route(
    "users/sign_out_everywhere",
    "DELETE",
    "/v1/sessions",
    Nothing,
    Nothing,
    "End every session of one's own",
    status=204,
    callers={"web"},
)
sign_out = Route(
    "users/sign_out",
    "DELETE",
    "/v1/sessions/{session_id}",
    OneSession,
    Nothing,
    "End one session",
    status=204,
    refusals=(NotFound,),
    callers={"web"},
)
reset_password = Route(
    "users/reset_password",
    "POST",
    "/v1/password-resets",
    ResetPassword,
    Nothing,
    "Set a new password by a one-time link",
    status=204,
    who="anyone",
    refusals=(LinkSpent, WeakPassword),
    callers={"web"},
)
make_invite = Route(
    "users/make_invite",
    "POST",
    "/v1/invites",
    Nothing,
    Invite,
    "Invite somebody",
    status=201,
    idempotency=True,
    callers={"web"},
)
list_invites = Route("users/list_invites", "GET", "/v1/invites", Nothing, Invites, "One's invites", callers={"web"})
withdraw_invite = Route(
    "users/withdraw_invite",
    "DELETE",
    "/v1/invites/{invite_id}",
    OneInvite,
    Nothing,
    "Withdraw an invite",
    status=204,
    refusals=(NotFound,),
    callers={"web"},
)
get_avatar = Route(
    "users/get_avatar",
    "GET",
    "/v1/avatars/{user_id}",
    OneUser,
    bytes,
    "A picture made from the id alone",
    who="anyone",
    content_type="image/png",
)

"""web: the pages, made of what other services give; it owns nothing."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta

from tidings.contracts import media
from tidings.contracts.messages import Emoji, MessageId
from tidings.contracts.users import Cursor, Gid, UserId
from tidings.platform.contract import Refusal, Upload, Uploaded, Value, Visit, page


class PostedBefore(Refusal, code="posted_before", status=409, title="An earlier version was posted already"):
    """The same sheet was posted before, with other words; its answer was lost."""


PATIENCE = 60.0  # seconds; with a picture that comes along

# What people type is judged by the service that it is for, so that a page can show it again with what was wrong.
Line = Annotated[str, Meta(max_length=2000)]
Prose = Annotated[str, Meta(max_length=100_000)]
Lines = Annotated[list[Line], Meta(max_length=200)]
Local = Annotated[str, Meta(max_length=4000, description="a path of this server to go on to")]


class Page(Value, frozen=True):
    """A page that asks for nothing more."""

    visit: Visit


class SettingsPage(Value, frozen=True):
    """All settings; `done` names what was changed a moment ago."""

    visit: Visit
    done: Line = ""


# Coming in.


class LinkPage(Value, frozen=True):
    """A page behind a one-time link."""

    visit: Visit
    link: Line = ""


class SetUpForm(Value, frozen=True):
    link: Line = ""
    handle: Line = ""
    name: Line = ""
    password: Line = ""


class SetUp(Value, frozen=True):
    visit: Visit
    body: SetUpForm


class JoinPage(Value, frozen=True):
    visit: Visit
    invite: Line = ""


class JoinForm(Value, frozen=True):
    invite: Line = ""
    handle: Line = ""
    name: Line = ""
    password: Line = ""
    key: Line = ""


class Join(Value, frozen=True):
    visit: Visit
    body: JoinForm


class SignInPage(Value, frozen=True):
    visit: Visit
    link: Line = ""
    next: Local = "/"


class SignInForm(Value, frozen=True):
    link: Line = ""
    handle: Line = ""
    password: Line = ""
    next: Local = "/"


class SignIn(Value, frozen=True):
    visit: Visit
    body: SignInForm


class ResetForm(Value, frozen=True):
    link: Line = ""
    password: Line = ""


class Reset(Value, frozen=True):
    visit: Visit
    body: ResetForm


# Reading.


class TimelinePage(Value, frozen=True):
    """What each friend said last."""

    visit: Visit
    cursor: Cursor | None = None


class FeedPage(Value, frozen=True):
    """Everything in one order, from the newest, from a cursor, or from one message on."""

    visit: Visit
    cursor: Cursor | None = None
    at: MessageId | None = None


class MessagePage(Value, frozen=True):
    """One message, and a page of its replies."""

    visit: Visit
    message_id: MessageId
    cursor: Cursor | None = None
    at: MessageId | None = None


class MarkerForm(Value, frozen=True):
    at: UUID


class Marker(Value, frozen=True):
    """One has read up to this message."""

    visit: Visit
    body: MarkerForm


# Writing.


class WritePage(Value, frozen=True):
    """An empty sheet, or one that begins with `text` or answers `reply_to`."""

    visit: Visit
    text: Line = ""
    reply_to: MessageId | None = None


class WriteForm(Value, frozen=True):
    """A message as it is being written. `media` and `alts` go together, one by one."""

    text: Prose = ""
    media: Lines = []
    alts: Lines = []
    alt: Line = ""  # of the file that comes along
    audience: Line = "friends"
    only: Lines = []  # handles
    latitude: Line = ""
    longitude: Line = ""
    place: Line = ""
    decimals: Line = "2"
    reply_to: Line = ""
    key: Line = ""
    do: Line = "post"  # or `attach`, or `drop:` and a media id


class Write(Value, frozen=True):
    visit: Visit
    body: WriteForm
    upload: Uploaded | None = None


class EditPage(Value, frozen=True):
    visit: Visit
    message_id: MessageId


class EditForm(Value, frozen=True):
    """`version` is the one that was read: who changed it meanwhile is not overwritten."""

    text: Prose = ""
    media: Lines = []
    alts: Lines = []
    version: Line = ""


class Edit(Value, frozen=True):
    visit: Visit
    message_id: MessageId
    body: EditForm


class WithdrawForm(Value, frozen=True):
    sure: Line = ""
    next: Local = "/"


class Withdraw(Value, frozen=True):
    visit: Visit
    message_id: MessageId
    body: WithdrawForm


class ReactForm(Value, frozen=True):
    """`back` takes the reaction back."""

    emoji: Emoji
    back: Line = ""
    next: Local = ""


class React(Value, frozen=True):
    visit: Visit
    message_id: MessageId
    body: ReactForm


# People.


class PersonPage(Value, frozen=True):
    visit: Visit
    user_id: UserId
    cursor: Cursor | None = None


class HandlePage(Value, frozen=True):
    visit: Visit
    handle: Line


StandDo = Literal["ask", "accept", "decline", "withdraw", "unfriend", "block", "unblock", "mute", "unmute"]


class StandForm(Value, frozen=True):
    """How one stands with somebody, from now on. What ends something asks whether one is `sure`."""

    do: StandDo
    sure: Line = ""
    next: Local = ""


class Stand(Value, frozen=True):
    visit: Visit
    user_id: UserId
    body: StandForm


class FriendsPage(Value, frozen=True):
    """Friends and requests; with `q`, people who are found by it."""

    visit: Visit
    q: Line = ""
    cursor: Cursor | None = None


class ListPage(Value, frozen=True):
    visit: Visit
    cursor: Cursor | None = None


class MarkReadForm(Value, frozen=True):
    until: Line


class MarkRead(Value, frozen=True):
    visit: Visit
    body: MarkReadForm


# One's own.


class ProfileForm(Value, frozen=True):
    """With a file beside it, that becomes the avatar; with `remove_avatar`, there is none."""

    name: Line = ""
    bio: Prose = ""
    remove_avatar: Line = ""


class ChangeProfile(Value, frozen=True):
    visit: Visit
    body: ProfileForm
    upload: Uploaded | None = None


class PasswordForm(Value, frozen=True):
    current: Line = ""
    new: Line = ""


class ChangePassword(Value, frozen=True):
    visit: Visit
    body: PasswordForm


class PreferencesForm(Value, frozen=True):
    """`presence` is a box: ticked, or not sent."""

    language: Line = ""
    presence: Line = ""


class ChangePreferences(Value, frozen=True):
    visit: Visit
    body: PreferencesForm


class SessionForm(Value, frozen=True):
    """Which session ends; without one, all of them, when one is `sure`."""

    session_id: Line = ""
    sure: Line = ""


class EndSession(Value, frozen=True):
    visit: Visit
    body: SessionForm


class InviteForm(Value, frozen=True):
    """Which invite is withdrawn; without one, one is made."""

    invite_id: Line = ""
    key: Line = ""


class ChangeInvites(Value, frozen=True):
    visit: Visit
    body: InviteForm


class DeleteForm(Value, frozen=True):
    """One's own handle, to be sure."""

    handle: Line = ""


class DeleteMe(Value, frozen=True):
    visit: Visit
    body: DeleteForm


class GonePage(Value, frozen=True):
    """How a deletion goes."""

    visit: Visit
    gid: Gid | None = None


FILE = Upload(begin=media.begin_upload, part=media.add_part, give_back=media.give_back, required=False)

home = page(
    "web/home", "GET", "/", TimelinePage, "The timeline; to strangers, a welcome", who="anyone", can_wait=True
)
sign_in_page = page("web/sign_in_page", "GET", "/signin", SignInPage, "Sign in", who="anyone")
sign_in = page("web/sign_in", "POST", "/signin", SignIn, "Sign in", who="anyone")
sign_out = page("web/sign_out", "POST", "/signout", Page, "Sign out")
join_page = page("web/join_page", "GET", "/join", JoinPage, "Sign up", who="anyone")
join = page("web/join", "POST", "/join", Join, "Sign up", who="anyone")
set_up_page = page("web/set_up_page", "GET", "/setup", LinkPage, "The first administrator", who="anyone")
set_up = page("web/set_up", "POST", "/setup", SetUp, "The first administrator", who="anyone")
reset_page = page("web/reset_page", "GET", "/reset", LinkPage, "A new password", who="anyone")
reset = page("web/reset", "POST", "/reset", Reset, "A new password", who="anyone")
help_page = page("web/help_page", "GET", "/help", Page, "Help, with the keys", who="anyone")

feed = page("web/feed", "GET", "/feed", FeedPage, "Every message of friends and oneself", can_wait=True)
mark_feed = page("web/mark_feed", "POST", "/feed/marker", Marker, "One has read up to here")
message = page(
    "web/message", "GET", "/messages/{message_id}", MessagePage, "A message and its replies", can_wait=True
)
history = page(
    "web/history", "GET", "/messages/{message_id}/history", MessagePage, "What it said before", can_wait=True
)

write_page = page("web/write_page", "GET", "/write", WritePage, "Write a message")
write = page(
    "web/write",
    "POST",
    "/write",
    Write,
    "Post a message, or attach a picture to it",
    upload=FILE,
    deadline=PATIENCE,
)
edit_page = page("web/edit_page", "GET", "/messages/{message_id}/edit", EditPage, "Edit a message")
edit = page("web/edit", "POST", "/messages/{message_id}/edit", Edit, "Edit a message")
withdraw = page("web/withdraw", "POST", "/messages/{message_id}/delete", Withdraw, "Delete a message")
react = page("web/react", "POST", "/messages/{message_id}/react", React, "React, or take it back")

person = page("web/person", "GET", "/people/{user_id}", PersonPage, "A person and what they said", can_wait=True)
by_handle = page("web/by_handle", "GET", "/@{handle}", HandlePage, "The same, by handle", can_wait=True)
stand = page("web/stand", "POST", "/people/{user_id}/stand", Stand, "Ask, accept, part, block, mute")
friends = page("web/friends", "GET", "/friends", FriendsPage, "Friends, requests, and search", can_wait=True)
hidden = page("web/hidden", "GET", "/settings/hidden", Page, "Whom one blocks and mutes")
notifications = page("web/notifications", "GET", "/notifications", ListPage, "What concerns oneself")
mark_read = page("web/mark_read", "POST", "/notifications", MarkRead, "It has been read")

settings = page("web/settings", "GET", "/settings", SettingsPage, "Settings")
change_profile = page(
    "web/change_profile",
    "POST",
    "/settings/profile",
    ChangeProfile,
    "Change the profile",
    upload=FILE,
    deadline=PATIENCE,
)
change_password = page("web/change_password", "POST", "/settings/password", ChangePassword, "Change the password")
change_preferences = page(
    "web/change_preferences", "POST", "/settings/preferences", ChangePreferences, "Change preferences"
)
end_session = page("web/end_session", "POST", "/settings/sessions", EndSession, "End sessions")
change_invites = page(
    "web/change_invites", "POST", "/settings/invites", ChangeInvites, "Make or withdraw an invite"
)
delete_page = page("web/delete_page", "GET", "/settings/delete", Page, "What goes with the account")
delete_me = page("web/delete_me", "POST", "/settings/delete", DeleteMe, "Delete the account")
gone = page("web/gone", "GET", "/gone", GonePage, "How a deletion goes", who="anyone")

"""Every page of the contract, and where it is made."""

from __future__ import annotations

from tidings.web.pages.entrance import (
    help_page,
    join,
    join_page,
    reset,
    reset_page,
    set_up,
    set_up_page,
    sign_in,
    sign_in_page,
    sign_out,
)
from tidings.web.pages.notifications import mark_read, notifications_page
from tidings.web.pages.own import (
    change_invites,
    change_password,
    change_preferences,
    change_profile,
    delete_me,
    delete_page,
    end_session,
    gone,
    settings,
)
from tidings.web.pages.people import by_handle, friends_page, hidden, person, stand
from tidings.web.pages.reading import feed, history, home, mark_feed, message
from tidings.web.pages.writing import edit, edit_page, react, withdraw, write, write_page

__all__ = [
    "by_handle",
    "change_invites",
    "change_password",
    "change_preferences",
    "change_profile",
    "delete_me",
    "delete_page",
    "edit",
    "edit_page",
    "end_session",
    "feed",
    "friends_page",
    "gone",
    "help_page",
    "hidden",
    "history",
    "home",
    "join",
    "join_page",
    "mark_feed",
    "mark_read",
    "message",
    "notifications_page",
    "person",
    "react",
    "reset",
    "reset_page",
    "set_up",
    "set_up_page",
    "settings",
    "sign_in",
    "sign_in_page",
    "sign_out",
    "stand",
    "withdraw",
    "write",
    "write_page",
]

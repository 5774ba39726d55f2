"""Pages for coming in and going out: sign in, sign up, set-up, one-time links, sign out."""

from __future__ import annotations

import secrets
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import msgspec

from tidings.contracts import users, web
from tidings.contracts.users import NewToken
from tidings.platform.contract import Admission, Invalid, NotFound, Refusal, Reply
from tidings.platform.request import Viewer
from tidings.platform.service import serves
from tidings.web.asking import ask, asked
from tidings.web.holder import Web
from tidings.web.language import catalogue
from tidings.web.shell import Shell, onward, shell
from tidings.web.typed import as_typed

SPENT: Final = 410  # Gone: a link that was used, has ended, or never was, since nobody can tell which
LABEL: Final = "browser"
# A name that nobody could see, and a password that is the handle: no account comes of either.
NOBODY: Final = {"handle": "nobody_at_all", "name": "\u200b", "password": "nobody_at_all"}


@serves(web.sign_in_page)
async def sign_in_page(svc: Web, viewer: Viewer, wanted: web.SignInPage) -> Reply[bytes]:
    """The form; behind a one-time link, a single button."""
    around = await shell(svc, viewer, wanted.visit)
    form = web.SignInForm(link=wanted.link, next=wanted.next)
    return around.page("sign_in.html", form=form, open_sign_up=svc.open_sign_up)


@serves(web.sign_in)
async def sign_in(svc: Web, viewer: Viewer, wanted: web.SignIn) -> Reply[bytes]:
    """A new session, whatever the browser held before."""
    form = wanted.body
    given: dict[str, Any] = {"label": LABEL}
    given |= {"link": form.link} if form.link else {"handle": _handle(form.handle), "password": form.password}
    try:
        token = await ask(svc, users.sign_in, as_typed({"body": given}, users.SignIn))
    except Refusal as refusal:
        around = await shell(svc, viewer, wanted.visit)
        form = msgspec.structs.replace(form, password="")
        return around.page("sign_in.html", form=form, open_sign_up=svc.open_sign_up, problem=refusal)
    await _ends_former(svc, viewer)
    return onward(form.next, admission=admitted(token))


@serves(web.sign_out)
async def sign_out(svc: Web, viewer: Viewer, wanted: web.Page) -> Reply[bytes]:
    """End this session, and forget it in the browser."""
    await _ends_former(svc, viewer)
    return onward("/", admission=Admission(token=None))


@serves(web.join_page)
async def join_page(svc: Web, viewer: Viewer, wanted: web.JoinPage) -> Reply[bytes]:
    """The form for a new account."""
    around = await shell(svc, viewer, wanted.visit)
    form = web.JoinForm(invite=wanted.invite, key=secrets.token_urlsafe(16))
    return around.page("join.html", form=form, open_sign_up=svc.open_sign_up)


@serves(web.join)
async def join(svc: Web, viewer: Viewer, wanted: web.Join) -> Reply[bytes]:
    """Make the account, and sign it in."""
    form = msgspec.structs.replace(wanted.body, handle=_handle(wanted.body.handle))
    given = {"handle": form.handle, "name": form.name, "password": form.password, "invite": form.invite or None}
    try:
        await ask(svc, users.sign_up, as_typed({"body": given}, users.SignUp), key=form.key)
        return await _first_visit(svc, form.handle, form.password)
    except Refusal as refusal:
        around = await shell(svc, viewer, wanted.visit)
        form = msgspec.structs.replace(form, password="", key=secrets.token_urlsafe(16))
        hints = _hints(around)
        return around.page("join.html", form=form, open_sign_up=svc.open_sign_up, problem=refusal, hints=hints)


@serves(web.set_up_page)
async def set_up_page(svc: Web, viewer: Viewer, wanted: web.LinkPage) -> Reply[bytes]:
    """The form for the first administrator, while its link is good."""
    around = await shell(svc, viewer, wanted.visit)
    if wanted.link and await _is_spent(svc, wanted.link):
        return around.page("set_up_spent.html", status=SPENT)
    return around.page("set_up.html", form=web.SetUpForm(link=wanted.link))


@serves(web.set_up)
async def set_up(svc: Web, viewer: Viewer, wanted: web.SetUp) -> Reply[bytes]:
    """Make the first administrator, and sign them in."""
    form = msgspec.structs.replace(wanted.body, handle=_handle(wanted.body.handle))
    given = {"link": form.link, "handle": form.handle, "name": form.name, "password": form.password}
    try:
        await ask(svc, users.set_up, as_typed({"body": given}, users.SetUp))
        return await _first_visit(svc, form.handle, form.password)
    except users.LinkSpent:
        around = await shell(svc, viewer, wanted.visit)
        return around.page("set_up_spent.html", status=SPENT)
    except Refusal as refusal:
        around = await shell(svc, viewer, wanted.visit)
        form = msgspec.structs.replace(form, password="")
        return around.page("set_up.html", form=form, problem=refusal, hints=_hints(around))


async def _is_spent(svc: Web, link: str) -> bool:
    """Whether the service refuses the link itself; it is not used up by asking.

    NOTE: no call only asks for a link's state, so the form is tried with what is never accepted.
    """
    try:
        await ask(svc, users.set_up, as_typed({"body": {"link": link, **NOBODY}}, users.SetUp))
    except users.LinkSpent:
        return True
    except Invalid as refusal:
        return any(error.pointer.endswith("/link") for error in refusal.errors)
    except Refusal:
        return False
    raise AssertionError("a set-up was accepted that must be refused")


@serves(web.reset_page)
async def reset_page(svc: Web, viewer: Viewer, wanted: web.LinkPage) -> Reply[bytes]:
    """The form for a new password."""
    around = await shell(svc, viewer, wanted.visit)
    return around.page("reset.html", form=web.ResetForm(link=wanted.link))


@serves(web.reset)
async def reset(svc: Web, viewer: Viewer, wanted: web.Reset) -> Reply[bytes]:
    """Set the new password; every session ends, this browser's too."""
    form = wanted.body
    try:
        given = {"link": form.link, "password": form.password}
        await asked(svc, users.reset_password, as_typed({"body": given}, users.ResetPassword))
    except Refusal as refusal:
        around = await shell(svc, viewer, wanted.visit)
        form = msgspec.structs.replace(form, password="")
        return around.page("reset.html", form=form, problem=refusal, hints=_hints(around))
    return onward("/signin", admission=Admission(token=None))


@serves(web.help_page)
async def help_page(svc: Web, viewer: Viewer, wanted: web.Page) -> Reply[bytes]:
    """What there is, and the keys."""
    around = await shell(svc, viewer, wanted.visit)
    return around.page("help.html")


def admitted(token: NewToken) -> Admission:
    """The browser holds this token from now on."""
    return Admission(token=token.token, expires_at=datetime.fromisoformat(token.expires_at))


async def _ends_former(svc: Web, viewer: Viewer) -> None:
    """End the session that this browser holds: nobody uses it any more."""
    if viewer.session_id is not None:
        with suppress(NotFound):  # it ended elsewhere
            await asked(svc, users.sign_out, users.OneSession(session_id=users.SessionId(viewer.session_id)))


async def _first_visit(svc: Web, handle: str, password: str) -> Reply[bytes]:
    new = users.NewSession(handle=handle, password=password, label=LABEL)
    token = await ask(svc, users.sign_in, users.SignIn(body=new))
    return onward("/", admission=admitted(token))


def _handle(typed: str) -> str:
    return typed.strip().removeprefix("@").lower()


def _hints(around: Shell) -> dict[str, str]:
    told = catalogue(around.language).gettext
    return {
        "handle": told("2 to 30 of a-z, 0-9 and _"),
        "name": told("1 to 80 characters that can be seen"),
        "password": told("at least 8 characters, and not one that is known to attackers"),
        "link": told("Copy all of the link that you were given."),
        "invite": told("Copy all of the link that you were given."),
    }

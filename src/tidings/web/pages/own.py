"""Pages of what is one's own: settings, each section a form, and the end of the account."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec

from tidings.contracts import media, users, web
from tidings.contracts.media import Picture
from tidings.contracts.messages import MediaId
from tidings.contracts.users import UserId
from tidings.platform.clock import now_ms, rfc3339
from tidings.platform.contract import (
    Admission,
    FieldError,
    Invalid,
    NotFound,
    Nothing,
    Refusal,
    Reply,
    Stale,
    Uploaded,
    Visit,
)
from tidings.platform.request import Viewer
from tidings.platform.service import serves
from tidings.platform.together import together
from tidings.web.asking import ask, asked, versioned
from tidings.web.days import days_in
from tidings.web.holder import Web
from tidings.web.language import LANGUAGES, catalogue
from tidings.web.pages.entrance import admitted
from tidings.web.shell import onward, shell
from tidings.web.typed import as_typed

LOOKS: Final = 16  # at a picture that is being worked on
BETWEEN_LOOKS: Final = 0.5  # seconds
MADE_PICTURES: Final = "/v1/avatars/"  # of those who have none of their own
ACCEPTED: Final = 202


@serves(web.settings)
async def settings(svc: Web, viewer: Viewer, wanted: web.SettingsPage) -> Reply[bytes]:
    """All that one may change about oneself here."""
    return await _settings(svc, viewer, wanted.visit, done=wanted.done)


async def _settings(
    svc: Web,
    viewer: Viewer,
    visit: Visit,
    *,
    done: str = "",
    section: str = "",
    typed: Mapping[str, Any] | None = None,
    problem: Refusal | None = None,
) -> Reply[bytes]:
    """With a `problem`, that stands in its section, with what was typed there; so does what was `done`."""
    around, profile, sessions, invites = await together(
        shell(svc, viewer, visit),
        ask(svc, users.get_user, users.OneUser(user_id=UserId(viewer.known))),
        ask(svc, users.list_sessions, Nothing()),
        ask(svc, users.list_invites, Nothing()),
    )
    kept = around.greeting.preferences if around.greeting is not None else users.Preferences()
    now = rfc3339(now_ms())
    told = catalogue(around.language).gettext
    hints = {
        "name": told("1 to 80 characters that can be seen"),
        "bio": told("at most 500 characters"),
        "current": told("not the password that you have now"),
        "new": told("at least 8 characters, and not one that is known to attackers"),
        "language": told("one of those in the list"),
    }
    values = {
        "name": profile.name,
        "bio": profile.bio,
        "language": kept.language,
        "presence": kept.presence,
        **(typed or {}),
    }
    return around.page(
        "settings.html",
        here="settings",
        done=done,
        section=section,
        form=values,
        profile=profile,
        has_picture=not profile.avatar.startswith(MADE_PICTURES),
        sessions=sessions.sessions,
        invites=[one for one in invites.invites if not one.used and one.expires_at > now],
        joined=sum(one.used for one in invites.invites),
        origin=visit.origin,
        key=secrets.token_urlsafe(16),
        max_upload=svc.max_upload,
        day=days_in(around.language),
        problem=problem,
        hints=hints,
    )


def _done(what: str, admission: Admission | None = None) -> Reply[bytes]:
    """Back to the settings, which say so in the section where it was asked for."""
    return onward(f"/settings?done={what}#done", admission=admission)


@serves(web.change_profile)
async def change_profile(svc: Web, viewer: Viewer, wanted: web.ChangeProfile) -> Reply[bytes]:
    """Name, what one says about oneself, and the picture that stands beside both."""
    form = wanted.body
    change: dict[str, Any] = {"name": form.name, "bio": form.bio.replace("\r\n", "\n")}
    try:
        patch = _patch(viewer, change)
        if wanted.upload is not None:
            picture = await _ready(svc, wanted.upload)
            patch = _patch(viewer, {**change, "avatar": picture.id})
        elif form.remove_avatar:
            patch = _patch(viewer, {**change, "avatar": None})
        await ask(svc, users.patch_user, patch)
    except Refusal as refusal:
        typed = {"name": form.name, "bio": change["bio"]}
        return await _settings(svc, viewer, wanted.visit, section="profile", typed=typed, problem=refusal)
    return _done("profile")


def _patch(viewer: Viewer, change: dict[str, Any]) -> users.PatchProfile:
    return as_typed({"user_id": viewer.known, "body": change}, users.PatchProfile)


async def _ready(svc: Web, upload: Uploaded) -> Picture:
    """The picture, when it can be shown. Raises `Invalid` if it still cannot after some seconds."""
    new = media.UploadAsk(body=media.NewPicture(alt=""), upload=upload)
    picture = await ask(svc, media.upload, new)
    one = media.OneMedia(media_id=MediaId(picture.id))
    for _ in range(LOOKS):
        if picture.state != "processing":
            break
        await asyncio.sleep(BETWEEN_LOOKS)
        picture = await ask(svc, media.get_media, one)
    if picture.state == "processing":
        why = "Work on your picture takes longer than usual. Choose it again in a minute."
        raise Invalid("Nothing was changed yet.", errors=(FieldError("/file", why),))
    if picture.state == "refused":
        raise media.NotAPicture(picture.problem or "")
    return picture


@serves(web.change_password)
async def change_password(svc: Web, viewer: Viewer, wanted: web.ChangePassword) -> Reply[bytes]:
    """A new password; every other session ends, and this one goes on as a new one."""
    try:
        given = {"current": wanted.body.current, "new": wanted.body.new}
        token = await ask(svc, users.change_password, as_typed({"body": given}, users.ChangePassword))
    except Refusal as refusal:
        return await _settings(svc, viewer, wanted.visit, section="password", problem=refusal)
    return _done("password", admission=admitted(token))


@serves(web.change_preferences)
async def change_preferences(svc: Web, viewer: Viewer, wanted: web.ChangePreferences) -> Reply[bytes]:
    """Language and presence; what else clients remember stays as it is."""
    chosen = {"language": wanted.body.language, "presence": bool(wanted.body.presence)}
    try:
        if wanted.body.language not in ("", *LANGUAGES):
            raise Invalid("There is no such language here.", errors=(FieldError("/language", "not in the list"),))
        await _prefer(svc, chosen)
    except Refusal as refusal:
        return await _settings(svc, viewer, wanted.visit, section="language", typed=chosen, problem=refusal)
    return _done("language")


async def _prefer(svc: Web, chosen: Mapping[str, Any], *, tries: int = 3) -> None:
    """Raises `Stale` if others change them all the time."""
    kept, version = await versioned(svc, users.get_preferences, Nothing())
    body = msgspec.structs.replace(kept, **chosen)
    try:
        await ask(svc, users.replace_preferences, users.ReplacePreferences(body=body), version=version)
    except Stale:
        if tries == 1:
            raise
        await _prefer(svc, chosen, tries=tries - 1)


@serves(web.end_session)
async def end_session(svc: Web, viewer: Viewer, wanted: web.EndSession) -> Reply[bytes]:
    """End one session, or all of them, this one too."""
    form = wanted.body
    if not form.session_id:
        return await _end_all(svc, viewer, wanted)
    try:
        one = as_typed({"session_id": form.session_id}, users.OneSession)
        with suppress(NotFound):  # it ended already
            await asked(svc, users.sign_out, one)
    except Refusal as refusal:
        return await _settings(svc, viewer, wanted.visit, section="sessions", problem=refusal)
    if one.session_id == viewer.session_id:
        return onward("/", admission=Admission(token=None))
    return _done("session")


async def _end_all(svc: Web, viewer: Viewer, wanted: web.EndSession) -> Reply[bytes]:
    if not wanted.body.sure:
        around = await shell(svc, viewer, wanted.visit)
        return around.page(
            "sure.html",
            here="settings",
            doing="sessions",
            name="",
            action="/settings/sessions",
            fields={},
            back="/settings#sessions",
        )
    await asked(svc, users.sign_out_everywhere, Nothing())
    return onward("/", admission=Admission(token=None))


@serves(web.change_invites)
async def change_invites(svc: Web, viewer: Viewer, wanted: web.ChangeInvites) -> Reply[bytes]:
    """Make an invite, or withdraw one."""
    form = wanted.body
    try:
        if not form.invite_id:
            await ask(svc, users.make_invite, Nothing(), key=form.key)
        else:
            with suppress(NotFound):  # it was withdrawn already, or used meanwhile: the list tells
                one = as_typed({"invite_id": form.invite_id}, users.OneInvite)
                await asked(svc, users.withdraw_invite, one)
    except Refusal as refusal:
        return await _settings(svc, viewer, wanted.visit, section="invites", problem=refusal)
    return _done("withdrawn" if form.invite_id else "invited")


# The end of the account.


@serves(web.delete_page)
async def delete_page(svc: Web, viewer: Viewer, wanted: web.Page) -> Reply[bytes]:
    """What goes, and what stays."""
    around = await shell(svc, viewer, wanted.visit)
    return around.page("delete_me.html", here="settings", form=web.DeleteForm())


@serves(web.delete_me)
async def delete_me(svc: Web, viewer: Viewer, wanted: web.DeleteMe) -> Reply[bytes]:
    """Delete the account of whoever types their own handle."""
    around = await shell(svc, viewer, wanted.visit)
    try:
        typed = wanted.body.handle.strip().removeprefix("@").lower()
        if around.me is None or typed != around.me.handle:
            why = "That is not your handle."
            raise Invalid("Nothing was deleted.", errors=(FieldError("/handle", why),))
        served = await asked(svc, users.delete_user, users.OneUser(user_id=UserId(viewer.known)))
    except Refusal as refusal:
        return around.page("delete_me.html", here="settings", form=wanted.body, problem=refusal)
    after = "/gone"
    if served.status == ACCEPTED:
        after += "?gid=" + served.headers["location"].rpartition("/")[2]
    return onward(after, admission=Admission(token=None))


@serves(web.gone)
async def gone(svc: Web, viewer: Viewer, wanted: web.GonePage) -> Reply[bytes]:
    """How a deletion goes; without its id, it is done."""
    around = await shell(svc, viewer, wanted.visit)
    if wanted.gid is None:
        return around.page("gone.html", state="deleted", gid="")
    found = await ask(svc, users.get_deletion, users.OneDeletion(gid=wanted.gid))
    return around.page("gone.html", state=found.state, gid=wanted.gid)

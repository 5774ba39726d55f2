"""Pages for writing: a message, a reply, an edit, a reaction; what was typed is never lost."""

from __future__ import annotations

import re
import secrets
from typing import Any
from uuid import UUID

import msgspec

from tidings.contracts import media, messages, users, web
from tidings.contracts.messages import MediaId, MessageId
from tidings.contracts.users import UserCard, UserId
from tidings.platform.contract import FieldError, Invalid, KeyReused, NotFound, Refusal, Reply, Stale
from tidings.platform.request import Viewer
from tidings.platform.service import serves
from tidings.platform.together import together
from tidings.web.asking import ask, asked
from tidings.web.holder import Web
from tidings.web.language import catalogue
from tidings.web.shell import Shell, local, onward, shell
from tidings.web.typed import as_typed

HANDLE = re.compile(r"(?<![\w@/.])@([a-z0-9_]{2,30})(?![\w@])")
TAG = re.compile(r"(?<![\w#&/])#(\w{1,50})")
MOST_MENTIONS = 50
MOST_TAGS = 20
MOST_PICTURES = 10


class Attached(msgspec.Struct, frozen=True):
    """A picture on a sheet, with what is said of it."""

    id: MediaId
    alt: str


@serves(web.write_page)
async def write_page(svc: Web, viewer: Viewer, wanted: web.WritePage) -> Reply[bytes]:
    """An empty sheet."""
    around = await shell(svc, viewer, wanted.visit)
    form = web.WriteForm(text=wanted.text, reply_to=str(wanted.reply_to or ""), key=secrets.token_urlsafe(16))
    return _sheet(svc, around, form, [])


@serves(web.write)
async def write(svc: Web, viewer: Viewer, wanted: web.Write) -> Reply[bytes]:
    """Post what is on the sheet; or change what is attached to it, and show it again."""
    around = await shell(svc, viewer, wanted.visit)
    form, attached = wanted.body, _attached(wanted.body)
    try:
        if wanted.upload is not None:
            new = media.UploadAsk(body=media.NewPicture(alt=form.alt), upload=wanted.upload)
            picture = await ask(svc, media.upload, new)
            attached.append(Attached(MediaId(picture.id), form.alt))
        if form.do.startswith("drop:"):
            attached = [one for one in attached if str(one.id) != form.do.removeprefix("drop:")]
        if form.do != "post":
            return _sheet(svc, around, form, attached)
        return onward(await _posted(svc, form, attached, around.language))
    except KeyReused:
        # Under the same key nothing else is ever posted: whoever wants both has to say so.
        form = msgspec.structs.replace(form, key=secrets.token_urlsafe(16))
        problem = web.PostedBefore("It stands on your own page. Post this one as well, or leave it.")
        return _sheet(svc, around, form, attached, problem=problem)
    except Refusal as refusal:
        return _sheet(svc, around, form, attached, problem=refusal)


async def _posted(svc: Web, form: web.WriteForm, attached: list[Attached], language: str) -> str:
    """The address of the message that was posted."""
    body = {
        "text": form.text.replace("\r\n", "\n"),
        "media": [{"media_id": one.id, "alt": one.alt} for one in attached],
        "audience": form.audience,
        "tags": list(dict.fromkeys(TAG.findall(form.text)))[:MOST_TAGS],
        "mentions": [card.id for card in (await _people(svc, HANDLE.findall(form.text)[:MOST_MENTIONS])).values()],
        "place": _place(form, language),
        "only": await _only(svc, form, language) if form.audience == "only" else [],
    }
    if form.reply_to:
        parent = as_typed({"message_id": form.reply_to, "body": body}, messages.ReplyTo)
        reply = await ask(svc, messages.reply, parent, key=form.key)
        return f"/messages/{parent.message_id}?at={reply.id}#m-{reply.id}"
    posted = await ask(svc, messages.post, as_typed({"body": body}, messages.Post), key=form.key)
    return f"/messages/{posted.id}"


def _place(form: web.WriteForm, language: str) -> dict[str, Any] | None:
    """None where nothing was filled in. `Invalid` if a degree is missing: a place is not left out unsaid."""
    if not any(one.strip() for one in (form.latitude, form.longitude, form.place)):
        return None
    if not form.latitude.strip() or not form.longitude.strip():
        told = catalogue(language).gettext
        why = told("Fill in both degrees, or leave the place out.")
        raise Invalid("The place is not whole.", errors=(FieldError("/place", why),))
    return {
        "latitude": form.latitude.strip(),
        "longitude": form.longitude.strip(),
        "name": form.place,
        "decimals": form.decimals,
    }


async def _only(svc: Web, form: web.WriteForm, language: str) -> list[UserId]:
    """Those who may see it. `Invalid` if one of them is not there."""
    handles = [part.lstrip("@").lower() for line in form.only for part in re.split(r"[\s,]+", line) if part]
    found = await _people(svc, handles)
    unknown = [handle for handle in handles if handle not in found]
    if unknown:
        told = catalogue(language).gettext
        nobody = FieldError("/only", told("There is no @%s.") % unknown[0])
        raise Invalid("Not everybody whom you named is there.", errors=(nobody,))
    return [card.id for card in found.values()]


async def _people(svc: Web, handles: list[str]) -> dict[str, UserCard]:
    wanted = list(dict.fromkeys(handles))[:100]
    return await svc.world.call(users.by_handles, users.ByHandles(handles=wanted)) if wanted else {}


def _attached(form: web.WriteForm | web.EditForm) -> list[Attached]:
    """What the sheet says is attached; whether it is one's own is for media to judge."""
    found = []
    for number, one in enumerate(form.media):
        try:
            found.append(Attached(MediaId(UUID(one)), form.alts[number] if number < len(form.alts) else ""))
        except ValueError as error:
            raise Invalid("The form is not valid.", errors=(FieldError("/media", "no picture"),)) from error
    return found


def _sheet(
    svc: Web, around: Shell, form: web.WriteForm, attached: list[Attached], *, problem: Refusal | None = None
) -> Reply[bytes]:
    return around.page(
        "write.html",
        here="write",
        form=form,
        attached=attached,
        max_upload=svc.max_upload,
        most=MOST_PICTURES,
        problem=problem,
        hints=_hints(around),
    )


def _hints(around: Shell) -> dict[str, str]:
    told = catalogue(around.language).gettext
    return {
        "text": told("Up to 5,000 characters."),
        "media": told("Up to 10 pictures, with up to 1,500 characters for each."),
    }


# What is there already.


@serves(web.edit_page)
async def edit_page(svc: Web, viewer: Viewer, wanted: web.EditPage) -> Reply[bytes]:
    """A message of one's own, to be changed."""
    around, shown = await together(
        shell(svc, viewer, wanted.visit),
        ask(svc, messages.get_message, messages.OneMessage(message_id=wanted.message_id)),
    )
    if shown.author.id != viewer.user_id:
        raise NotFound
    said = shown.message
    attached = [Attached(one.media_id, one.alt) for one in said.media]
    form = web.EditForm(text=said.text, version=str(said.version))
    return around.page("edit.html", message_id=wanted.message_id, form=form, attached=attached)


@serves(web.edit)
async def edit(svc: Web, viewer: Viewer, wanted: web.Edit) -> Reply[bytes]:
    """Change it, unless it was changed meanwhile: then both are shown."""
    form, attached = wanted.body, _attached(wanted.body)
    body = {
        "text": form.text.replace("\r\n", "\n"),
        "media": [{"media_id": one.id, "alt": one.alt} for one in attached],
        "tags": list(dict.fromkeys(TAG.findall(form.text)))[:MOST_TAGS],
        "mentions": [card.id for card in (await _people(svc, HANDLE.findall(form.text)[:MOST_MENTIONS])).values()],
    }
    version = int(form.version) if form.version.isdecimal() and len(form.version) < 19 else None
    try:
        change = as_typed({"message_id": wanted.message_id, "body": body}, messages.Edit)
        await ask(svc, messages.edit, change, version=version)
    except Refusal as refusal:
        if refusal.status == 404:
            raise
        around = await shell(svc, viewer, wanted.visit)
        now = None
        if isinstance(refusal, Stale):
            one = messages.OneMessage(message_id=wanted.message_id)
            now = (await ask(svc, messages.get_message, one)).message
            form = msgspec.structs.replace(form, version=str(now.version))
        return around.page(
            "edit.html", message_id=wanted.message_id, form=form, attached=attached, now=now, problem=refusal
        )
    return onward(f"/messages/{wanted.message_id}")


@serves(web.withdraw)
async def withdraw(svc: Web, viewer: Viewer, wanted: web.Withdraw) -> Reply[bytes]:
    """Ask once whether one is sure, then delete."""
    if not wanted.body.sure:
        around, shown = await together(
            shell(svc, viewer, wanted.visit),
            ask(svc, messages.get_message, messages.OneMessage(message_id=wanted.message_id)),
        )
        return around.page("delete_message.html", shown=shown, next=local(wanted.body.next))
    await asked(svc, messages.withdraw, messages.OneMessage(message_id=wanted.message_id))
    return onward(wanted.body.next)


@serves(web.react)
async def react(svc: Web, viewer: Viewer, wanted: web.React) -> Reply[bytes]:
    """React, or take it back; then back to where one was."""
    one = messages.OneReaction(message_id=MessageId(wanted.message_id), emoji=wanted.body.emoji)
    if wanted.body.back:
        try:
            await asked(svc, messages.unreact, one)
        except NotFound:  # taken back already
            await ask(svc, messages.get_message, messages.OneMessage(message_id=wanted.message_id))
    else:
        await asked(svc, messages.react, one)
    return onward(wanted.body.next or f"/messages/{wanted.message_id}")

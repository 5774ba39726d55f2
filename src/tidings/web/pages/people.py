"""Pages of people: somebody and what they said, how one stands with them, friends, and the hidden."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from typing import Any, Final, Literal, TypeVar

import msgspec

from tidings.contracts import friends, messages, timeline, users, web
from tidings.contracts.friends import Relation
from tidings.contracts.users import UserCard, UserId
from tidings.platform.clock import Instant
from tidings.platform.contract import NotFound, Refusal, Reply, Route, Unavailable, Visit
from tidings.platform.request import Viewer
from tidings.platform.service import serves
from tidings.platform.together import together
from tidings.web.asking import ask, asked
from tidings.web.days import days_in
from tidings.web.holder import Web
from tidings.web.shell import local, onward, shell

MESSAGES: Final = 20
FRIENDS: Final = 50
FOUND: Final = 20
AT_ONCE: Final = 100  # of a list that is read whole
MOST_HIDDEN: Final = 1000
LONGEST_SEARCH: Final = 80  # characters
HANDLE: Final = re.compile("[a-z0-9_]{2,30}")
DOING: Final[Mapping[web.StandDo, Route[friends.Other, Any]]] = {
    "ask": friends.befriend,
    "accept": friends.befriend,
    "decline": friends.drop_request,
    "withdraw": friends.drop_request,
    "unfriend": friends.unfriend,
    "block": friends.block,
    "unblock": friends.unblock,
    "mute": friends.mute,
    "unmute": friends.unmute,
}
ENDING: Final = frozenset({"decline", "withdraw", "unfriend", "unblock", "unmute"})
ASKING_FIRST: Final = frozenset({"unfriend", "block"})

Found = TypeVar("Found")


class Standing(msgspec.Struct, frozen=True):
    """How one stands with somebody, and since when; `requested`: you asked, `asked`: they did."""

    state: Literal["strangers", "friends", "requested", "asked"] = "strangers"
    since: Instant | None = None
    muted: bool = False


# Somebody.


@serves(web.person)
async def person(svc: Web, viewer: Viewer, wanted: web.PersonPage) -> Reply[bytes]:
    """A person and what they said."""
    return await _person(svc, viewer, wanted.visit, wanted.user_id, wanted.cursor)


@serves(web.by_handle)
async def by_handle(svc: Web, viewer: Viewer, wanted: web.HandlePage) -> Reply[bytes]:
    """On to the page of whoever has that handle."""
    card = await _with_handle(svc, wanted.handle.lower())
    if card is None:
        raise NotFound("There is no such person here.")
    return onward(f"/people/{card.id}")


@serves(web.stand)
async def stand(svc: Web, viewer: Viewer, wanted: web.Stand) -> Reply[bytes]:
    """Change how one stands with somebody. What ends more than a request asks whether one is sure."""
    form, own_page = wanted.body, f"/people/{wanted.user_id}"
    if form.do in ASKING_FIRST and not form.sure:
        around, profile = await together(
            shell(svc, viewer, wanted.visit), ask(svc, users.get_user, users.OneUser(user_id=wanted.user_id))
        )
        return around.page(
            "sure.html",
            doing=form.do,
            name=profile.name,
            action=f"{own_page}/stand",
            fields={"do": form.do, "next": form.next},
            back=local(form.next or own_page),
        )
    try:
        # What is over already needs no end.
        with suppress(*((NotFound,) if form.do in ENDING else ())):
            await asked(svc, DOING[form.do], friends.Other(user_id=wanted.user_id))
    except (friends.TooManyFriends, friends.NotYourself) as refusal:
        return await _person(svc, viewer, wanted.visit, wanted.user_id, problem=refusal)
    if form.do == "block":  # their page is there no more
        return onward("/settings/hidden")
    return onward(form.next or own_page)


async def _person(
    svc: Web,
    viewer: Viewer,
    visit: Visit,
    user_id: UserId,
    cursor: str | None = None,
    *,
    problem: Refusal | None = None,
) -> Reply[bytes]:
    """Without messages or friends, where these cannot be reached. `NotFound` if they are gone, or hidden."""
    said = ask(svc, messages.find_messages, messages.FindMessages(author=user_id, limit=MESSAGES, cursor=cursor))
    around, profile, standing, found = await together(
        shell(svc, viewer, visit),
        ask(svc, users.get_user, users.OneUser(user_id=user_id)),
        _or_none(_standing(svc, viewer, user_id)),
        _or_none(said),
    )
    return around.page(
        "person.html",
        here="person",
        person=profile,
        standing=standing,
        said=found,
        first=cursor is None,
        address=f"/people/{user_id}" if problem else visit.address,
        day=days_in(around.language),
        problem=problem,
    )


async def _standing(svc: Web, viewer: Viewer, user_id: UserId) -> Standing:
    if user_id == viewer.user_id:
        return Standing()
    relations, friendship = await together(_relations(svc, [user_id]), _friendship(svc, user_id))
    muted = relations.get(user_id, Relation()).muted
    if friendship is None:
        return Standing(muted=muted)
    return Standing(state=friendship.state, since=friendship.since, muted=muted)


async def _friendship(svc: Web, user_id: UserId) -> friends.Friendship | None:
    try:
        return await ask(svc, friends.get_friend, friends.Other(user_id=user_id))
    except NotFound:
        return None


async def _relations(svc: Web, ids: list[UserId]) -> dict[UserId, Relation]:
    return await svc.world.call(friends.relations, users.ByIds(ids=ids)) if ids else {}


# Friends.


@serves(web.friends)
async def friends_page(svc: Web, viewer: Viewer, wanted: web.FriendsPage) -> Reply[bytes]:
    """Friends, and whoever wants to be one; with `q`, people who are found by it."""
    if wanted.q.strip():
        return await _search(svc, viewer, wanted)
    around, incoming, outgoing, page = await together(
        shell(svc, viewer, wanted.visit),
        _or_none(_requests(svc, "incoming", FRIENDS)),
        _or_none(_requests(svc, "outgoing", FRIENDS)),
        _or_none(_friends(svc, wanted.cursor)),
    )
    ids = [one.user.id for one in page.people] if page is not None else []
    online, relations = await together(_or_none(_online(svc, ids)), _or_none(_relations(svc, ids)))
    return around.page(
        "friends.html",
        here="friends",
        q="",
        incoming=incoming,
        outgoing=outgoing,
        page=page,
        first=wanted.cursor is None,
        online=online or frozenset(),
        muted=_muted(relations or {}),
        address=wanted.visit.address,
        day=days_in(around.language),
    )


async def _search(svc: Web, viewer: Viewer, wanted: web.FriendsPage) -> Reply[bytes]:
    """People, each with how one stands with them as far as that is known."""
    around, page, incoming, outgoing = await together(
        shell(svc, viewer, wanted.visit),
        _or_none(_found(svc, wanted)),
        _or_none(_requests(svc, "incoming", AT_ONCE)),
        _or_none(_requests(svc, "outgoing", AT_ONCE)),
    )
    others = [one.id for one in page.users if one.id != viewer.user_id] if page is not None else []
    relations = await _or_none(_relations(svc, others))
    standings: dict[UserId, Standing] = {}
    if relations is not None and incoming is not None and outgoing is not None:
        standings = {one: Standing() for one in others}
        standings |= {one.user.id: Standing(state="requested") for one in outgoing.people}
        standings |= {one.user.id: Standing(state="asked") for one in incoming.people}
        standings |= {one: Standing(state="friends") for one, relation in relations.items() if relation.friend}
    return around.page(
        "found.html",
        here="friends",
        q=wanted.q.strip(),
        page=page,
        standings=standings,
        address=wanted.visit.address,
    )


async def _found(svc: Web, wanted: web.FriendsPage) -> users.Users:
    """By the whole handle where it begins with an @, else by the beginning of a name or handle."""
    q = wanted.q.strip()
    if q.startswith("@"):
        q = q[1:].strip()
        card = await _with_handle(svc, q.lower())
        if card is not None:
            return users.Users(users=[card])
    if not q:
        return users.Users(users=[])
    wish = users.FindUsers(q=q[:LONGEST_SEARCH], limit=FOUND, cursor=wanted.cursor)
    return await ask(svc, users.find_users, wish)


async def _with_handle(svc: Web, handle: str) -> UserCard | None:
    if not HANDLE.fullmatch(handle):
        return None
    found = await ask(svc, users.find_users, users.FindUsers(handle=handle))
    return found.users[0] if found.users else None


async def _requests(svc: Web, direction: Literal["incoming", "outgoing"], limit: int) -> friends.People:
    return await ask(svc, friends.list_requests, friends.RequestsAsk(direction=direction, limit=limit))


async def _friends(svc: Web, cursor: str | None) -> friends.People:
    return await ask(svc, friends.list_friends, friends.PageAsk(limit=FRIENDS, cursor=cursor))


async def _online(svc: Web, ids: list[UserId]) -> frozenset[UserId]:
    if not ids:
        return frozenset()
    return frozenset((await ask(svc, timeline.get_presence, timeline.PresenceAsk(ids=ids))).online)


def _muted(relations: Mapping[UserId, Relation]) -> frozenset[UserId]:
    return frozenset(one for one, relation in relations.items() if relation.muted)


# The hidden.


@serves(web.hidden)
async def hidden(svc: Web, viewer: Viewer, wanted: web.Page) -> Reply[bytes]:
    """Whom one blocks and mutes."""
    around, blocked, muted = await together(
        shell(svc, viewer, wanted.visit),
        _or_none(_all(svc, friends.list_blocks)),
        _or_none(_all(svc, friends.list_mutes)),
    )
    return around.page("hidden.html", here="settings", blocked=blocked, muted=muted, day=days_in(around.language))


async def _all(svc: Web, route: Route[friends.PageAsk, friends.People]) -> list[friends.Person]:
    """A list of one's own, up to the newest 1,000."""
    people: list[friends.Person] = []
    cursor: str | None = None
    while len(people) < MOST_HIDDEN:
        page = await ask(svc, route, friends.PageAsk(limit=AT_ONCE, cursor=cursor))
        people += page.people
        cursor = page.next_cursor
        if cursor is None:
            break
    return people


async def _or_none(answer: Awaitable[Found]) -> Found | None:
    """The answer; None where who gives it cannot be reached."""
    try:
        return await answer
    except Unavailable:
        return None

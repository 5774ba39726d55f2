"""Reads of the graph, and the lists of people: entries from here, cards from users."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Protocol
from urllib.parse import urlencode

from tidings.contracts import users
from tidings.contracts.friends import Friendship, FriendsOf, PageAsk, People, Person, RequestsAsk
from tidings.contracts.users import Branches, ByIds, HeldBranch, UserCard, UserId
from tidings.platform.clock import rfc3339
from tidings.platform.compose import Composite, Need, Parts
from tidings.platform.contract import NotFound, Reply
from tidings.platform.cursors import Cursors
from tidings.platform.request import Viewer
from tidings.platform.twophase.participant import Participant
from tidings.platform.world import World
from tidings.services.friends import rules
from tidings.services.friends.store.port import NEWEST, Entry, FriendsStore, Listing


class Holder(Protocol):
    """What a list needs of the running service."""

    @property
    def store(self) -> FriendsStore: ...

    @property
    def cursors(self) -> Cursors: ...


class Paged(Protocol):
    """An ask for a page."""

    @property
    def limit(self) -> int: ...

    @property
    def cursor(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list; `owner` is whose list it is where that is not the viewer."""

    entries: list[Entry]
    next_cursor: str | None
    next_query: str
    owner: UserId | None


@dataclass(frozen=True, slots=True)
class Shown:
    """A page, with the cards of those who are still there."""

    page: Page
    people: list[tuple[UserCard, int]]


async def get_friend(store: FriendsStore, world: World, me: UserId, other: UserId) -> Friendship:
    """How they stand. Raises `NotFound` for strangers, the blocked and the gone alike."""
    standing = await store.standing(me, other)
    if standing.state is None or other not in await world.call(users.cards, ByIds(ids=[other])):
        raise NotFound(rules.NOBODY)
    return Friendship(user_id=other, state=standing.state, since=rfc3339(standing.since_ms))


async def branches(removal: Participant, gid: str | None) -> Branches:
    """For the operator: what is prepared here, or what became of one branch."""
    if gid is not None:
        return Branches(branches=[HeldBranch(gid=gid, state=await removal.branch(gid))])
    now = datetime.now(UTC)
    return Branches(
        branches=[
            HeldBranch(gid=one.gid, state="prepared", age=round((now - one.prepared_at).total_seconds(), 3))
            for one in await removal.prepared()
        ]
    )


async def _own(listing: Listing, svc: Holder, viewer: Viewer, ask: PageAsk) -> Page:
    me = UserId(viewer.known)
    return await _page(svc, me, ask, of=listing, read=partial(svc.store.page_before, listing, me))


async def _requests(svc: Holder, viewer: Viewer, ask: RequestsAsk) -> Page:
    me = UserId(viewer.known)
    read = partial(svc.store.page_before, ask.direction, me)
    return await _page(svc, me, ask, of=ask.direction, read=read, rules_={"direction": ask.direction})


async def _of(svc: Holder, viewer: Viewer, ask: FriendsOf) -> Page:
    me, owner = UserId(viewer.known), ask.user_id
    if me == owner:
        return await _page(svc, me, ask, of="friends", read=partial(svc.store.page_before, "friends", me))
    if not rules.may_list(me, owner, (await svc.store.standing(me, owner)).state):
        raise NotFound(rules.NOBODY)
    read = partial(svc.store.friends_shown, owner, me)
    return await _page(svc, me, ask, of=f"friends of {owner}", read=read, owner=owner)


async def _page(
    svc: Holder,
    me: UserId,
    ask: Paged,
    *,
    of: str,
    read: Callable[[Entry, int], Awaitable[list[Entry]]],
    rules_: dict[str, str] | None = None,
    owner: UserId | None = None,
) -> Page:
    before = NEWEST if ask.cursor is None else svc.cursors.open(ask.cursor, Entry, asker=me, of=of)
    found = await read(before, ask.limit + 1)  # one more tells whether there is a next page
    entries = found[: ask.limit]
    if len(found) == len(entries):
        return Page(entries, None, "", owner)
    cursor = svc.cursors.seal(entries[-1], asker=me, of=of)
    return Page(entries, cursor, "?" + urlencode({**(rules_ or {}), "limit": ask.limit, "cursor": cursor}), owner)


def _keys(page: Page) -> ByIds | None:
    ids = [entry.user_id for entry in page.entries]
    if page.owner is not None:
        ids.append(page.owner)
    return ByIds(ids=ids) if ids else None


def _keep(page: Page, parts: Parts) -> Shown:
    """Drop the gone. The friends of somebody who is gone are nobody's to see."""
    cards: dict[UserId, UserCard] = parts["cards"] or {}
    if page.owner is not None and page.owner not in cards:
        raise NotFound(rules.NOBODY)
    return Shown(page, [(cards[entry.user_id], entry.since_ms) for entry in page.entries if entry.user_id in cards])


def _present(shown: Shown) -> Reply[People]:
    people = [Person(user=card, since=rfc3339(since_ms)) for card, since_ms in shown.people]
    page = shown.page
    links = (("next", page.next_query),) if page.next_cursor else ()
    return Reply(People(people=people, next_cursor=page.next_cursor), links=links)


_NEEDS = {"cards": Need(users.cards, keys=_keys)}

friends = Composite(partial(_own, "friends"), _NEEDS, keep=_keep, present=_present, name="friends")
friends_of = Composite(_of, _NEEDS, keep=_keep, present=_present, name="friends of")
requests = Composite(_requests, _NEEDS, keep=_keep, present=_present, name="friend requests")
blocks = Composite(partial(_own, "blocks"), _NEEDS, keep=_keep, present=_present, name="blocks")
mutes = Composite(partial(_own, "mutes"), _NEEDS, keep=_keep, present=_present, name="mutes")

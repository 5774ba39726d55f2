"""friends' part of an export: the person's own lists, with the handles of those who are there."""

from __future__ import annotations

from typing import Final

import msgspec

from tidings.contracts import users
from tidings.contracts.users import ByIds, UserCard, UserId
from tidings.platform.clock import rfc3339
from tidings.platform.export import ExportAsk, ExportPage, page_of, place_in
from tidings.platform.world import World
from tidings.services.friends.store.port import NEWEST, Entry, FriendsStore, Listing

LISTINGS: Final[dict[str, tuple[Listing, ...]]] = {
    "friends.json": ("friends",),
    "requests.json": ("incoming", "outgoing"),
    "blocks.json": ("blocks",),
    "mutes.json": ("mutes",),
}


class Place(msgspec.Struct, frozen=True, array_like=True):
    """The last entry given, and of which of the file's lists it is."""

    listing: int
    entry: Entry


async def part(store: FriendsStore, world: World, me: UserId, ask: ExportAsk) -> ExportPage:
    """A page of one of the contract's files, newest first. Costs one call to users, none if it is empty."""
    listings = LISTINGS[ask.file]
    place = place_in(ask, Place, Place(0, NEWEST))
    found: list[tuple[int, Entry]] = []
    for number in range(place.listing, len(listings)):
        before = place.entry if number == place.listing else NEWEST
        page = await store.page_before(listings[number], me, before, ask.limit - len(found))
        found += [(number, entry) for entry in page]
        if len(found) == ask.limit:
            break
    cards: dict[UserId, UserCard] = {}
    if found:
        cards = await world.call(users.cards, ByIds(ids=list(dict.fromkeys(one.user_id for _, one in found))))

    def shown(one: tuple[int, Entry]) -> dict[str, object]:
        number, entry = one
        card = cards.get(entry.user_id)  # none of those who left, or are suspended
        person = {"user_id": entry.user_id, "handle": card.handle if card else None}
        direction = {"direction": listings[number]} if len(listings) > 1 else {}
        return {**person, **direction, "since": rfc3339(entry.since_ms)}

    return page_of(found, ask, shown=shown, place=lambda one: Place(*one))

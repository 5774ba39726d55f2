"""What is kept of the parts, and how it is shown. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote
from uuid import UUID

from tidings.contracts import messages, timeline
from tidings.contracts.users import CardAsOf, UserCard, UserId
from tidings.platform.compose import Parts
from tidings.platform.contract import Reply
from tidings.services.timeline import rules
from tidings.services.timeline.skeletons import FeedSkeleton, TimelineSkeleton


@dataclass(frozen=True, slots=True)
class KeptTimeline:
    """Entries whose authors are still there."""

    page: TimelineSkeleton
    latest: messages.Latest | None
    cards: Mapping[UserId, CardAsOf]
    unreachable: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeptFeed:
    """Messages whose authors are still there."""

    page: FeedSkeleton
    found: messages.PageByAuthors | None
    cards: Mapping[UserId, CardAsOf]
    unreachable: tuple[str, ...]


def keep_timeline(page: TimelineSkeleton, parts: Parts) -> KeptTimeline:
    return KeptTimeline(page, parts["latest"], parts["cards"], parts.unreachable)


def keep_feed(page: FeedSkeleton, parts: Parts) -> KeptFeed:
    return KeptFeed(page, parts["page"], parts["cards"], parts.unreachable)


def _still_there(cards: Mapping[UserId, CardAsOf], author: UserId) -> UserCard | None:
    found = cards.get(author)
    return None if found is None else found.card


def as_timeline(kept: KeptTimeline) -> Reply[timeline.Timeline]:
    """One entry a friend; those without a card are gone, whatever they said."""
    page, latest, cards = kept.page, kept.latest, kept.cards
    there = [one.card for one in cards.values() if one.card is not None]
    omitted = timeline.Omitted(gone=len(page.friends) - len(there), muted=page.muted)
    explained = timeline.Explained(rules=rules.in_words(page.ask)) if page.ask.explain else None
    if latest is None:
        # Friends alone, by name: what they said cannot be had now.
        friends = sorted(there, key=lambda card: (card.name.casefold(), card.id))[: page.ask.limit]
        return Reply(
            timeline.Timeline(
                entries=[timeline.Entry(author=card, messages=[]) for card in friends],
                omitted=omitted,
                unreachable=list(kept.unreachable),
                explain=explained,
            )
        )
    entries = [
        timeline.Entry(author=card, messages=one.messages)
        for one in latest.authors
        if (card := _still_there(cards, one.author_id)) is not None
    ]
    cursor = None
    if latest.more and latest.authors:
        shown = [(one.author_id, one.newest_id) for one in latest.authors]
        place = rules.timeline_next(
            [(author, newest) for author, newest in shown],
            page.position,
            read_at_ms=page.read_at_ms,
            since_ms=page.rules.since_ms,
        )
        cursor = page.seal(place)
    return Reply(
        timeline.Timeline(
            entries=entries,
            omitted=omitted,
            unreachable=list(kept.unreachable),
            newer=latest.newer,
            next_cursor=cursor,
            explain=explained,
        ),
        links=(("next", f"/v1/timeline?{timeline_query(page.ask)}cursor={cursor}"),) if cursor else (),
    )


def timeline_query(ask: timeline.TimelineAsk) -> str:
    """The rules of this page as the beginning of the next one's query."""
    values = {
        "per_friend": ask.per_friend if ask.per_friend != 1 else None,
        "max_age": ask.max_age,
        "has": ask.has,
        "near": ask.near,
        "within_km": ask.within_km,
        "limit": ask.limit if ask.limit != 50 else None,
        "explain": ask.explain or None,
    }
    return "".join(f"{name}={quote(str(value))}&" for name, value in values.items() if value is not None)


def as_feed(kept: KeptFeed) -> Reply[timeline.Feed]:
    """Messages of those who are still there, with a cursor to either side."""
    page, found, cards = kept.page, kept.found, kept.cards
    there = sum([one.card is not None for one in cards.values()])  # a list: generators take twice as long
    me = _still_there(cards, page.me) is not None
    omitted = timeline.Omitted(gone=len(page.friends) - (there - me), muted=page.muted)
    older = newer = None
    items: list[timeline.FeedItem] = []
    if found is not None:
        ids: list[UUID] = [one.id for one in found.items]
        below = rules.feed_older(ids, page.position, more=found.more, read_at_ms=found.read_at_ms)
        above = rules.feed_newer(ids, page.position, more=found.more, read_at_ms=found.read_at_ms)
        older = page.seal(below) if below else None
        newer = page.seal(above)
        items = [
            timeline.FeedItem(author=card, message=one.message)
            for one in found.items
            if (card := _still_there(cards, one.author_id)) is not None
        ]
    elif page.position is not None and not kept.unreachable:
        newer = page.seal(page.position)  # the tail is full: ask again when it has settled
    links = [("next", older), ("prev", newer)]
    return Reply(
        timeline.Feed(
            items=items,
            omitted=omitted,
            unreachable=list(kept.unreachable),
            next_cursor=older,
            previous_cursor=newer,
        ),
        links=tuple(
            (relation, f"/v1/feed?limit={page.limit}&cursor={cursor}") for relation, cursor in links if cursor
        ),
    )

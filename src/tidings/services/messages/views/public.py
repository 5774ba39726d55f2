"""Public reads: small composites of messages' own store, friends and users."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import urlencode
from uuid import UUID

import msgspec

from tidings.contracts import friends, users
from tidings.contracts import messages as contract
from tidings.contracts.friends import Circle, Relation
from tidings.contracts.messages import HIGHEST, LOWEST, MessageId
from tidings.contracts.users import ByIds, CardAsOf, UserCard, UserId
from tidings.platform.clock import now_ms
from tidings.platform.compose import Composite, Need, Parts
from tidings.platform.contract import FieldError, Invalid, NotFound, Reply
from tidings.platform.request import Viewer
from tidings.services.messages import present, rules
from tidings.services.messages.holder import Messages
from tidings.services.messages.present import People, Seen, Thread
from tidings.services.messages.rules import Standing
from tidings.services.messages.store.port import Document, Probe, Sieve

HISTORY_SHOWN: Final = 100
REACTIONS_SHOWN: Final = 500
MOST_SEEN: Final = 300  # ids in a cursor


class Before(msgspec.Struct, frozen=True):
    """A cursor's place in a list that runs backward in time."""

    before: MessageId


class After(msgspec.Struct, frozen=True):
    """A cursor's place in a list that runs forward, and what was shown beyond it already."""

    after: MessageId
    seen: list[MessageId]


# The people beside one's own documents.


async def _authors(svc: Messages, viewer: Viewer, authors: frozenset[UserId]) -> tuple[UserId, list[UserId]]:
    return UserId(viewer.known), sorted(authors)


def _ask(skeleton: tuple[UserId, list[UserId]]) -> ByIds:
    return ByIds(ids=skeleton[1])


def _stand(skeleton: tuple[UserId, list[UserId]], parts: Parts) -> People:
    viewer, authors = skeleton
    cards: Mapping[UserId, UserCard] = parts["cards"]
    relations: Mapping[UserId, Relation] = parts["relations"]
    standings = {
        author: rules.standing(viewer, author, relations.get(author), has_card=author in cards)
        for author in authors
    }
    return People(viewer=viewer, cards=cards, standings=standings)


def _as_is(kept: People) -> People:
    return kept


# Asked even for nobody: a message that is not there takes as long as one that is not shown.
PEOPLE: Final = Composite(
    skeleton=_authors,
    needs={"relations": Need(friends.relations, keys=_ask), "cards": Need(users.cards, keys=_ask)},
    keep=_stand,
    present=_as_is,
    name="messages/people",
)


# One author, whom the asker names. What is kept may answer: how soon it does tells of nobody else.


async def _one(svc: Messages, viewer: Viewer, author: UserId) -> tuple[UserId, UserId]:
    return UserId(viewer.known), author


def _stand_to(skeleton: tuple[UserId, UserId], parts: Parts) -> People:
    viewer, author = skeleton
    circle: Circle = parts["circle"][viewer]
    told: CardAsOf | None = parts["card"].get(author)
    cards = {} if told is None or told.card is None else {author: told.card}
    relation = Relation(friend=author in circle.friends, blocked=author in circle.blocked)
    standing = rules.standing(viewer, author, relation, has_card=author in cards)
    return People(viewer=viewer, cards=cards, standings={author: standing})


AUTHOR: Final = Composite(
    skeleton=_one,
    needs={
        "circle": Need(friends.circles, keys=lambda pair: ByIds(ids=[pair[0]])),
        "card": Need(users.cards_as_of, keys=lambda pair: ByIds(ids=[pair[1]])),
    },
    keep=_stand_to,
    present=_as_is,
    name="messages/author",
)


async def _people(svc: Messages, viewer: Viewer, authors: Iterable[UserId]) -> People:
    """Two calls, however many authors. `Unavailable` names who can't be reached."""
    return await PEOPLE.read(svc, svc.world, viewer, frozenset(authors))


async def _documents(svc: Messages, ids: Sequence[MessageId]) -> dict[MessageId, Document]:
    """The documents with all that stand above them."""
    found = await svc.store.by_ids(ids)
    above = {ancestor for document in found.values() for ancestor in document.ancestors} - found.keys()
    return {**found, **(await svc.store.by_ids(above))} if above else found


async def _thread(svc: Messages, viewer: Viewer, ids: Sequence[MessageId]) -> Thread:
    documents = await _documents(svc, ids)
    return Thread(documents, await _people(svc, viewer, (one.author_id for one in documents.values())))


def _seen(thread: Thread, message_id: MessageId) -> Seen:
    if not thread.sees(message_id):
        raise NotFound("There is no such message.")
    return Seen(thread.chain(message_id), thread.people)


async def seen(svc: Messages, viewer: Viewer, message_id: MessageId) -> Seen:
    """A message that the viewer sees. `NotFound` alike for one that is not there and one that is not shown."""
    return _seen(await _thread(svc, viewer, [message_id]), message_id)


# Public reads.


async def get_message(svc: Messages, viewer: Viewer, ask: contract.OneMessage) -> Reply[contract.Shown]:
    """One message, with its version."""
    found = await seen(svc, viewer, ask.message_id)
    counts = await svc.store.counts([ask.message_id], found.people.viewer)
    body = present.shown(found.document, found.people, counts.get(ask.message_id))
    return Reply(body, version=found.document.version)


async def find_messages(svc: Messages, viewer: Viewer, ask: contract.FindMessages) -> Reply[contract.Messages]:
    """By ids, or one author's. `Invalid` unless it is exactly one of the two."""
    if (ask.ids is None) == (ask.author is None):
        why = "Give either ids or one author."
        raise Invalid(why, errors=(FieldError("?ids", why), FieldError("?author", why)))
    if ask.author is not None:
        return await _by_author(svc, viewer, ask.author, ask)
    for name, value in (("tag", ask.tag), ("cursor", ask.cursor)):
        if value is not None:
            raise Invalid(f"{name} goes with author.", errors=(FieldError(f"?{name}", "goes with author"),))
    return await _by_ids(svc, viewer, rules.distinct(ask.ids or ()))


async def by_ids(svc: Messages, viewer: Viewer, ids: Sequence[MessageId]) -> dict[MessageId, contract.Message]:
    """Those that the viewer sees, for another service."""
    thread = await _thread(svc, viewer, rules.distinct(ids))
    return {one: present.seen(thread.documents[one], thread.people) for one in ids if thread.sees(one)}


async def _by_ids(svc: Messages, viewer: Viewer, ids: list[MessageId]) -> Reply[contract.Messages]:
    thread = await _thread(svc, viewer, ids)
    visible = [message_id for message_id in ids if thread.sees(message_id)]
    return Reply(contract.Messages(messages=await _shown(svc, thread, visible)))


async def _shown(svc: Messages, thread: Thread, visible: Sequence[MessageId]) -> list[contract.Shown]:
    counts = await svc.store.counts(visible, thread.people.viewer)
    return [
        present.shown(thread.documents[message_id], thread.people, counts.get(message_id)) for message_id in visible
    ]


async def _by_author(
    svc: Messages, viewer: Viewer, author: UserId, ask: contract.FindMessages
) -> Reply[contract.Messages]:
    below = HIGHEST
    if ask.cursor is not None:
        below = svc.cursors.open(ask.cursor, Before, asker=viewer.known, of=_list_of(author, ask)).before
    people = await AUTHOR.read(svc, svc.world, viewer, author)
    stands = people.stands(author)
    if stands == "hidden":
        return Reply(contract.Messages(messages=[]))
    if stands != "other" and ask.tag is None and ask.cursor is None and ask.limit < contract.DEEPER:
        kept = (await svc.world.call(contract.author_pages, contract.AuthorPagesAsk(ids=[author]))).get(author)
        # Who is named somewhere knows of it; nobody else is answered later because of that.
        if kept is not None and not _is_shown_more(people, stands, kept):
            return await _spliced(svc, people, author, ask, kept.newest)
    probe = Probe(author_id=author, standing=stands, below=below)
    sieve = Sieve(above=LOWEST, tag=ask.tag)
    documents, counts = await svc.store.newest_counted(people.viewer, probe, sieve, limit=ask.limit + 1)
    page = documents[: ask.limit]
    listed = [present.shown(document, people, counts.get(document.id)) for document in page]
    return _listed(svc, people, author, ask, listed, page[-1].id if len(documents) > ask.limit else None)


def _is_shown_more(people: People, stands: Standing, page: contract.AuthorPage) -> bool:
    """Whether something of the same time is for the viewer alone, or may be."""
    return page.named is None or (bool(page.named) and (stands == "own" or people.viewer in page.named))


async def _spliced(
    svc: Messages,
    people: People,
    author: UserId,
    ask: contract.FindMessages,
    newest: Sequence[contract.CountedMessage],
) -> Reply[contract.Messages]:
    """The first page, of what is kept of an author whom the viewer is, or a friend of."""
    page = newest[: ask.limit]
    reacted_to = [one.id for one in page if one.reactions]
    mine = await svc.store.mine(reacted_to, people.viewer) if reacted_to else {}
    listed = present.spliced(page, people.cards[author], mine)
    return _listed(svc, people, author, ask, listed, page[-1].id if len(newest) > ask.limit else None)


def _listed(
    svc: Messages,
    people: People,
    author: UserId,
    ask: contract.FindMessages,
    listed: list[contract.Shown],
    last: MessageId | None,
) -> Reply[contract.Messages]:
    """`last`: below it there is more."""
    if last is None:
        return Reply(contract.Messages(messages=listed))
    cursor = svc.cursors.seal(Before(last), asker=people.viewer, of=_list_of(author, ask))
    query = {"author": str(author), "limit": str(ask.limit), "cursor": cursor}
    if ask.tag is not None:
        query["tag"] = ask.tag
    return Reply(
        contract.Messages(messages=listed, next_cursor=cursor),
        links=(("next", f"/v1/messages?{urlencode(query)}"),),
    )


def _list_of(author: UserId, ask: contract.FindMessages) -> str:
    """Which list a cursor goes on with."""
    return f"author:{author}:{ask.tag or ''}"


async def list_replies(svc: Messages, viewer: Viewer, ask: contract.RepliesAsk) -> Reply[contract.Messages]:
    """Replies, oldest first; more are read than shown, so that hidden ones seldom leave a page short."""
    parent, of, asker = ask.message_id, f"replies:{ask.message_id}", viewer.known
    start = After(after=LOWEST, seen=[])
    if ask.cursor is not None:
        start = svc.cursors.open(ask.cursor, After, asker=asker, of=of)
    elif ask.at is not None and ask.at.int:
        start = After(after=MessageId(UUID(int=ask.at.int - 1)), seen=[])
    now = now_ms()
    above = await _documents(svc, [parent])
    most = 3 * ask.limit + 1
    replies = await svc.store.replies(parent, after=start.after, seen=start.seen, limit=most)
    documents = {**above, **{reply.id: reply for reply in replies}}
    people = await _people(svc, viewer, (document.author_id for document in documents.values()))
    thread = Thread(documents, people)
    _seen(thread, parent)
    visible: list[MessageId] = []
    passed: list[MessageId] = []
    for reply in replies[: most - 1]:
        if len(visible) == ask.limit:
            break
        passed.append(reply.id)
        if thread.sees(reply.id):
            visible.append(reply.id)
    listed = await _shown(svc, thread, visible)
    if len(passed) == len(replies):
        return Reply(contract.Messages(messages=listed))
    after, beyond = rules.settled(passed[-1], [*start.seen, *passed], start.after, now=now, most=MOST_SEEN)
    cursor = svc.cursors.seal(After(after, beyond), asker=asker, of=of)
    query = urlencode({"limit": str(ask.limit), "cursor": cursor})
    return Reply(
        contract.Messages(messages=listed, next_cursor=cursor),
        links=(("next", f"/v1/messages/{parent}/replies?{query}"),),
    )


async def history(svc: Messages, viewer: Viewer, ask: contract.OneMessage) -> contract.History:
    """Earlier versions, newest first, of a message that the viewer sees."""
    found = await seen(svc, viewer, ask.message_id)
    return present.history(await svc.store.history(ask.message_id, limit=HISTORY_SHOWN), found)


async def list_reactions(svc: Messages, viewer: Viewer, ask: contract.OneMessage) -> contract.Reactions:
    """Who reacted to a message that the viewer sees: the newest 500, newest first."""
    documents = await _documents(svc, [ask.message_id])
    reacted = await svc.store.reactions(ask.message_id, limit=REACTIONS_SHOWN)
    authors = {document.author_id for document in documents.values()} | {one.user_id for one in reacted}
    people = await _people(svc, viewer, authors)
    _seen(Thread(documents, people), ask.message_id)
    return present.reactions(reacted, people)

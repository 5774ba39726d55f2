"""Writes: check, change, announce, return. Each is one transaction under the fences of those concerned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from msgspec import UNSET, Raw, structs

from tidings.contracts import media
from tidings.contracts import messages as contract
from tidings.contracts.messages import (
    AuthorRemoved,
    Media,
    Message,
    MessageChanged,
    MessageId,
    MessagesImported,
    NewMedia,
    ReactionChanged,
)
from tidings.contracts.users import Imported, UserId
from tidings.platform.clock import now_ms
from tidings.platform.contract import (
    Event,
    FieldError,
    Invalid,
    NotFound,
    Refusal,
    Reply,
    Route,
    Unauthenticated,
)
from tidings.platform.ids import bucket_in, bucket_of, uuid7
from tidings.platform.request import Viewer, current
from tidings.platform.telling import Telling, telling
from tidings.services.messages import present, rules
from tidings.services.messages.holder import Messages
from tidings.services.messages.present import KEPT, Seen
from tidings.services.messages.store.port import Document, Earlier, LatestRow, MessageWrite, Reacted

LIVE: Final = "live"
MOST_REACTIONS: Final = 20  # of one person on one message
DEEPEST: Final = 100  # replies to replies
IMPORT_MS: Final = 20_000  # a batch of 5,000 is no person's write


async def post(svc: Messages, viewer: Viewer, ask: contract.Post) -> Reply[Message]:
    """A message of the viewer's own."""
    return await _write(svc, viewer, contract.post, ask.body, parent=None)


async def reply(svc: Messages, viewer: Viewer, parent: Seen, ask: contract.ReplyTo) -> Reply[Message]:
    """A reply to a message that the viewer sees."""
    if len(parent.chain) > DEEPEST:
        raise Invalid(f"A thread goes {DEEPEST} replies deep; reply to a message further up.")
    return await _write(svc, viewer, contract.reply, ask.body, parent=parent)


async def _write(
    svc: Messages,
    viewer: Viewer,
    route: Route[Any, Message],
    body: contract.NewMessage,
    *,
    parent: Seen | None,
) -> Reply[Message]:
    author = UserId(viewer.known)
    said = rules.written(body)
    try:
        pictures = rules.pictured(said.media, await _described(svc, said.media))
    except Refusal:
        await svc.store.recall()  # a retry gets the first answer, whatever has become of its pictures
        raise
    if parent is None:
        document = _composed(author, said, pictures, [], now_ms())
        answer = _answered(document)
        row, changed = present.latest_row(author, [document]), _changed(document, 0, parent=None)
        tells = _tellings(document, row)
        if await svc.store.post_at_once(
            document, row, kept=KEPT, body=changed, tells=tells, route=route, answer=answer
        ):
            return answer
    async with svc.store.write() as messages:
        last_ms = await _fence(messages, author, None if parent is None else parent.document.author_id)
        ancestors: list[MessageId] = []
        if parent is not None:
            ancestors = [*(await _held(messages, parent)).ancestors, parent.document.id]
        minted_ms = rules.next_ms(now_ms(), last_ms)
        document = _composed(author, said, pictures, ancestors, minted_ms)
        if ancestors:
            await messages.add(document)
            version = (await messages.raise_versions({author: 1}, {author: minted_ms}))[author]
            tells = ()
        else:
            row = present.latest_row(author, [document])
            tells = _tellings(document, row)
            version = await messages.post(document, row, kept=KEPT)
        _announce(messages, contract.posted, document, version, parent=parent, tells=tells)
        answer = _answered(document)
        messages.answers(route, answer)
    return answer


async def edit(svc: Messages, viewer: Viewer, seen: Seen, ask: contract.Edit) -> Reply[Message]:
    """Change one's own message; what it said before is kept. `Stale` if If-Match names another version."""
    author = _own(viewer, seen)
    named = [] if ask.body.media is UNSET else ask.body.media
    new = await _described(svc, named, shown=seen.document.media)
    async with svc.store.write() as messages:
        await _fence(messages, author)
        before = await _held_own(messages, author, ask.message_id)
        current().check_version(before.version)
        now = now_ms()
        after = _patched(before, ask.body, new)
        if after != before:
            after = structs.replace(after, version=before.version + 1, edited_ms=now)
            await messages.replace(after, _earlier(before, after, now))
            if after.parent is None:
                await _rebuild_latest(messages, [author])
            version = (await messages.raise_versions({author: 1}))[author]
            _announce(messages, contract.edited, after, version, parent=seen)
    return Reply(present.message(after, with_place=True), version=after.version)


async def withdraw(svc: Messages, viewer: Viewer, ask: contract.OneMessage) -> None:
    """Erase one's own message with its history. What hangs below it is not shown any more."""
    author = UserId(viewer.known)
    answered = await _author_above(svc, ask.message_id)  # which never changes
    async with svc.store.write() as messages:
        await _fence(messages, author)
        document = await _held_own(messages, author, ask.message_id)
        current().check_version(document.version)
        await messages.remove(document)
        if document.parent is None:
            await _rebuild_latest(messages, [author])
        version = (await messages.raise_versions({author: 1}))[author]
        body = MessageChanged(
            message_id=document.id,
            author_id=author,
            version=version,
            reply_to=document.parent,
            reply_to_author=answered,
        )
        messages.announce(contract.withdrawn, subject=author, version=version, body=body)


async def react(svc: Messages, viewer: Viewer, seen: Seen, ask: contract.OneReaction) -> None:
    """Leave a reaction; the second time does nothing."""
    reactor = UserId(viewer.known)
    async with svc.store.write() as messages:
        await _fence(messages, reactor, seen.document.author_id)
        await _held(messages, seen)
        left = await messages.reactions_by(reactor, ask.message_id)
        if ask.emoji in left:
            return
        if len(left) >= MOST_REACTIONS:
            raise contract.TooManyReactions(f"You left {MOST_REACTIONS} reactions there; take one back first.")
        await messages.add_reaction(ask.message_id, Reacted(reactor, ask.emoji, now_ms()))
        await _announce_reaction(messages, contract.reacted, reactor, seen, left=len(left) + 1)


async def unreact(svc: Messages, viewer: Viewer, seen: Seen, ask: contract.OneReaction) -> None:
    """Take a reaction back; one that is not there is no error."""
    reactor = UserId(viewer.known)
    async with svc.store.write() as messages:
        await _fence(messages, reactor, seen.document.author_id)
        await _held(messages, seen)
        left = await messages.reactions_by(reactor, ask.message_id)
        if ask.emoji not in left:
            return
        await messages.remove_reaction(ask.message_id, reactor, ask.emoji)
        await _announce_reaction(messages, contract.unreacted, reactor, seen, left=len(left) - 1)


async def import_messages(svc: Messages, viewer: Viewer, ask: contract.ImportMessages) -> Imported:
    """A batch from elsewhere. What is there, or was withdrawn, or is of somebody deleted, stays as it is."""
    rules.check_operator(viewer)
    _check_imported(ask)
    documents = {one.id: _imported(one) for one in ask.messages}
    authors = sorted({one.author_id for one in ask.messages})
    async with svc.store.write(timeout_ms=IMPORT_MS) as messages:
        fences = await messages.fence(authors)
        live = [one for one in documents.values() if fences[one.author_id].state == LIVE]
        ids = await messages.add_missing(live)
        added = sorted((documents[message_id] for message_id in ids), key=lambda one: one.id)
        changed = sorted({one.author_id for one in added})
        if changed:
            await _rebuild_latest(messages, changed)
            await _announce_imported(messages, added)
    return Imported(added=len(added), present=len(ask.messages) - len(added))


async def remove_author(messages: MessageWrite, author: UUID, version: int) -> None:
    """What a deletion changes here: the fence, which is set already, hides and stops everything of theirs.

    It costs the same for one message as for a million; the contents are erased after the commit.
    """
    body = AuthorRemoved(author_id=UserId(author), version=version)
    messages.announce(contract.author_removed, subject=UserId(author), version=version, body=body)


# Fences and locks.


async def _fence(messages: MessageWrite, writer: UserId, other: UserId | None = None) -> int:
    """Hold the writer's fence, and `other` still; the last millisecond that the writer's ids used."""
    fences = await messages.fence([writer], () if other is None else [other])
    if fences[writer].state != LIVE:
        raise Unauthenticated("This account is no longer there.")
    if other is not None and fences[other].state != LIVE:
        raise _absent()
    return fences[writer].last_ms


async def _held(messages: MessageWrite, seen: Seen) -> Document:
    """What was seen before this transaction, locked and seen as it is now: it may have changed in between."""
    now = await messages.locked(seen.document.id, shared=True)
    if now is None or not seen.still(now):
        raise _absent()
    return now


async def _held_own(messages: MessageWrite, author: UserId, message_id: MessageId) -> Document:
    document = await messages.locked(message_id)
    if document is None or document.author_id != author:
        raise _absent()
    return document


def _own(viewer: Viewer, seen: Seen) -> UserId:
    if seen.document.author_id != viewer.known:
        raise _absent()
    return seen.document.author_id


def _absent() -> NotFound:
    return NotFound("There is no such message.")


async def _rebuild_latest(messages: MessageWrite, authors: list[UserId]) -> None:
    """In the message's own transaction: the rows are locked first, then made from what is there by now."""
    await messages.lock_latest(authors)
    newest = await messages.newest_of(authors, per_author=KEPT + 1)
    await messages.put_latest([present.latest_row(author, newest.get(author, [])) for author in authors])


# Documents.


async def _described(svc: Messages, named: Sequence[NewMedia], *, shown: Sequence[Media] = ()) -> list[Media]:
    """What is said of those that are not `shown` yet. One call to media, none if there are none."""
    new = rules.unshown(named, shown)
    if not new:
        return []
    held = await svc.world.call(media.hold, media.OwnMedia(ids=new))
    return rules.described(held, named, new)


def _composed(
    author: UserId,
    said: contract.NewMessage,
    pictures: list[Media],
    ancestors: list[MessageId],
    minted_ms: int,
) -> Document:
    bucket = bucket_in(ancestors[-1]) if ancestors else bucket_of(author)
    return Document(
        id=MessageId(uuid7(minted_ms, rand_a=bucket)),
        author_id=author,
        text=said.text,
        media=pictures,
        place=None if said.place is None else rules.rounded(said.place),
        mentions=said.mentions,
        tags=said.tags,
        audience=said.audience,
        only=said.only,
        ancestors=ancestors,
    )


def _answered(document: Document) -> Reply[Message]:
    return Reply(
        present.message(document, with_place=True),
        version=document.version,
        location=f"/v1/messages/{document.id}",
    )


def _patched(before: Document, patch: contract.MessagePatch, new: Sequence[Media]) -> Document:
    """`new` is what is said of media that the message did not show when it was read."""
    audience, only = rules.patched_audience(before.audience, before.only, patch)
    changes: dict[str, Any] = {"audience": audience, "only": only}
    if patch.text is not UNSET:
        changes["text"] = patch.text
    if patch.media is not UNSET:
        changes["media"] = rules.pictured(patch.media, [*new, *before.media])
    if patch.mentions is not UNSET:
        changes["mentions"] = rules.distinct(patch.mentions)
    if patch.tags is not UNSET:
        changes["tags"] = rules.distinct(patch.tags)
    if patch.place is not UNSET:
        changes["place"] = None if patch.place is None else rules.rounded(patch.place)
    after = structs.replace(before, **changes)
    rules.check(after.text, after.media, after.audience, after.only)
    return after


def _earlier(before: Document, after: Document, now: int) -> Earlier | None:
    """What is kept of an edit: only what was said, not who might see it or where it was."""
    if (before.text, before.media) == (after.text, after.media):
        return None
    return Earlier(
        version=before.version,
        text=before.text,
        media=before.media,
        audience=before.audience,
        only=before.only,
        until_ms=now,
    )


def _imported(one: contract.ImportedMessage) -> Document:
    return Document(
        id=one.id,
        author_id=one.author_id,
        text=one.text,
        media=one.media,
        place=one.place,
        mentions=rules.distinct(one.mentions),
        tags=rules.distinct(one.tags),
        audience=one.audience,
        only=[],
    )


def _check_imported(ask: contract.ImportMessages) -> None:
    now = now_ms()
    buckets = {author: bucket_of(author) for author in {one.author_id for one in ask.messages}}
    wrong = [
        FieldError(f"/messages/{number}/id", "not a UUIDv7 of the past with its author's bucket")
        for number, one in enumerate(ask.messages)
        if not rules.is_importable(one.id, buckets[one.author_id], now=now)
    ]
    if wrong:
        why = f"{len(wrong)} of the batch's ids are wrong; nothing was imported."
        raise Invalid(why, errors=tuple(wrong[:100]))
    for number, one in enumerate(ask.messages):
        try:
            rules.check(one.text, one.media, one.audience, [])
        except contract.EmptyMessage as error:
            wrong_text = FieldError(f"/messages/{number}/text", error.detail)
            raise Invalid("A message of the batch is empty; nothing was imported.", errors=(wrong_text,)) from error


# Events.


def _announce(
    messages: MessageWrite,
    event: Event,
    document: Document,
    version: int,
    *,
    parent: Seen | None,
    tells: tuple[Telling, ...] = (),
) -> None:
    body = _changed(document, version, parent=parent)
    messages.announce(event, subject=document.author_id, version=version, body=body, tells=tells)


def _tellings(document: Document, row: LatestRow) -> tuple[Telling, ...]:
    """What every friend of the author is told from this post on; nothing where they are told unlike things."""
    if document.audience == "only":
        return ()
    author, body = document.author_id, Raw(row.bodies[0])
    latest = contract.LatestAsk(friends=[author], others=[], limit=1, to_keep=True)
    recents = contract.PageByAuthorsAsk(friends=[author], others=[], to_keep=True, deeper=[author])
    pages = contract.AuthorPagesAsk(ids=[author], to_keep=True)
    newest = [contract.AuthorLatest(author, document.id, [body])]
    item = [contract.PageItem(document.id, author, body)]
    uncounted = [contract.CountedMessage(document.id, body, replies=0, reactions={})]

    def after(version: int) -> contract.PageByAuthors:
        one = [contract.AuthorRecents(author, version, same_for_friends=True, down_to=document.id, items=item)]
        return contract.PageByAuthors(items=[], more=False, read_at_ms=document.created_ms, recents=one, deeper=one)

    return (
        telling(
            contract.latest_by_authors,
            latest,
            lambda version: contract.Latest(authors=newest, as_of=[contract.AuthorAsOf(author, version, True)]),
        ),
        telling(contract.page_by_authors, recents, after),
        telling(
            contract.author_pages, pages, lambda version: {author: contract.AuthorPage(version, uncounted, [])}
        ),
    )


def _changed(document: Document, version: int, *, parent: Seen | None) -> MessageChanged:
    answered = None
    if document.parent is not None and parent is not None:
        answered = _author_in(parent.chain, document.parent)
    return MessageChanged(
        message_id=document.id,
        author_id=document.author_id,
        version=version,
        reply_to=document.parent,
        reply_to_author=answered,
        mentions=document.mentions,
        media=[one.media_id for one in document.media],
    )


async def _announce_imported(messages: MessageWrite, added: Sequence[Document]) -> None:
    """What concerns others is told by itself; the rest of an author's, maybe years of it, in one event."""
    apart = [one for one in added if one.mentions or one.media]
    together = {one.author_id for one in added if not (one.mentions or one.media)}
    events = Counter([*(one.author_id for one in apart), *together])
    versions = await messages.raise_versions(events, {one.author_id: one.created_ms for one in added})
    for author in sorted(together):
        body = MessagesImported(author_id=author, version=versions[author])
        messages.announce(contract.imported, subject=author, version=versions[author], body=body)
        versions[author] -= 1
    for one in reversed(apart):
        _announce(messages, contract.posted, one, versions[one.author_id], parent=None)
        versions[one.author_id] -= 1


def _author_in(chain: Iterable[Document], message_id: MessageId) -> UserId | None:
    return next((one.author_id for one in chain if one.id == message_id), None)


async def _author_above(svc: Messages, message_id: MessageId) -> UserId | None:
    """Whose message this one replies to; None where it replies to none, or one of the two is gone."""
    found = (await svc.store.by_ids([message_id])).get(message_id)
    if found is None or found.parent is None:
        return None
    parent = (await svc.store.by_ids([found.parent])).get(found.parent)
    return None if parent is None else parent.author_id


async def _announce_reaction(
    messages: MessageWrite, event: Event, reactor: UserId, seen: Seen, *, left: int
) -> None:
    """The version is the reactor's: the author's fence is only shared, and a version never rises under that."""
    version = (await messages.raise_versions({reactor: 1}))[reactor]
    body = ReactionChanged(
        message_id=seen.document.id,
        author_id=seen.document.author_id,
        user_id=reactor,
        version=version,
        left=left,
    )
    messages.announce(event, subject=reactor, version=version, body=body)

"""messages' calls and routes, each with the view or action that answers it."""

from __future__ import annotations

from tidings.contracts import messages as contract
from tidings.contracts.messages import MessageId
from tidings.contracts.users import Branch, Branches, Imported, Removal, TransactionsAsk, UserId, Vote
from tidings.platform.cache.registration import Registration
from tidings.platform.contract import Nothing, Reply
from tidings.platform.export import ExportAsk, ExportPage
from tidings.platform.occurrence import OccurredAsk, OccurredPage
from tidings.platform.request import Viewer
from tidings.platform.service import serves
from tidings.services.messages import actions, rules
from tidings.services.messages import export as export_
from tidings.services.messages.holder import Messages
from tidings.services.messages.views import branches as branches_
from tidings.services.messages.views import by_authors, public

NOTHING = Nothing()


@serves(contract.latest_by_authors)
async def latest_by_authors(svc: Messages, viewer: Viewer, ask: contract.LatestAsk) -> contract.Latest:
    return await by_authors.latest_by_authors(svc, viewer, ask)


@serves(contract.page_by_authors)
async def page_by_authors(svc: Messages, viewer: Viewer, ask: contract.PageByAuthorsAsk) -> contract.PageByAuthors:
    return await by_authors.page_by_authors(svc, viewer, ask)


@serves(contract.author_pages)
async def author_pages(
    svc: Messages, viewer: Viewer, ask: contract.AuthorPagesAsk
) -> dict[UserId, contract.AuthorPage]:
    return await by_authors.author_pages(svc, ask)


@serves(contract.by_ids)
async def by_ids(svc: Messages, viewer: Viewer, ask: contract.ByMessageIds) -> dict[MessageId, contract.Message]:
    return await public.by_ids(svc, viewer, ask.ids)


@serves(contract.register_cache)
async def register_cache(svc: Messages, viewer: Viewer, ask: Registration) -> Nothing:
    await svc.mailroom.register(ask)
    return NOTHING


@serves(contract.occurrences)
async def occurrences(svc: Messages, viewer: Viewer, ask: OccurredAsk) -> OccurredPage:
    return await svc.mailroom.occurrences(ask)


@serves(contract.export)
async def export(svc: Messages, viewer: Viewer, ask: ExportAsk) -> ExportPage:
    return await export_.part(svc.store, UserId(viewer.known), ask)


@serves(contract.import_messages)
async def import_messages(svc: Messages, viewer: Viewer, ask: contract.ImportMessages) -> Imported:
    return await actions.import_messages(svc, viewer, ask)


# A deleted account's part here.


@serves(contract.prepare_removal)
async def prepare_removal(svc: Messages, viewer: Viewer, ask: Removal) -> Vote:
    return Vote(yes=await svc.removal.prepare(ask.gid, ask.user_id))


@serves(contract.commit_removal)
async def commit_removal(svc: Messages, viewer: Viewer, ask: Removal) -> Branch:
    state = await svc.removal.commit(ask.gid, ask.user_id)
    svc.erase_soon.set()
    return Branch(state=state)


@serves(contract.abort_removal)
async def abort_removal(svc: Messages, viewer: Viewer, ask: Removal) -> Branch:
    return Branch(state=await svc.removal.abort(ask.gid, ask.user_id))


@serves(contract.branches)
async def branches(svc: Messages, viewer: Viewer, ask: TransactionsAsk) -> Branches:
    rules.check_operator(viewer)
    return await branches_.branches(svc.removal, ask.gid)


@serves(contract.find_messages)
async def find_messages(svc: Messages, viewer: Viewer, ask: contract.FindMessages) -> Reply[contract.Messages]:
    return await public.find_messages(svc, viewer, ask)


@serves(contract.get_message)
async def get_message(svc: Messages, viewer: Viewer, ask: contract.OneMessage) -> Reply[contract.Shown]:
    return await public.get_message(svc, viewer, ask)


@serves(contract.history)
async def history(svc: Messages, viewer: Viewer, ask: contract.OneMessage) -> contract.History:
    return await public.history(svc, viewer, ask)


@serves(contract.list_replies)
async def list_replies(svc: Messages, viewer: Viewer, ask: contract.RepliesAsk) -> Reply[contract.Messages]:
    return await public.list_replies(svc, viewer, ask)


@serves(contract.list_reactions)
async def list_reactions(svc: Messages, viewer: Viewer, ask: contract.OneMessage) -> contract.Reactions:
    return await public.list_reactions(svc, viewer, ask)


@serves(contract.post)
async def post(svc: Messages, viewer: Viewer, ask: contract.Post) -> Reply[contract.Message]:
    return await actions.post(svc, viewer, ask)


@serves(contract.reply)
async def reply(svc: Messages, viewer: Viewer, ask: contract.ReplyTo) -> Reply[contract.Message]:
    await svc.store.recall()
    parent = await public.seen(svc, viewer, ask.message_id)
    return await actions.reply(svc, viewer, parent, ask)


@serves(contract.edit)
async def edit(svc: Messages, viewer: Viewer, ask: contract.Edit) -> Reply[contract.Message]:
    seen = await public.seen(svc, viewer, ask.message_id)
    return await actions.edit(svc, viewer, seen, ask)


@serves(contract.withdraw)
async def withdraw(svc: Messages, viewer: Viewer, ask: contract.OneMessage) -> Nothing:
    await actions.withdraw(svc, viewer, ask)
    return NOTHING


@serves(contract.react)
async def react(svc: Messages, viewer: Viewer, ask: contract.OneReaction) -> Nothing:
    seen = await public.seen(svc, viewer, ask.message_id)
    await actions.react(svc, viewer, seen, ask)
    return NOTHING


@serves(contract.unreact)
async def unreact(svc: Messages, viewer: Viewer, ask: contract.OneReaction) -> Nothing:
    seen = await public.seen(svc, viewer, ask.message_id)
    await actions.unreact(svc, viewer, seen, ask)
    return NOTHING

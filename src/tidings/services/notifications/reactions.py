"""Each event that concerns somebody, and the action that it leads to."""

from __future__ import annotations

from tidings.contracts import friends, messages, users
from tidings.contracts.friends import GraphChanged
from tidings.contracts.messages import MessageChanged, ReactionChanged
from tidings.contracts.users import UserChanged
from tidings.platform.occurrence import Occurrence
from tidings.platform.service import reacts
from tidings.services.notifications import actions, rules
from tidings.services.notifications.holder import Notifications


@reacts(friends.requested, friends.request_withdrawn, friends.befriended, friends.unfriended, friends.blocked)
async def on_graph_changed(svc: Notifications, happened: Occurrence[GraphChanged]) -> None:
    await actions.keep(svc.store, rules.of_graph(happened.event.name, happened.body))


@reacts(messages.posted)
async def on_message_posted(svc: Notifications, happened: Occurrence[MessageChanged]) -> None:
    await actions.message_posted(svc.store, happened.body)


@reacts(messages.edited, messages.withdrawn)
async def on_message_changed(svc: Notifications, happened: Occurrence[MessageChanged]) -> None:
    withdrawn = rules.is_withdrawal(happened.event.name)
    await actions.message_changed(svc.store, happened.body, withdrawn=withdrawn)


@reacts(messages.reacted, messages.unreacted)
async def on_reaction_changed(svc: Notifications, happened: Occurrence[ReactionChanged]) -> None:
    await actions.keep(svc.store, rules.of_reaction(happened.body))


@reacts(users.removed)
async def on_user_removed(svc: Notifications, happened: Occurrence[UserChanged]) -> None:
    await actions.forget(svc.store, happened.body.user_id)

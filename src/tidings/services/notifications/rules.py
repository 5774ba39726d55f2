"""What an event means to whom: pure decisions. An effect is a state at a version, so any order ends alike."""

from __future__ import annotations

from tidings.contracts import friends, messages
from tidings.contracts.friends import GraphChanged
from tidings.contracts.messages import MessageChanged, ReactionChanged
from tidings.contracts.notifications import Kind
from tidings.contracts.users import UserId
from tidings.services.notifications.shapes import Effect


def of_graph(event: str, body: GraphChanged) -> list[Effect]:
    """Requests and acceptances, seen from the one whose version it is."""

    def effect(kind: Kind, *, stands: bool) -> Effect:
        other = body.other_id
        return Effect(body.user_id, kind, other, other, other, body.version, stands)

    theirs = body.by_id == body.other_id
    if event == friends.requested.name:
        return [effect("friend_request", stands=True)] if theirs else []
    if event == friends.befriended.name:
        return [effect("friend_acceptance", stands=True) if theirs else effect("friend_request", stands=False)]
    if event == friends.request_withdrawn.name:
        return [effect("friend_request", stands=False)]
    return [effect("friend_request", stands=False), effect("friend_acceptance", stands=False)]


def of_message(body: MessageChanged) -> list[Effect]:
    """Whom a message that stands concerns: the one it answers, and those it mentions; nobody twice."""
    effects: list[Effect] = []
    answered = body.reply_to_author
    if body.reply_to is not None and answered is not None and answered != body.author_id:
        effects.append(
            Effect(answered, "reply", body.author_id, body.message_id, body.reply_to, body.version, stands=True)
        )
    for mentioned in body.mentions:
        if mentioned not in (body.author_id, answered):
            effects.append(
                Effect(
                    mentioned,
                    "mention",
                    body.author_id,
                    body.message_id,
                    body.message_id,
                    body.version,
                    stands=True,
                )
            )
    return effects


def of_reaction(body: ReactionChanged) -> list[Effect]:
    """One per person and message, however many emojis: it stands as long as one is left."""
    if body.user_id == body.author_id:
        return []
    message = body.message_id
    return [Effect(body.author_id, "reaction", body.user_id, message, message, body.version, stands=body.left > 0)]


def is_withdrawal(event: str) -> bool:
    return event == messages.withdrawn.name


def people_in(effects: list[Effect]) -> list[UserId]:
    """Whose fences these effects touch."""
    return sorted({person for effect in effects for person in (effect.user_id, effect.actor_id)})

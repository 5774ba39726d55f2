"""What the deletion of a person means for those who were their friends."""

from __future__ import annotations

from tidings.contracts import friends
from tidings.contracts.friends import PersonRemoved
from tidings.platform.occurrence import Occurrence
from tidings.platform.service import reacts
from tidings.services.friends import actions
from tidings.services.friends.holder import Friends


@reacts(friends.person_removed)
async def on_person_removed(svc: Friends, happened: Occurrence[PersonRemoved]) -> None:
    await actions.friends_of_removed(svc.store, happened.body)

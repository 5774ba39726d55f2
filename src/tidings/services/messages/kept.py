"""What messages keeps of others' answers: readers' circles, and authors' cards."""

from __future__ import annotations

from typing import Final

from tidings.contracts import friends, users
from tidings.contracts.users import ByIds, UserId
from tidings.platform.cache.by_subject import kept_by_subject


def _about(ids: list[UserId]) -> ByIds:
    return ByIds(ids=ids)


KEPT: Final = (kept_by_subject(friends.circles, _about), kept_by_subject(users.cards_as_of, _about))

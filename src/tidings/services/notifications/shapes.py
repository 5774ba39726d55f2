"""What rules decide and stores keep."""

from __future__ import annotations

from uuid import UUID

import msgspec

from tidings.contracts.notifications import Kind
from tidings.contracts.users import UserId


class Effect(msgspec.Struct, frozen=True):
    """`actor` did `kind` to `user` about `target`, which stands under `group`: true or not, as of `version`."""

    user_id: UserId
    kind: Kind
    actor_id: UserId
    target: UUID
    group_id: UUID
    version: int
    stands: bool

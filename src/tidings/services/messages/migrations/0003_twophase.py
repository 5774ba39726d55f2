"""Branches of two-phase transactions, and the ways from a person to all that they left, to erase it."""

from alembic import op

from tidings.platform.storage.foundation import TWOPHASE_PARTICIPANT

revision, down_revision, compatible_down_to = "0003", "0002", "0001"

ERASURE = (
    "alter table subject_fence add column erased_at timestamptz",
    "create index subject_fence_unerased on subject_fence (user_id) where state = 'deleted' and erased_at is null",
    "create index reply_by_author on reply (author_id)",
    "create index reaction_by_user on reaction (user_id)",
)


def upgrade() -> None:
    for statement in (*TWOPHASE_PARTICIPANT, *ERASURE):
        op.execute(statement)

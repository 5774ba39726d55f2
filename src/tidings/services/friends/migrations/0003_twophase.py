"""Branches of two-phase transactions, and the way from a person to who muted them."""

from alembic import op

from tidings.platform.storage.foundation import TWOPHASE_PARTICIPANT

revision, down_revision, compatible_down_to = "0003", "0002", "0001"

MUTES_BY_MUTED = "create index mutes_by_muted on mutes (muted_id, muter_id)"


def upgrade() -> None:
    for statement in (*TWOPHASE_PARTICIPANT, MUTES_BY_MUTED):
        op.execute(statement)

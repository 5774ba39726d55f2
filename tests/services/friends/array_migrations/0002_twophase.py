"""Branches of two-phase transactions."""

from alembic import op

from tidings.platform.storage.foundation import TWOPHASE_PARTICIPANT

revision, down_revision, compatible_down_to = "0002", "0001", "0001"


def upgrade() -> None:
    for statement in TWOPHASE_PARTICIPANT:
        op.execute(statement)

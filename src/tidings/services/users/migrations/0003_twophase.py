"""The log of two-phase transactions: users decides them."""

from alembic import op

from tidings.platform.storage.foundation import TWOPHASE_COORDINATOR

# NOTE: code of 0002 would delete accounts here without telling anybody.
revision, down_revision, compatible_down_to = "0003", "0002", "0003"


def upgrade() -> None:
    for statement in TWOPHASE_COORDINATOR:
        op.execute(statement)

"""What a service needs that reacts to events."""

from alembic import op

from tidings.platform.storage.foundation import REACTING

revision, down_revision, compatible_down_to = "0004", "0003", "0001"


def upgrade() -> None:
    for statement in REACTING:
        op.execute(statement)

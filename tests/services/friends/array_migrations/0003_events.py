"""What a service needs that announces and reacts to events."""

from alembic import op

from tidings.platform.storage.foundation import REACTING, RELAYED

revision, down_revision, compatible_down_to = "0003", "0002", "0001"


def upgrade() -> None:
    for statement in (*RELAYED, *REACTING):
        op.execute(statement)

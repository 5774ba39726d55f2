"""What the relay needs: its lease, and the order in which events were published."""

from alembic import op

from tidings.platform.storage.foundation import RELAYED

revision, down_revision, compatible_down_to = "0002", "0001", "0001"


def upgrade() -> None:
    for statement in RELAYED:
        op.execute(statement)

"""The picture that a person chose to be shown by; media keeps it."""

from alembic import op

# NOTE: code of 0004 would announce changes of people without their picture, and media would delete it.
revision, down_revision, compatible_down_to = "0005", "0004", "0005"


def upgrade() -> None:
    op.execute("alter table accounts add column avatar uuid")

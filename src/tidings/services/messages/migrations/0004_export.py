"""The way from a person to what they withdrew, for their export."""

from alembic import op

revision, down_revision, compatible_down_to = "0004", "0003", "0001"

WITHDRAWN_BY_AUTHOR = "create index withdrawn_by_author on withdrawn (author_id, id)"


def upgrade() -> None:
    op.execute(WITHDRAWN_BY_AUTHOR)

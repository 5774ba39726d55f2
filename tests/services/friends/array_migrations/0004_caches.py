"""Who keeps answers of this service."""

from alembic import op

from tidings.platform.storage.foundation import CACHE_REGISTER

revision, down_revision, compatible_down_to = "0004", "0003", "0001"


def upgrade() -> None:
    op.execute(CACHE_REGISTER)

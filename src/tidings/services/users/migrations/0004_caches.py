"""Who keeps answers of this service: a write that takes access away waits for them."""

from alembic import op

from tidings.platform.storage.foundation import CACHE_REGISTER

# NOTE: code of 0003 would take access away without telling the caches.
revision, down_revision, compatible_down_to = "0004", "0003", "0004"


def upgrade() -> None:
    op.execute(CACHE_REGISTER)

"""Who keeps answers of this service: a write that takes access away waits for them."""

from alembic import op

from tidings.platform.storage.foundation import CACHE_REGISTER

# NOTE: code of 0004 would take access away without telling the caches.
revision, down_revision, compatible_down_to = "0005", "0004", "0005"


def upgrade() -> None:
    op.execute(CACHE_REGISTER)

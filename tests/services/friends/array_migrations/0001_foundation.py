"""Everything about a person in one row of arrays, beside the tables that every service has."""

from alembic import op

from tidings.platform.storage.foundation import FOUNDATION

revision, down_revision, compatible_down_to = "0001", None, "0001"

LISTS = ("friends", "outgoing", "incoming", "blocks", "blocked_by", "mutes")
COLUMNS = ", ".join(
    f"{name} uuid[] not null default '{{}}', {name}_since bigint[] not null default '{{}}'" for name in LISTS
)


def upgrade() -> None:
    for statement in (*FOUNDATION, f"create table people (user_id uuid primary key, {COLUMNS})"):
        op.execute(statement)

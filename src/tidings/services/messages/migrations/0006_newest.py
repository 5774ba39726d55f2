"""The newest message of an author in columns of its own: who wants no more need not unpack the whole row."""

from alembic import op

# NOTE: made from the others, so that code of 0005 keeps them true without knowing of them.
revision, down_revision, compatible_down_to = "0006", "0005", "0005"

NEWEST = """
alter table latest
    add column newest_id uuid generated always as ((heads->0->>0)::uuid) stored,
    add column newest_audience text generated always as (heads->0->>2) stored,
    add column newest_body bytea generated always as (bodies[1]) stored
"""


def upgrade() -> None:
    op.execute(NEWEST)

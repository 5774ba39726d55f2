"""Notifications, what was seen of each message, and how far each person has read."""

from alembic import op

from tidings.platform.storage.foundation import FOUNDATION, REACTING

revision, down_revision, compatible_down_to = "0001", None, "0001"

TABLES = (
    """
    create table notifications (
        user_id uuid not null,
        kind text not null,
        actor_id uuid not null,
        target uuid not null,
        group_id uuid not null,
        version bigint not null,
        stands boolean not null,
        at_ms bigint not null,
        primary key (user_id, kind, actor_id, target)
    )
    """,
    "create index notifications_by_time on notifications (user_id, at_ms) where stands",
    "create index notifications_by_target on notifications (target)",
    "create index notifications_by_actor on notifications (actor_id)",
    "create table message_versions (message_id uuid primary key, version bigint not null)",
    "create table read_marks (user_id uuid primary key, read_ms bigint not null)",
)


def upgrade() -> None:
    for statement in (*FOUNDATION, *REACTING, *TABLES):
        op.execute(statement)

"""Friendships, requests, blocks and mutes, beside the tables that every service has."""

from alembic import op

from tidings.platform.storage.foundation import FOUNDATION

revision, down_revision, compatible_down_to = "0001", None, "0001"

TABLES = (
    # Two rows a friendship, one for each direction: every list is a range of one index.
    """
    create table friendships (
        user_id uuid not null,
        friend_id uuid not null,
        since_ms bigint not null,
        primary key (user_id, friend_id),
        check (user_id <> friend_id)
    )
    """,
    "create index friendships_by_age on friendships (user_id, since_ms, friend_id)",
    """
    create table friend_requests (
        asker_id uuid not null,
        asked_id uuid not null,
        since_ms bigint not null,
        primary key (asker_id, asked_id),
        check (asker_id <> asked_id)
    )
    """,
    "create index friend_requests_outgoing on friend_requests (asker_id, since_ms, asked_id)",
    "create index friend_requests_incoming on friend_requests (asked_id, since_ms, asker_id)",
    """
    create table blocks (
        blocker_id uuid not null,
        blocked_id uuid not null,
        since_ms bigint not null,
        primary key (blocker_id, blocked_id),
        check (blocker_id <> blocked_id)
    )
    """,
    "create index blocks_by_age on blocks (blocker_id, since_ms, blocked_id)",
    "create unique index blocks_by_blocked on blocks (blocked_id, blocker_id)",
    """
    create table mutes (
        muter_id uuid not null,
        muted_id uuid not null,
        since_ms bigint not null,
        primary key (muter_id, muted_id),
        check (muter_id <> muted_id)
    )
    """,
    "create index mutes_by_age on mutes (muter_id, since_ms, muted_id)",
)


def upgrade() -> None:
    for statement in (*FOUNDATION, *TABLES):
        op.execute(statement)

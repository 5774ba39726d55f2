"""Accounts, their sessions, links and invites, beside the tables that every service has."""

from alembic import op

from tidings.platform.storage.foundation import FOUNDATION

revision, down_revision, compatible_down_to = "0001", None, "0001"

TABLES = (
    """
    create table accounts (
        id uuid primary key,
        state text not null default 'live' check (state in ('live', 'deleted')),
        handle text collate "C",
        name text not null,
        bio text not null,
        role text not null check (role in ('member', 'administrator')),
        suspended boolean not null default false,
        password_hash text,
        version bigint not null,
        created_at timestamptz not null,
        check ((state = 'live') = (handle is not null))
    )
    """,
    "create unique index accounts_by_handle on accounts (handle) where handle is not null",
    "create index accounts_administrators on accounts (id) where role = 'administrator'",
    # One row for each place in a name where a search may begin; "C" order makes a prefix a range.
    """
    create table search_entries (
        entry text collate "C" not null,
        user_id uuid not null references accounts (id),
        primary key (entry, user_id)
    )
    """,
    "create index search_entries_by_user on search_entries (user_id, entry)",
    """
    create table reserved_handles (
        digest bytea primary key,
        until timestamptz not null
    )
    """,
    "create index reserved_handles_by_age on reserved_handles (until)",
    """
    create table sessions (
        id uuid primary key,
        user_id uuid not null references accounts (id),
        digest bytea not null unique,
        label text not null,
        created_at timestamptz not null,
        expires_at timestamptz not null
    )
    """,
    "create index sessions_by_user on sessions (user_id, id)",
    """
    create table links (
        digest bytea primary key,
        purpose text not null check (purpose in ('set_up', 'reset', 'sign_in')),
        user_id uuid references accounts (id),
        expires_at timestamptz not null
    )
    """,
    "create index links_by_user on links (user_id)",
    "create index links_by_age on links (expires_at)",
    "create index links_set_up on links (purpose) where purpose = 'set_up'",
    """
    create table invites (
        id uuid primary key,
        maker_id uuid references accounts (id),
        digest bytea not null unique,
        expires_at timestamptz not null,
        used boolean not null default false
    )
    """,
    "create index invites_by_maker on invites (maker_id, id)",
    """
    create table preferences (
        user_id uuid primary key references accounts (id),
        version bigint not null,
        preferences jsonb not null
    )
    """,
)


def upgrade() -> None:
    for statement in (*FOUNDATION, *TABLES):
        op.execute(statement)

"""Pictures, and what shows them."""

from alembic import op

from tidings.platform.storage.foundation import FOUNDATION, REACTING

revision, down_revision, compatible_down_to = "0001", None, "0001"

TABLES = (
    """
    create table media (
        id uuid primary key,
        owner_id uuid not null,
        state text not null check (state in ('uploading', 'processing', 'ready', 'refused', 'leaving')),
        alt text not null default '',
        width int not null default 0,
        height int not null default 0,
        animated boolean not null default false,
        blurhash text not null default '',
        bytes bigint not null default 0,
        problem text,
        parts int not null default 0,
        tries int not null default 0,
        used boolean not null default false,
        held_until timestamptz not null,
        posting_until timestamptz not null default '-infinity',
        wearing_until timestamptz not null default '-infinity',
        left_at timestamptz
    )
    """,
    "create index media_by_owner on media (owner_id, id)",
    # What is used or gone is in none of these: a look for what to do costs what there is to do.
    "create index media_unused on media (held_until) where not used and state in ('uploading', 'ready', 'refused')",
    "create index media_at_work on media (held_until) where state = 'processing'",
    "create index media_with_parts on media (held_until) where parts > 0 and state in ('ready', 'refused')",
    "create index media_leaving on media (left_at) where state = 'leaving'",
    """
    create table shown_by (
        media_id uuid not null,
        message_id uuid not null,
        primary key (media_id, message_id)
    )
    """,
    "create index shown_by_message on shown_by (message_id)",
    "create table gone_messages (message_id uuid primary key, at timestamptz not null default clock_timestamp())",
    "create index gone_messages_by_age on gone_messages (at)",
    "create table avatars (user_id uuid primary key, media_id uuid, version bigint not null)",
    "create index avatars_by_media on avatars (media_id)",
)


def upgrade() -> None:
    for statement in (*FOUNDATION, *REACTING, *TABLES):
        op.execute(statement)

"""The first tables: messages and replies by bucket, the latest of each author, history, reactions and counts."""

from alembic import op

from tidings.platform.storage.foundation import FOUNDATION

revision = "0001"
down_revision = None
compatible_down_to = "0001"

# The columns beside the document are made from it, so that they cannot say something else.
# NOTE: ids are unique by a hash index, which can't be walked: given a btree on (bucket, id), the planner at times
# reads one author's newest by walking the whole bucket.
MESSAGE = """
create table message (
    bucket smallint not null,
    author_id uuid not null,
    id uuid not null,
    document jsonb not null,
    audience text not null generated always as (document->>'audience') stored,
    has_media boolean not null generated always as (jsonb_array_length(document->'media') > 0) stored,
    latitude double precision
        generated always as ((document->'place'->'latitude')::double precision) stored,
    longitude double precision
        generated always as ((document->'place'->'longitude')::double precision) stored,
    primary key (bucket, author_id, id),
    constraint message_by_id exclude using hash (id with =)
)
"""

REPLY = """
create table reply (
    bucket smallint not null,
    parent_id uuid not null,
    id uuid not null,
    author_id uuid not null,
    document jsonb not null,
    primary key (bucket, parent_id, id),
    constraint reply_by_id exclude using hash (id with =)
)
"""

LATEST = """
create table latest (
    bucket smallint not null,
    author_id uuid not null,
    complete boolean not null default true,
    heads json not null default '[]',
    bodies bytea[] not null default '{}',
    primary key (bucket, author_id)
)
"""

WITHDRAWN = """
create table withdrawn (
    bucket smallint not null,
    id uuid not null,
    author_id uuid not null,
    version integer not null,
    primary key (bucket, id)
)
"""

HISTORY = """
create table history (
    bucket smallint not null,
    message_id uuid not null,
    version integer not null,
    document jsonb not null,
    primary key (bucket, message_id, version)
)
"""

REACTION = """
create table reaction (
    bucket smallint not null,
    message_id uuid not null,
    user_id uuid not null,
    emoji text not null,
    created_ms bigint not null,
    primary key (bucket, message_id, user_id, emoji)
)
"""

REACTION_BY_TIME = "create index reaction_by_time on reaction (bucket, message_id, created_ms)"

# One row an emoji and message; the empty emoji counts the replies.
TALLY = """
create table tally (
    bucket smallint not null,
    message_id uuid not null,
    emoji text not null,
    count integer not null,
    primary key (bucket, message_id, emoji)
)
"""


def upgrade() -> None:
    for statement in (
        *FOUNDATION,
        MESSAGE,
        REPLY,
        LATEST,
        WITHDRAWN,
        HISTORY,
        REACTION,
        REACTION_BY_TIME,
        TALLY,
    ):
        op.execute(statement)

"""The tables that services have alike: fences, outbox, idempotency; the two-phase log, and branches of it.

A service's migration 0001 executes those that all have, one by one.

```python
def upgrade() -> None:
    for statement in FOUNDATION:
        op.execute(statement)
```
"""

# NOTE: released migrations execute these strings: never edit one, add a migration.
SUBJECT_FENCE = """
create table subject_fence (
    user_id uuid primary key,
    state text not null default 'live',
    version bigint not null default 0,
    last_ms bigint not null default 0
)
"""

OUTBOX = """
create table outbox (
    id uuid primary key,
    event text not null,
    subject uuid not null,
    version bigint not null,
    body jsonb not null,
    trace text,
    created_at timestamptz not null default clock_timestamp(),
    published_at timestamptz
)
"""

OUTBOX_UNPUBLISHED = "create index outbox_unpublished on outbox (created_at) where published_at is null"

IDEMPOTENCY = """
create table idempotency (
    scope text not null,
    key text not null,
    fingerprint bytea not null,
    status smallint,
    headers jsonb,
    reply bytea,
    created_at timestamptz not null default now(),
    primary key (scope, key)
)
"""

IDEMPOTENCY_BY_AGE = "create index idempotency_by_age on idempotency (created_at)"

FOUNDATION = (SUBJECT_FENCE, OUTBOX, OUTBOX_UNPUBLISHED, IDEMPOTENCY, IDEMPOTENCY_BY_AGE)

# The coordinator's: its database alone has it. Rows are unfinished until every participant has acknowledged.
TWOPHASE_LOG = """
create table twophase_log (
    gid text primary key,
    subject uuid not null,
    participants text[] not null,
    outcome text check (outcome in ('COMMIT', 'ABORT')),
    begun_at timestamptz not null default clock_timestamp(),
    deadline timestamptz not null,
    decided_at timestamptz,
    leased_until timestamptz not null default '-infinity',
    finished_at timestamptz
)
"""

TWOPHASE_LOG_UNFINISHED = (
    "create unique index twophase_log_unfinished on twophase_log (subject) where finished_at is null"
)
TWOPHASE_LOG_BY_AGE = "create index twophase_log_by_age on twophase_log (finished_at)"

TWOPHASE_COORDINATOR = (TWOPHASE_LOG, TWOPHASE_LOG_UNFINISHED, TWOPHASE_LOG_BY_AGE)

# A participant's: inserted by the branch itself, so that it shows when the branch commits, or by who aborts it.
TWOPHASE_BRANCH = """
create table twophase_branch (
    gid text primary key,
    state text not null check (state in ('committed', 'aborted')),
    subject uuid,
    created_at timestamptz not null default clock_timestamp()
)
"""

TWOPHASE_BRANCH_BY_AGE = "create index twophase_branch_by_age on twophase_branch (created_at)"

TWOPHASE_PARTICIPANT = (TWOPHASE_BRANCH, TWOPHASE_BRANCH_BY_AGE)
RELAY_LEASE = """
create table relay_lease (
    name text primary key,
    holder uuid not null,
    until timestamptz not null
)
"""

OUTBOX_PUBLISHED = "create index outbox_published on outbox (published_at, id) where published_at is not null"

RELAYED = (RELAY_LEASE, OUTBOX_PUBLISHED)  # for those who announce

INBOX = """
create table inbox (
    event_id uuid primary key,
    done_at timestamptz not null default clock_timestamp()
)
"""

INBOX_BY_AGE = "create index inbox_by_age on inbox (done_at)"

REACTION_FAILURES = """
create table reaction_failures (
    event_id uuid primary key,
    attempts int not null,
    error text not null,
    failed_at timestamptz not null default clock_timestamp()
)
"""

DEAD_LETTERS = """
create table dead_letters (
    event_id uuid primary key,
    producer text not null,
    event text not null,
    subject uuid not null,
    version bigint not null,
    body jsonb not null,
    trace text,
    error text not null,
    attempts int not null,
    dead_at timestamptz not null default clock_timestamp()
)
"""

RECONCILED = """
create table reconciled (
    producer text primary key,
    after text not null
)
"""

REACTING = (INBOX, INBOX_BY_AGE, REACTION_FAILURES, DEAD_LETTERS, RECONCILED)  # for those who react

# A producer's whose answers others keep: who they are, so that a writer can wait for them.
CACHE_REGISTER = """
create table cache_register (
    cache uuid primary key,
    holder text not null,
    until timestamptz not null
)
"""

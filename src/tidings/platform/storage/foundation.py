"""The tables that every service has: fences, outbox, idempotency. Its migration 0001 executes them one by one.

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

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

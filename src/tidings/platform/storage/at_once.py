"""A whole write in one statement: one round trip for what is done most often, where nothing stands in its way.

A store puts its own parts between `BEGUN` and `RAISED`, each `FROM cleared`: a row that is there only while the
subject's fence is held and the request's Idempotency-Key is new. Parameters from `$12` on are the store's.

What reacts to an event has its parts between `TAKEN` and `TOLD`: each follows from `taken`, a row that is there
only while all fences are held and the event is new, and `concerned` has those (`user_id`) whose versions rise.
Parameters from `$8` on are the store's. Where nobody's version rises it ends in `DONE`, and those from `$3` on are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import msgspec

from tidings.platform.occurrence import Occurred
from tidings.platform.request import Idempotency
from tidings.platform.storage.handle import Saying

# Nobody is waited for: whose fence another transaction holds writes the long way. A row that changed since the
# statement began is looked at once more as it is now, so `fenced` is what the update below finds.
BEGUN: Final = """
WITH fenced AS (
    SELECT version + 1 AS version FROM subject_fence
    WHERE user_id = $1 AND state = 'live' AND last_ms < $2 FOR NO KEY UPDATE SKIP LOCKED
), claimed AS (
    INSERT INTO idempotency (scope, key, fingerprint, status, reply)
    SELECT $7, $8, $9, $10, $11 FROM fenced WHERE $8::text IS NOT NULL ON CONFLICT DO NOTHING RETURNING true
), cleared AS (
    SELECT version FROM fenced WHERE $8::text IS NULL OR EXISTS (SELECT FROM claimed)
), told AS (
    INSERT INTO outbox (id, event, subject, version, body, trace)
    SELECT $3, $4, $1, version, $5::jsonb || jsonb_build_object('version', version), $6 FROM cleared
)"""
RAISED: Final = """
UPDATE subject_fence f SET version = f.version + 1, last_ms = $2 FROM cleared WHERE f.user_id = $1
RETURNING f.version
"""

# In no order: nobody is waited for. What `concerned` names has to be among those whose fences are held. A fence is
# locked as it is by now; whose version rose since the statement began, about them it may see what was before.
TAKEN: Final = """
WITH fenced AS (
    SELECT user_id, version FROM subject_fence
    WHERE user_id = ANY($2::uuid[]) AND state = 'live' FOR NO KEY UPDATE SKIP LOCKED
), cleared AS (
    SELECT WHERE (
        SELECT count(*) FROM fenced JOIN subject_fence AS begun USING (user_id, version)
    ) = cardinality($2::uuid[])
), taken AS (
    INSERT INTO inbox (event_id) SELECT $1 FROM cleared ON CONFLICT DO NOTHING RETURNING event_id
)"""
TOLD: Final = """, raised AS (
    UPDATE subject_fence SET version = version + 1 WHERE user_id IN (SELECT user_id FROM concerned)
    RETURNING user_id, version
), told AS (
    INSERT INTO outbox (id, event, subject, version, body, trace)
    SELECT said.id, said.event, said.subject, raised.version,
           said.body || jsonb_build_object('version', raised.version), said.trace
    FROM raised JOIN unnest($3::uuid[], $4::text[], $5::uuid[], $6::jsonb[], $7::text[])
        AS said (id, event, subject, body, trace) ON said.subject = raised.user_id
)
SELECT user_id, version FROM raised UNION ALL SELECT NULL, NULL FROM taken
"""
DONE: Final = "\nSELECT NULL::uuid, NULL::bigint FROM taken\n"


def values_of(subject: UUID, minted_ms: int, said: Saying, claim: Idempotency | None) -> tuple[Any, ...]:
    """The first parameters. `said` is one event of the subject, whose version is not known yet, and the answer."""
    [one] = said.announced
    answer: tuple[Any, ...] = (None,) * 5
    if claim is not None:
        told = said.answered()
        answer = (claim.scope, claim.key, claim.fingerprint, told.status, msgspec.json.encode(told))
    return (subject, minted_ms, one.id, one.event, one.body, one.trace, *answer)


def as_of(versions: Mapping[UUID, int], said: Saying) -> list[Occurred]:
    """What `said` has become, of those subjects: the statement puts versions into its rows, as is done here."""
    return [_as_of(versions[one.subject], one) for one in said.occurred() if one.subject in versions]


def _as_of(version: int, one: Occurred) -> Occurred:
    body = {**msgspec.json.decode(one.body), "version": version}
    return msgspec.structs.replace(one, version=version, body=msgspec.Raw(msgspec.json.encode(body)))

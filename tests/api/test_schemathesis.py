"""Generated requests against the running server: no 5xx, and no answer that the document does not describe.

Left out of schemathesis's checks:
- `positive_data_acceptance`: a valid request may rightly be refused (nobody of that id, no such link).
- `negative_data_rejection` where only headers are wrong: see `_is_refusable`.
- `ignored_auth`, `missing_required_header`: rows 16 and 17 of the security checklist test tokens themselves.
- `unsupported_method`, `allow_header_conformance`: `test_every_path_names_its_methods` asks every one.
- `use_after_free`, `ensure_resource_availability`, `object_level_authorization`: they want sequences of
  requests; the journeys and the security checklist's rows hold these by hand, with people who know each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig
from schemathesis.core.parameters import ParameterLocation

from tests.api.conventions import DOCUMENT, NOBODY, operations
from tests.harness.people import Person
from tests.harness.system import Whole

pytestmark = pytest.mark.parametrize("tidings", ["near"], indirect=True)

SEED = 20_260_101
EXAMPLES = {GenerationMode.POSITIVE: 10, GenerationMode.NEGATIVE: 6}
# Whoever asks these loses the token that they asked with, or the account.
ENDING = {"users_delete_user", "users_sign_out", "users_sign_out_everywhere", "users_change_password"}
CONFIG = SchemathesisConfig.from_dict(
    {
        "seed": SEED,
        "checks": {"negative_data_rejection": {"expected-statuses": [400, 401, 403, 404, 415, 422, 431]}},
    }
)
# Without the security schemes: most wrong requests would be those without a token, and go no further than the door.
SIGNED_IN = copy.deepcopy(DOCUMENT)
for _methods in SIGNED_IN["paths"].values():
    for _operation in _methods.values():
        _operation.pop("security", None)
SCHEMA = schemathesis.openapi.from_dict(SIGNED_IN, config=CONFIG)
# A stream does not end: tests/journeys/test_stream.py reads it.
STREAMS = {"timeline_stream"}
OPERATIONS = sorted({operation["operationId"] for _, _, operation in operations()} - STREAMS)

load_all_checks()
ALWAYS = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    ]
)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("operation_id", OPERATIONS)
async def test_no_server_error_and_no_undocumented_answer(
    tidings: Whole, operation_id: str, mode: GenerationMode
) -> None:
    person = await tidings.joins("Fuzz")
    if operation_id not in ENDING:
        friend = await tidings.joins("Friend")
        await person.befriends(friend)
        known = {"message_id": (await friend.posts("hello"))["id"], "user_id": friend.id}
    else:
        known = {"user_id": str(NOBODY), "session_id": str(NOBODY)}
    # In a thread of its own: the server runs on this one.
    await asyncio.to_thread(_examine, operation_id, mode, tidings.system.url, person, known)


def _examine(operation_id: str, mode: GenerationMode, url: str, person: Person, known: dict[str, str]) -> None:
    operation = SCHEMA.find_operation_by_id(operation_id)
    wanted = operation.definition.raw["parameters"]
    given = {one["name"]: known[one["name"]] for one in wanted if one["in"] == "path" and one["name"] in known}
    # Half of the valid requests go to what is really there.
    paths: list[dict[str, str] | None] = [None]
    if (
        given
        and mode is GenerationMode.POSITIVE
        and set(given) == {one["name"] for one in wanted if one["in"] == "path"}
    ):
        paths.append(given)
    strategy = hypothesis.strategies.one_of(
        *(operation.as_strategy(generation_mode=mode, path_parameters=path) for path in paths)
    )

    @hypothesis.seed(SEED)
    @hypothesis.settings(
        max_examples=EXAMPLES[mode],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(case=strategy)
    def run(case: Any) -> None:
        headers = {"authorization": f"Bearer {person.token}"}
        refusing = ["negative_data_rejection"] if _is_refusable(case) else []
        checks = [*ALWAYS, *CHECKS.get_by_names(refusing)]
        answer = case.call_and_validate(base_url=url, headers=headers, checks=checks, timeout=10)
        # Else all would be refused at the door, and nothing examined.
        assert answer.status_code != 401 or operation_id in ENDING | {"users_sign_in"}

    with contextlib.suppress(hypothesis.errors.Unsatisfiable):  # nothing of that kind can be made wrong
        run()


def _is_refusable(case: Any) -> bool:
    """Whether something is wrong beyond the headers: a condition that makes no sense is left aside (RFC 9110)."""
    wrong = {place for place, part in case.meta.components.items() if part.mode is GenerationMode.NEGATIVE}
    return bool(wrong - {ParameterLocation.HEADER})

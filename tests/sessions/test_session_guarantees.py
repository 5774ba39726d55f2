"""Session guarantees hold under delays; without tokens and beats they do not, and the checker sees it."""

from __future__ import annotations

from tests.sessions.run import judged, started, trials

DELAY = 0.2  # seconds: long enough for reads to come between, short enough for caches to be used


async def test_hundreds_of_trials_break_no_guarantee() -> None:
    async with started("on", delay=DELAY) as system:
        tried = await trials(system, 400, cells=40)
    found = judged(tried)
    assert not found.violations, "\n".join(one.in_words() for one in found.examples)
    assert found.trials == 400
    assert found.hits > 0


async def test_without_tokens_and_beats_guarantees_break() -> None:
    async with started("off", delay=DELAY) as system:
        tried = await trials(system, 200, cells=10)
    found = judged(tried)
    assert found.hits > 0
    assert found.wrong > 10
    assert {"read your writes", "monotonic reads", "writes follow reads", "causality across people"} <= set(
        found.violations
    )

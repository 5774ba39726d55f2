"""A storm of hostile files, a small one: `make hostile` sends a thousand."""

from __future__ import annotations

import pytest

from tests.harness.system import Whole
from tests.hostile.run import storm
from tests.services.media.hostile import hostile_files

FILES = 40


@pytest.mark.parametrize("tidings", ["wire"], indirect=True)
async def test_hostile_files_are_refused_in_words_or_cleaned_and_nothing_is_left(tidings: Whole) -> None:
    report = await storm(tidings, hostile_files(FILES, seed=20_261_128))
    assert report.wrong == []
    assert report.files == FILES and report.refused > 5 and report.cleaned > 5
    assert report.left_behind == 0

"""That apart is what it says: another process answers, and asks its neighbours in this one."""

from __future__ import annotations

import os
import signal
from uuid import uuid4

import pytest

from tests.harness.lone import lone
from tests.services.timeline.neighbourhood import Neighbourhood
from tidings.contracts import timeline
from tidings.platform.contract import Unavailable
from tidings.platform.engines.postgres import EmbeddedPostgres


async def test_apart_a_service_answers_from_a_process_of_its_own(postgres: EmbeddedPostgres) -> None:
    around = Neighbourhood()
    friend, *_ = around.befriend(1)
    around.says(friend, 1)
    around.now_ms = 2
    kind = "tidings.services.timeline.service:timeline"
    async with lone(kind, postgres, around.played, mode="apart") as alone:
        page = await alone.route(timeline.get_timeline, timeline.TimelineAsk(), around.me)
        assert [one.author.id for one in page.entries] == [friend]
        assert sorted(alone.calls) == ["friends/circles", "messages/latest_by_authors", "users/cards_as_of"]

        assert alone.pid is not None and alone.pid != os.getpid()
        os.kill(alone.pid, signal.SIGKILL)
        with pytest.raises(Unavailable) as refused:
            await alone.route(timeline.get_timeline, timeline.TimelineAsk(), uuid4())
        assert refused.value.service == "timeline"

"""README.md: the tour with curl works as it stands."""

from __future__ import annotations

import asyncio
import json

from tests.docs.documents import ROOT, blocks
from tests.harness.system import whole

from tidings.contracts import users
from tidings.platform.contract import Nothing

TOUR_TIME = 60.0  # seconds


async def test_the_tour_ends_in_a_timeline_with_what_the_friend_said() -> None:
    tour = "".join(block.text for block in blocks((ROOT / "README.md").read_text(), "bash"))
    async with whole("near", signup="invite") as tidings:
        state = await tidings.operator.call(users.set_up_state, Nothing())
        assert state.link is not None
        address = f"{tidings.system.url}{state.link.path}?link={state.link.secret}"

        shell = await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", tour),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(TOUR_TIME):
            said, _ = await shell.communicate(f"{address}\n".encode())

    assert shell.returncode == 0, said.decode()
    timeline = json.loads(said[said.rindex(b"\n{\n") :])
    (entry,) = timeline["entries"]
    assert entry["author"]["name"] == "Bob"
    assert [message["text"] for message in entry["messages"]] == ["Hello Ada, this is Bob."]

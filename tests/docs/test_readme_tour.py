"""README.md: the tour with curl works as it stands."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path

from tests.docs.documents import ROOT, blocks
from tests.harness.system import whole
from tidings.contracts import users
from tidings.demo.graph import generate_graph
from tidings.demo.people import people_of
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
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},  # a python3 for sure
        )
        async with asyncio.timeout(TOUR_TIME):
            said, _ = await shell.communicate(f"{address}\n".encode())

    assert shell.returncode == 0, said.decode()
    timeline = json.loads(said[said.rindex(b"\n{\n") :])
    (entry,) = timeline["entries"]
    assert entry["author"]["name"] == "Bob"
    (message,) = entry["messages"]
    assert message["text"] == "Hello Ada, this is Bob."
    (shown,) = message["media"]
    assert (shown["width"], shown["height"], shown["alt"]) == (320, 240, "An evening")


def test_the_handle_that_the_page_names_is_the_best_known_of_the_demonstration() -> None:
    page = (ROOT / "README.md").read_text()
    people, seed = (int(number) for number in re.findall(r"--generate (\d+) --seed (\d+)", page)[0])
    graph = generate_graph(people, seed)
    known = graph.friends()
    best_known = max(range(graph.people), key=lambda number: len(known[number]))

    assert set(re.findall(r"tidings demo \w+ @(\w+)", page)) == {people_of(graph, seed)[best_known].handle}

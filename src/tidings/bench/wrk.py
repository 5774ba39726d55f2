"""The load of a closed loop: `wrk`, which sends the next request when an answer came."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SCRIPT: Final = """
local function read(name)
  local found = {}
  for line in io.lines(name) do
    local token, path = line:match("^(%S+) ?(%S*)$")
    found[#found + 1] = {token = "Bearer " .. token, path = path ~= "" and path or nil}
  end
  return found
end
local readers, authors, at, posts = read(os.getenv("READERS")), {}, 0, 0
local every = tonumber(os.getenv("POST_EVERY"))
if every > 0 then authors = read(os.getenv("AUTHORS")) end
request = function()
  at = at + 1
  if every > 0 and at % every == 0 then
    posts = posts + 1
    local headers = {authorization = authors[posts % #authors + 1].token, ["content-type"] = "application/json"}
    return wrk.format("POST", "/v1/messages", headers, '{"text":"said while others read, number ' .. posts .. '"}')
  end
  local reader = readers[at % #readers + 1]
  return wrk.format("GET", reader.path, {authorization = reader.token})
end
done = function(summary, latency)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.status + summary.errors.timeout
  io.write(string.format("RESULT %d %d %d %f %f %d\\n", summary.requests, summary.duration, failed,
    latency:percentile(50), latency:percentile(99), summary.bytes))
end
"""
RESULT: Final = re.compile(r"RESULT (\d+) (\d+) (\d+) ([\d.]+) ([\d.]+) (\d+)")


class WrkMissing(Exception):
    """There is no such program; the message says where it comes from."""


class WrongAnswers(Exception):
    """Not every request was answered by 200: a rate of refusals is no rate."""


class NoAnswers(WrongAnswers):
    """Nothing was answered in that time."""


@dataclass(frozen=True, slots=True)
class Rate:
    """One measurement. Latencies are in milliseconds."""

    requests: int
    per_second: float
    p50_ms: float
    p99_ms: float
    bytes_each: float


def find_wrk() -> str:
    found = shutil.which("wrk")
    if found is None:
        raise WrkMissing("The load comes from `wrk`, which is not installed: `apt-get install wrk` brings it.")
    return found


async def load(
    url: str,
    readers: Path,
    *,
    seconds: float,
    connections: int,
    cores: Sequence[int],
    authors: Path | None = None,
    post_every: int = 0,
) -> Rate:
    """Ask `url` as one person after another; the files hold a token a line. Raises `WrongAnswers`, `NoAnswers` too.

    Behind a token there may be another path than that of `url`. With `post_every`, each so-manieth request is a
    message that one of the `authors` posts.
    """
    script = readers.with_suffix(".lua")
    script.write_text(SCRIPT)
    process = await asyncio.create_subprocess_exec(
        find_wrk(), "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s",
        "-s", str(script), url,
        env={**os.environ, "READERS": str(readers), "AUTHORS": str(authors or ""), "POST_EVERY": str(post_every)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )  # fmt: skip
    said, _ = await process.communicate()
    found = RESULT.search(said.decode())
    if found is None:
        raise WrongAnswers(f"wrk ended without a result:\n{said.decode()}")
    requests, micros, failed, p50, p99, received = (float(one) for one in found.groups())
    if not requests:
        raise NoAnswers(f"{url} answered nothing in {seconds:g} seconds")
    if failed:
        raise WrongAnswers(f"{int(failed)} of {int(requests)} requests to {url} failed")
    return Rate(int(requests), requests / micros * 1e6, p50 / 1000, p99 / 1000, received / requests)

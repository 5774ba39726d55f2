"""`make page-cost`: what the timeline's page costs beyond the JSON timeline, in pairs, in one run.

One person with 50 friends, a server in one process, everything warm. Each pair asks for the page and for the JSON,
in turns first; printed are medians, and the median of the pairs' differences with an interval of 95 %.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time

import aiohttp

from tests.harness.people import PASSWORD
from tests.harness.system import whole

FRIENDS = 50
MOST_ADDED_MS = 5.0  # else it ends with 1


async def main() -> int:
    asks = argparse.ArgumentParser(prog="make page-cost", description=__doc__)
    asks.add_argument("--pairs", type=int, default=400)
    pairs: int = asks.parse_args().pairs
    async with whole("near", watched=False, repeat_safe_calls=False) as tidings:
        ada = await tidings.joins("Ada")
        await tidings.crowd(ada, FRIENDS, say="Hello from me, and a few words more, as people write them.")
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(base_url=tidings.system.url, cookie_jar=jar) as browser:
            form = {"handle": ada.handle, "password": PASSWORD}
            async with browser.post("/signin", data=form, headers={"origin": tidings.system.url}) as answer:
                assert (await answer.text()).count('class="message"') == FRIENDS

            async def took(path: str) -> float:
                began = time.perf_counter()
                async with browser.get(path) as answer:
                    body = await answer.read()
                assert answer.status == 200 and len(body) > 1000, path
                return (time.perf_counter() - began) * 1000

            paths = {"page": "/", "json": f"/v1/timeline?limit={FRIENDS}"}
            for path in paths.values():
                for _ in range(20):
                    await took(path)
            took_ms: dict[str, list[float]] = {"page": [], "json": []}
            for number in range(pairs):
                for name in ("page", "json") if number % 2 else ("json", "page"):
                    took_ms[name].append(await took(paths[name]))
    added = [page - plain for page, plain in zip(took_ms["page"], took_ms["json"], strict=True)]
    chance = random.Random(1)
    median = statistics.median(added)
    again = sorted(statistics.median(chance.choices(added, k=len(added))) for _ in range(1000))
    print(
        json.dumps(
            {
                "pairs": pairs,
                "json_ms": round(statistics.median(took_ms["json"]), 2),
                "page_ms": round(statistics.median(took_ms["page"]), 2),
                "added_ms": round(median, 2),
                "interval_ms": [round(again[25], 2), round(again[974], 2)],
                "ok": median < MOST_ADDED_MS,
            }
        )
    )
    return 0 if median < MOST_ADDED_MS else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

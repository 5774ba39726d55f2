"""What a store tells of what was published: whoever compares passes over nothing, and over nothing twice."""

from __future__ import annotations

from tests.harness.waiting import until
from tests.services.messages.neighbourhood import Neighbourhood
from tidings.platform.occurrence import OccurredAsk
from tidings.platform.storage.events import Outbox, open_events


async def everything_published(outbox: Outbox) -> None:
    while waiting := await outbox.unpublished(1000):
        await outbox.published([one.id for one in waiting])


async def test_a_page_leads_to_the_end_of_what_was_published_also_past_other_events(town: Neighbourhood) -> None:
    alice = town.somebody()
    async with open_events(town.lone.dsn, "tests") as store:
        outbox = store.outbox
        await alice.posts("before")
        await everything_published(outbox)

        async def passed_over(after: str) -> str:
            """The end of all that was published, once what was published last is old enough to be told of."""

            async def moved() -> bool:
                ask = OccurredAsk(events=["messages.other"], after=after, older_than=0)
                return (await outbox.page(ask)).after != after

            await until(moved, what="a place beyond")
            page = await outbox.page(OccurredAsk(events=["messages.other"], after=after, older_than=0))
            assert page.occurred == []
            return page.after

        before = await passed_over("")
        said = [await alice.posts(f"{number}") for number in range(3)]
        ask = OccurredAsk(events=["messages.posted"], after=before, older_than=0)
        assert await outbox.page(ask) == await outbox.page(OccurredAsk(events=["messages.other"], after=before))
        await everything_published(outbox)
        after = await passed_over(before)

        page = await outbox.page(ask)
        assert [one.version for one in page.occurred] == [2, 3, 4]
        assert {one.subject for one in page.occurred} == {one.author_id for one in said} == {alice.id}
        assert page.after == after
        told, place = [], before
        for _ in range(4):
            page = await outbox.page(OccurredAsk(events=["messages.posted"], after=place, older_than=0, limit=1))
            told += [one.version for one in page.occurred]
            place = page.after
        assert (told, place) == ([2, 3, 4], after)

        # What was published a moment ago may not be all: others may still be about to say that they published.
        young = await outbox.page(OccurredAsk(events=["messages.posted"], after=before, older_than=60))
        assert (young.occurred, young.after) == ([], before)

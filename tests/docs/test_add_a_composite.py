"""docs/add-a-composite.md: what it says works as it stands, in under 30 lines."""

from __future__ import annotations

from tests.docs.documents import ROOT, blocks, code_lines
from tests.harness.people import Client

DOCUMENT = (ROOT / "docs/add-a-composite.md").read_text()
MOST_LINES = 30


def test_it_takes_under_30_lines() -> None:
    assert code_lines(DOCUMENT) < MOST_LINES


def test_the_line_that_lists_callers_is_the_one_of_the_source() -> None:
    (listing,) = blocks(DOCUMENT, "text")
    before, after = listing.text.splitlines()

    assert before[1:] in (ROOT / "src/tidings/contracts/friends.py").read_text().splitlines()
    assert after[1:] == before[1:].replace('{"timeline"', '{"quiet", "timeline"')


async def test_the_composite_of_the_document_names_friends_who_fell_quiet(client: Client) -> None:
    alice, bob, carol, dora, gone = [await client.joins(name) for name in ("Alice", "Bob", "Carol", "Dora", "Gone")]
    await alice.befriends(dora, carol, bob, gone)
    await carol.posts("here I am")
    await gone.leaves()

    quiet = (await alice.get("/v1/quiet-friends", params={"days": 7})).ok()

    assert [card["name"] for card in quiet["friends"]] == ["Bob", "Dora"]
    assert (await alice.get("/v1/quiet-friends", params={"days": 0})).status == 422
    assert "/v1/quiet-friends" in (await client.ask("GET", "/v1/openapi.json")).ok()["paths"]

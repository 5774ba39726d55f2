"""docs/add-a-service.md: what it says works as it stands, in under 60 lines and a migration."""

from __future__ import annotations

import io
import json
from zipfile import ZipFile

from tests.docs.documents import ROOT, code_lines
from tests.harness.people import Client

DOCUMENT = (ROOT / "docs/add-a-service.md").read_text()
MOST_LINES = 60
MIGRATION = 15  # lines


def test_it_takes_under_60_lines_and_a_migration() -> None:
    migration = DOCUMENT.index("migrations/0001_foundation.py")
    block = DOCUMENT[DOCUMENT.rindex("```python", 0, migration) : DOCUMENT.index("\n```\n", migration) + 5]

    assert code_lines(block) == MIGRATION
    assert code_lines(DOCUMENT) - MIGRATION < MOST_LINES


async def test_the_service_of_the_document_keeps_bookmarks(client: Client) -> None:
    alice, bob = [await client.joins(name) for name in ("Alice", "Bob")]
    first, second, third = [await bob.posts(text, audience="public") for text in ("one", "two", "three")]
    for one in (first, second, second, third):
        assert (await alice.put(f"/v1/bookmarks/{one['id']}")).status == 204
    assert (await alice.delete(f"/v1/bookmarks/{first['id']}")).status == 204

    shelf = (await alice.get("/v1/bookmarks")).ok()

    assert shelf == {"message_ids": [third["id"], second["id"]]}
    assert (await bob.get("/v1/bookmarks")).ok() == {"message_ids": []}
    assert (await client.ask("GET", "/v1/bookmarks")).status == 401
    assert (await alice.put("/v1/bookmarks/no-id")).body["code"] == "invalid"
    await bob.delete(f"/v1/messages/{third['id']}")
    shown = (await alice.get("/v1/messages", params={"ids": ",".join(shelf["message_ids"])})).ok()
    assert [one["message"]["text"] for one in shown["messages"]] == ["two"]
    paths = (await client.ask("GET", "/v1/openapi.json")).ok()["paths"]
    assert sorted(paths["/v1/bookmarks/{message_id}"]) == ["delete", "put"]
    assert sorted(paths["/v1/bookmarks"]) == ["get"]
    archive = (await alice.get("/v1/users/me/export")).raw
    with ZipFile(io.BytesIO(archive)) as exported:
        saved = json.loads(exported.read("bookmarks/bookmarks.json"))
        assert b"bookmarks/bookmarks.json: the messages" in exported.read("README.txt")
    assert [one["message_id"] for one in saved] == [second["id"], third["id"]]

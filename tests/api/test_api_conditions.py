"""Entity tags and preconditions (RFC 9110): 304 for what one has, 412 for what changed since."""

from __future__ import annotations

import pytest

from tests.harness.system import Whole


async def test_what_one_has_is_not_sent_again(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    message = await alice.posts("hello")
    for path in ("/v1/users/me", f"/v1/messages/{message['id']}", "/v1/timeline", f"/v1/avatars/{alice.id}"):
        first = await alice.get(path)
        tag = first.headers["etag"]
        for condition in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            again = await alice.get(path, headers={"if-none-match": condition})
            assert (again.status, again.raw, again.headers["etag"]) == (304, b"", tag), path
            assert again.headers["cache-control"] == first.headers["cache-control"]
        assert (await alice.get(path, headers={"if-none-match": '"other"'})).raw == first.raw

    (await alice.patch("/v1/users/me", {"bio": "changed"})).ok()
    first = await alice.get("/v1/users/me")
    (await alice.patch("/v1/users/me", {"bio": "again"})).ok()
    assert (await alice.get("/v1/users/me", headers={"if-none-match": first.headers["etag"]})).status == 200


async def test_a_change_with_the_tag_of_what_was_read_succeeds_and_a_stale_one_is_refused(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    read = (await alice.get("/v1/users/me")).headers["etag"]

    changed = await alice.patch("/v1/users/me", {"bio": "one"}, headers={"if-match": read})
    assert (changed.status, changed.body["bio"]) == (200, "one")
    stale = await alice.patch("/v1/users/me", {"bio": "two"}, headers={"if-match": read})
    assert (stale.status, stale.body["code"]) == (412, "stale")
    assert (await alice.get("/v1/users/me")).body["bio"] == "one"
    # The tag of a change's own answer is that of the next read, for If-Match.
    onward = await alice.put(
        "/v1/users/me", {"name": "Al", "bio": "three"}, headers={"if-match": changed.headers["etag"]}
    )
    assert onward.status == 200
    assert (await alice.patch("/v1/users/me", {"bio": "4"}, headers={"if-match": "*"})).status == 200
    several = f'"9.zz", "a,b", {(await alice.get("/v1/users/me")).headers["etag"]}'
    assert (await alice.patch("/v1/users/me", {"bio": "5"}, headers={"if-match": several})).status == 200


async def test_a_message_is_edited_and_deleted_only_as_it_was_read(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    made = await alice.post("/v1/messages", {"text": "one"})
    path, first = f"/v1/messages/{made.body['id']}", made.headers["etag"]
    edited = await alice.patch(path, {"text": "two"}, headers={"if-match": first})
    assert edited.status == 200
    for answer in (
        await alice.patch(path, {"text": "three"}, headers={"if-match": first}),
        await alice.delete(path, headers={"if-match": first}),
    ):
        assert (answer.status, answer.body["code"]) == (412, "stale")
    assert (await alice.delete(path, headers={"if-match": edited.headers["etag"]})).status == 204


async def test_preferences_that_were_never_set_have_a_version_too(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    read = (await alice.get("/v1/users/me/preferences")).headers["etag"]
    sent = {"language": "de"}
    assert (await alice.put("/v1/users/me/preferences", sent, headers={"if-match": read})).status == 200
    assert (await alice.put("/v1/users/me/preferences", sent, headers={"if-match": read})).status == 412


@pytest.mark.parametrize("tidings", ["near"], indirect=True)
@pytest.mark.parametrize(("sent", "status"), [("nonsense", 400), ('"1', 400), ('W/"1.abc"', 412), ('"abc"', 412)])
async def test_if_match_takes_strong_tags_only(tidings: Whole, sent: str, status: int) -> None:
    alice = await tidings.joins("Alice")
    assert (await alice.patch("/v1/users/me", {"bio": "x"}, headers={"if-match": sent})).status == status
    assert (await alice.get("/v1/users/me")).body["bio"] == ""

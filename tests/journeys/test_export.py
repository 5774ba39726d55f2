"""Everything that is kept about a person is in their archive, and nothing of anybody else's."""

from __future__ import annotations

import io
import json
import re
import secrets
from typing import Any
from uuid import UUID
from zipfile import ZipFile

import pytest

from tests.harness.people import PASSWORD, Answer, Person
from tests.harness.system import Whole
from tests.harness.waiting import until
from tidings.contracts import messages
from tidings.contracts.messages import ImportedMessage, ImportMessages, MessageId
from tidings.contracts.users import UserId
from tidings.platform.ids import bucket_of, uuid7

EXPORT = "/v1/users/me/export"
FILES = {
    "README.txt",
    "friends/blocks.json",
    "friends/friends.json",
    "friends/mutes.json",
    "friends/requests.json",
    "media/media.json",
    "messages/earlier.json",
    "messages/messages.json",
    "messages/reactions.json",
    "messages/replies.json",
    "messages/withdrawn.json",
    "notifications/notifications.json",
    "notifications/read_mark.json",
    "users/invites.json",
    "users/links.json",
    "users/preferences.json",
    "users/profile.json",
    "users/sessions.json",
}


def opened(answer: Answer) -> dict[str, Any]:
    """The archive's files by name, decoded."""
    assert answer.status == 200, answer.raw
    with ZipFile(io.BytesIO(answer.raw)) as archive:
        assert archive.testzip() is None
        return {name: _decoded(name, archive.read(name)) for name in archive.namelist()}


def _decoded(name: str, content: bytes) -> Any:
    if name.endswith(".json"):
        return json.loads(content)
    return content.decode() if name.endswith(".txt") else content


class Canaries:
    """Words that nobody else says: one person's `own`, and `others`."""

    def __init__(self) -> None:
        self.own: list[str] = []
        self.others: list[str] = []

    def mine(self, what: str) -> str:
        self.own.append(f"own_{what}_{secrets.token_hex(6)}")
        return self.own[-1]

    def theirs(self, what: str) -> str:
        self.others.append(f"theirs_{what}_{secrets.token_hex(6)}")
        return self.others[-1]


async def a_bit_of_everything(tidings: Whole, words: Canaries) -> tuple[Person, dict[str, Any]]:
    """Somebody who has used all that there is, among people who have too; and the ids that matter."""
    ada, bob, cleo, dora, eve, finn = [
        await tidings.joins(name) for name in ("Ada", "Bob", "Cleo", "Dora", "Eve", "Finn")
    ]
    (await ada.patch("/v1/users/me", {"name": words.mine("name"), "bio": words.mine("bio")})).ok()
    (await bob.patch("/v1/users/me", {"name": "Bob", "bio": words.theirs("bio")})).ok()
    language = {"language": f"x-{secrets.token_hex(4)}", "presence": False}
    (await ada.put("/v1/users/me/preferences", language)).ok()
    label = words.mine("label")
    signed_in = {"handle": ada.handle, "password": PASSWORD, "label": label}
    token = (await tidings.client.ask("POST", "/v1/sessions", json=signed_in)).ok()["token"]
    invite = (await ada.post("/v1/invites")).ok()
    (await bob.post("/v1/invites")).ok()

    await ada.befriends(bob, cleo)
    (await ada.put(f"/v1/friends/{dora.id}")).ok()
    (await eve.put(f"/v1/friends/{ada.id}")).ok()
    (await ada.put(f"/v1/blocks/{finn.id}")).ok()
    (await ada.put(f"/v1/mutes/{cleo.id}")).ok()

    picture = await ada.uploads(alt=words.mine("alt of a picture"))
    (await ada.patch("/v1/users/me", {"avatar": picture})).ok()
    bobs_picture = await bob.uploads(alt=words.theirs("alt"))
    (await bob.patch("/v1/users/me", {"avatar": bobs_picture})).ok()
    place = {"latitude": 38.7222, "longitude": -9.1393, "name": words.mine("place")}
    said = await ada.posts(
        words.mine("text before"),
        place=place,
        tags=[words.mine("tag")],
        mentions=[bob.id],
        audience="only",
        only=[bob.id, cleo.id],
        media=[{"media_id": picture, "alt": words.mine("alt")}],
    )
    (await ada.patch(f"/v1/messages/{said['id']}", {"text": words.mine("text")})).ok()
    gone = await ada.posts("withdrawn " + secrets.token_hex(6))
    assert (await ada.delete(f"/v1/messages/{gone['id']}")).status == 204
    bobs = await bob.posts(words.theirs("text"), mentions=[ada.id], media=[{"media_id": bobs_picture}])
    (await bob.patch(f"/v1/messages/{bobs['id']}", {"text": words.theirs("text after")})).ok()
    reply = (await ada.post(f"/v1/messages/{bobs['id']}/replies", {"text": words.mine("reply before")})).ok()
    (await ada.patch(f"/v1/messages/{reply['id']}", {"text": words.mine("reply")})).ok()
    (await bob.post(f"/v1/messages/{said['id']}/replies", {"text": words.theirs("reply")})).ok()
    emoji, bobs_emoji = f"me{secrets.token_hex(6)}", f"he{secrets.token_hex(6)}"
    (await ada.put(f"/v1/messages/{bobs['id']}/reactions/{emoji}")).ok()
    (await bob.put(f"/v1/messages/{said['id']}/reactions/{bobs_emoji}")).ok()
    words.others.append(bobs_emoji)

    async def all_told() -> bool:
        kinds = {one["kind"] for one in (await ada.get("/v1/notifications")).ok()["notifications"]}
        return {"friend_request", "mention", "reaction", "reply", "friend_acceptance"} <= kinds

    await until(all_told, what="everything that Ada is told")
    read_until = "2026-01-02T03:04:05.678Z"
    (await ada.patch("/v1/notifications", {"read_until": read_until})).ok()
    ids = {
        "bob": bob.id, "cleo": cleo.id, "dora": dora.id, "eve": eve.id, "finn": finn.id,
        "said": said["id"], "gone": gone["id"], "bobs": bobs["id"], "reply": reply["id"], "invite": invite["id"],
        "picture": picture,
        "language": language["language"], "label": label, "read_until": read_until, "emoji": emoji,
    }  # fmt: skip
    words.others += [invite["code"], token, ada.token, bob.token, PASSWORD, bobs_picture]
    return ada, ids


async def test_the_archive_holds_all_of_ones_own_and_nothing_of_others(tidings: Whole) -> None:
    words = Canaries()
    ada, ids = await a_bit_of_everything(tidings, words)
    answer = await ada.get(EXPORT)
    files = opened(answer)
    everything = json.dumps(files, ensure_ascii=False, default=lambda content: content.decode("latin-1"))
    assert [word for word in words.own if word not in everything] == []
    assert [word for word in words.others if word in everything] == []
    assert not re.search("tds_|tdi_|tdl_|argon2|digest", everything)

    assert files.keys() == FILES | {f"media/{ids['picture']}.webp"}
    assert all(name in files["README.txt"] for name in FILES - {"README.txt"})
    profile = files["users/profile.json"][0]
    assert (profile["id"], profile["avatar"]) == (ada.id, ids["picture"])
    assert [one["id"] for one in files["media/media.json"]] == [ids["picture"]]
    assert files[f"media/{ids['picture']}.webp"] == (await ada.get(f"/v1/media/{ids['picture']}/full")).raw
    assert files["users/preferences.json"][0]["language"] == ids["language"]
    assert ids["label"] in [one["label"] for one in files["users/sessions.json"]]
    assert [one["id"] for one in files["users/invites.json"]] == [ids["invite"]]
    assert {one["user_id"] for one in files["friends/friends.json"]} == {ids["bob"], ids["cleo"]}
    assert all(one["handle"] for one in files["friends/friends.json"])
    directions = {one["direction"]: one["user_id"] for one in files["friends/requests.json"]}
    assert directions == {"incoming": ids["eve"], "outgoing": ids["dora"]}
    assert [one["user_id"] for one in files["friends/blocks.json"]] == [ids["finn"]]
    assert [one["user_id"] for one in files["friends/mutes.json"]] == [ids["cleo"]]
    (message,) = files["messages/messages.json"]
    assert (message["id"], message["mentions"], message["audience"]) == (ids["said"], [ids["bob"]], "only")
    assert message["only"] == [ids["bob"], ids["cleo"]]
    assert [one["media_id"] for one in message["media"]] == [ids["picture"]]
    assert message["place"]["latitude"] == 38.72
    (reply,) = files["messages/replies.json"]
    assert (reply["id"], reply["reply_to"]) == (ids["reply"], ids["bobs"])
    assert [one["message_id"] for one in files["messages/earlier.json"]] == [ids["said"], ids["reply"]]
    assert files["messages/withdrawn.json"] == [{"id": ids["gone"]}]
    (reaction,) = files["messages/reactions.json"]
    assert (reaction["message_id"], reaction["emoji"]) == (ids["bobs"], ids["emoji"])
    kinds = sorted(one["kind"] for one in files["notifications/notifications.json"])
    assert kinds == ["friend_acceptance", "friend_acceptance", "friend_request", "mention", "reaction", "reply"]
    assert {one["by"]["user_id"] for one in files["notifications/notifications.json"]} <= set(ids.values())
    assert files["notifications/read_mark.json"] == [{"read_until": ids["read_until"]}]


async def test_the_archive_is_a_private_file_to_save(tidings: Whole) -> None:
    ada = await tidings.joins("Ada")
    answer = await ada.get(EXPORT)
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == f'attachment; filename="tidings-{ada.handle}.zip"'
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (await ada.get(f"/v1/users/{ada.id}/export")).raw == answer.raw
    unchanged = await ada.get(EXPORT, headers={"if-none-match": answer.headers["etag"]})
    assert (unchanged.status, unchanged.raw) == (304, b"")
    assert (await tidings.client.ask("GET", EXPORT)).status == 401
    assert (await ada.post(EXPORT)).status == 405
    assert opened(answer)["messages/messages.json"] == []


async def imports(tidings: Whole, person: Person, count: int, *, start_ms: int) -> None:
    """So many messages, a second between each two."""
    author = UserId(UUID(person.id))
    batch = [
        ImportedMessage(
            id=MessageId(uuid7(start_ms + 1000 * number, rand_a=bucket_of(author))),
            author_id=author,
            text=f"number {number} of many",
        )
        for number in range(count)
    ]
    for start in range(0, count, 1000):
        ask = ImportMessages(messages=batch[start : start + 1000])
        await tidings.operator.call(messages.import_messages, ask)


@pytest.mark.flooding
@pytest.mark.parametrize("tidings", ["near", "apart"], indirect=True)
async def test_five_thousand_messages_fit_one_archive_or_parts_of_it(tidings: Whole) -> None:
    ada = await tidings.joins("Ada")
    await imports(tidings, ada, 5000, start_ms=1_700_000_000_000)
    said = opened(await ada.get(EXPORT))["messages/messages.json"]
    assert [one["text"] for one in said] == [f"number {number} of many" for number in range(5000)]
    # 2023-11-14T22:13:20Z is the first one's second.
    span = {"since": "2023-11-14T22:13:30Z", "until": "2023-11-14T22:13:33Z"}
    part = opened(await ada.get(EXPORT, params=span))
    assert [one["text"] for one in part["messages/messages.json"]] == [f"number {n} of many" for n in (10, 11, 12)]
    assert "2023-11-14T22:13:30" in part["README.txt"]
    assert part["users/profile.json"][0]["handle"] == ada.handle


@pytest.mark.parametrize("service", ["friends", "media", "messages", "notifications"])
async def test_without_one_service_there_is_no_half_archive(tidings: Whole, service: str) -> None:
    ada = await tidings.joins("Ada")
    async with tidings.points.drops(f"{service}/export", viewer=ada.id):
        answer = await ada.get(EXPORT)
    assert (answer.status, answer.body["code"], answer.body["service"]) == (503, "unavailable", service)
    assert opened(await ada.get(EXPORT)).keys() == FILES

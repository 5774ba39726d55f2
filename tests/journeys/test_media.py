"""A picture's life: uploaded, shown by a message or worn as an avatar, seen by who may, and gone at its end."""

from __future__ import annotations

import asyncio
import io
import json
import os
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.people import Person
from tests.harness.pictures import opened, picture
from tests.harness.system import Whole
from tests.harness.waiting import until
from tidings.contracts import media as contract

# What a form or a file is, and what lies on the disk, does not depend on where other services keep their data.
once = pytest.mark.parametrize("tidings", ["near"], indirect=True)
SIZES = {"avatar-96": (96, 96), "avatar-400": (400, 400), "preview": (640, 480), "full": (1600, 1200)}


def folder_of(tidings: Whole, media_id: str) -> Path:
    return tidings.settings.data / "blobs" / "media" / media_id


async def used(owner: Person, media_id: str, *, wanted: bool = True) -> None:
    """Wait until what a message or a profile says of it has come."""

    async def look() -> bool:
        return bool((await owner.get(f"/v1/media/{media_id}")).ok()["used"]) is wanted

    await until(look, what="the claim" if wanted else "its end")


async def gone(tidings: Whole, media_id: str) -> None:
    """Wait until nothing is left of it on the disk."""

    async def look() -> bool:
        return not folder_of(tidings, media_id).exists()

    await until(look, within=20, what="the deletion of its files")


async def status(asker: Person, media_id: str, variant: str = "preview", **params: str) -> int:
    return (await asker.get(f"/v1/media/{media_id}/{variant}", params=params)).status


async def test_an_upload_is_kept_in_four_sizes_and_shown_to_its_owner_alone(tidings: Whole) -> None:
    alice, bob = await tidings.joins("Alice"), await tidings.joins("Bob")
    await alice.befriends(bob)
    answer = await alice.sends(picture(1600, 1200, format="JPEG"), alt="A wall", type_="image/jpeg")
    assert answer.status == 201, answer.raw
    made = answer.body
    assert (made["state"], made["alt"], made["width"], made["height"]) == ("ready", "A wall", 1600, 1200)
    assert not made["used"] and not made["animated"] and made["blurhash"] and made["problem"] is None
    assert answer.headers["location"] == f"/v1/media/{made['id']}"
    assert (await alice.get(answer.headers["location"])).ok() == made
    for variant, size in SIZES.items():
        served = await alice.get(f"/v1/media/{made['id']}/{variant}")
        assert served.headers["content-type"] == "image/webp"
        assert opened(served.raw).size == size
        assert await status(bob, made["id"], variant) == 404  # nothing shows it yet
    assert (await bob.get(f"/v1/media/{made['id']}")).status == 404
    kept = {
        one.relative_to(folder_of(tidings, made["id"])).as_posix()
        for one in folder_of(tidings, made["id"]).rglob("*")
    }
    assert kept == {f"{variant}.webp" for variant in SIZES}  # the file as it came is not kept


async def test_friends_see_the_picture_of_a_message_at_once_and_strangers_never(tidings: Whole) -> None:
    alice, bob, carol = [await tidings.joins(name) for name in ("Alice", "Bob", "Carol")]
    await alice.befriends(bob)
    media_id = await alice.uploads(alt="The sea")
    said = await alice.posts("look", media=[{"media_id": media_id}])
    (shown,) = said["media"]
    assert (shown["media_id"], shown["kind"], shown["alt"]) == (media_id, "image", "The sea")
    assert (shown["width"], shown["height"]) == (64, 48) and shown["blurhash"]
    # The message itself is the proof, before the event of it has come.
    assert await status(bob, media_id, message=said["id"]) == 200
    assert await status(carol, media_id, message=said["id"]) == 404
    await used(alice, media_id)
    assert await status(bob, media_id) == 200
    assert await status(carol, media_id) == 404
    (latest,) = (await bob.timeline(has="media"))["entries"]
    assert latest["messages"][0]["media"][0]["media_id"] == media_id
    (await alice.delete(f"/v1/friends/{bob.id}")).ok()
    assert await status(bob, media_id) == 404
    assert await status(bob, media_id, message=said["id"]) == 404


async def test_it_lives_until_the_last_message_that_shows_it_is_gone(tidings: Whole) -> None:
    alice, bob = await tidings.joins("Alice"), await tidings.joins("Bob")
    await alice.befriends(bob)
    media_id = await alice.uploads()
    first = await alice.posts("one", media=[{"media_id": media_id}])
    second = await alice.posts("two", media=[{"media_id": media_id}])
    await used(alice, media_id)
    (await alice.delete(f"/v1/messages/{first['id']}")).ok()
    assert (await alice.delete(f"/v1/media/{media_id}")).body["code"] == "media_in_use"
    assert await status(bob, media_id, message=second["id"]) == 200
    (await alice.delete(f"/v1/messages/{second['id']}")).ok()
    assert await status(bob, media_id) == 404
    await used(alice, media_id, wanted=False)
    assert (await alice.delete(f"/v1/media/{media_id}")).status == 204  # else in ten minutes, by itself
    assert (await alice.get(f"/v1/media/{media_id}")).status == 404
    await gone(tidings, media_id)


async def test_an_edit_takes_a_picture_out_and_its_history_still_shows_it(tidings: Whole) -> None:
    alice, bob = await tidings.joins("Alice"), await tidings.joins("Bob")
    await alice.befriends(bob)
    media_id = await alice.uploads()
    said = await alice.posts("one", media=[{"media_id": media_id}])
    await used(alice, media_id)
    edited = (await alice.patch(f"/v1/messages/{said['id']}", {"media": []})).ok()
    assert edited["media"] == []
    (before,) = (await bob.get(f"/v1/messages/{said['id']}/history")).ok()["versions"]
    assert before["media"][0]["media_id"] == media_id
    assert await status(bob, media_id, message=said["id"]) == 200


async def test_somebody_elses_picture_cannot_be_shown_worn_or_deleted(tidings: Whole) -> None:
    alice, mallory = await tidings.joins("Alice"), await tidings.joins("Mallory")
    media_id = await alice.uploads()
    for refused in (
        await mallory.post("/v1/messages", {"text": "mine", "media": [{"media_id": media_id}]}),
        await mallory.patch("/v1/users/me", {"avatar": media_id}),
    ):
        assert refused.status == 422, refused.raw
    assert (await mallory.delete(f"/v1/media/{media_id}")).status == 404
    assert (await mallory.patch(f"/v1/media/{media_id}", {"alt": "mine"})).status == 404
    assert (await alice.get(f"/v1/media/{media_id}")).ok()["alt"] == ""


async def test_an_avatar_is_seen_by_everybody_but_who_is_blocked(tidings: Whole) -> None:
    alice, bob, carol = [await tidings.joins(name) for name in ("Alice", "Bob", "Carol")]
    made = (await alice.get("/v1/users/me")).ok()["avatar"]
    assert made == f"/v1/avatars/{alice.id}"
    media_id = await alice.uploads(picture(300, 200))
    (await alice.patch("/v1/users/me", {"avatar": media_id})).ok()
    await used(alice, media_id)
    (card,) = (await bob.get("/v1/users", params={"ids": alice.id})).ok()["users"]
    assert card["avatar"] == f"/v1/media/{media_id}/avatar-96"
    assert opened((await bob.get(card["avatar"])).raw).size == (96, 96)
    (await alice.put(f"/v1/blocks/{carol.id}")).ok()
    assert (await carol.get(card["avatar"])).status == 404
    assert (await alice.delete(f"/v1/media/{media_id}")).body["code"] == "media_in_use"
    other = await alice.uploads()
    (await alice.patch("/v1/users/me", {"avatar": other})).ok()
    await used(alice, other)
    await used(alice, media_id, wanted=False)
    assert (await bob.get(card["avatar"])).status == 404
    (await alice.patch("/v1/users/me", {"avatar": None})).ok()
    assert (await alice.get("/v1/users/me")).ok()["avatar"] == made


async def test_a_deleted_account_takes_its_pictures_along(tidings: Whole) -> None:
    alice, bob = await tidings.joins("Alice"), await tidings.joins("Bob")
    await alice.befriends(bob)
    shown, unused, worn = [await alice.uploads() for _ in range(3)]
    said = await alice.posts("look", media=[{"media_id": shown}])
    (await alice.patch("/v1/users/me", {"avatar": worn})).ok()
    assert await status(bob, shown, message=said["id"]) == 200
    assert (await alice.delete("/v1/users/me")).status in (202, 204)
    for media_id in (shown, worn):
        assert await status(bob, media_id, message=said["id"]) == 404
    for media_id in (shown, unused, worn):
        await gone(tidings, media_id)


@once
async def test_own_pictures_are_listed_page_by_page_and_described(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    ids = [await alice.uploads(alt=f"number {n}") for n in range(3)]
    first = (await alice.get("/v1/media", params={"limit": 2})).ok()
    assert [one["id"] for one in first["media"]] == [ids[2], ids[1]]
    rest = (await alice.get("/v1/media", params={"limit": 2, "cursor": first["next_cursor"]})).ok()
    assert [one["id"] for one in rest["media"]] == [ids[0]] and rest["next_cursor"] is None
    bob = await tidings.joins("Bob")
    assert (await bob.get("/v1/media", params={"cursor": first["next_cursor"]})).status == 400
    assert (await bob.get("/v1/media")).ok()["media"] == []
    assert (await alice.patch(f"/v1/media/{ids[0]}", {"alt": "the first"})).ok()["alt"] == "the first"
    assert (await alice.get(f"/v1/media/{ids[0]}")).ok()["alt"] == "the first"


async def test_a_retry_under_its_key_makes_one_picture(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    content, key = picture(), {"idempotency-key": "the-same"}
    answers = [await alice.sends(content, alt="a", headers=key) for _ in range(2)]
    assert answers[0].body["id"] == answers[1].body["id"]
    assert len((await alice.get("/v1/media")).ok()["media"]) == 1
    other = await alice.sends(picture(), alt="a", headers=key)
    assert (other.status, other.body["code"]) == (422, "idempotency_key_reused")
    other = await alice.sends(content, alt="b", headers=key)
    assert (other.status, other.body["code"]) == (422, "idempotency_key_reused")


@once
async def test_a_form_that_is_none_is_refused_in_words(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    path = "/v1/media"
    cases: list[tuple[Any, dict[str, str], int, str]] = [
        (b"{}", {"content-type": "application/json"}, 415, "unsupported_media_type"),
        (b"x", {"content-type": "multipart/form-data"}, 415, "unsupported_media_type"),
        (b"--b\r\n", {"content-type": "multipart/form-data; boundary=b"}, 400, "bad_request"),
        (b"nothing", {"content-type": "multipart/form-data; boundary=b"}, 400, "bad_request"),
        (part("alt", b"x") + b"--b--\r\n", {"content-type": "multipart/form-data; boundary=b"}, 422, "invalid"),
        (part("file", b"") + b"--b--\r\n", {"content-type": "multipart/form-data; boundary=b"}, 422, "invalid"),
        (
            part("file", b"x") * 2 + b"--b--\r\n",
            {"content-type": "multipart/form-data; boundary=b"},
            422,
            "invalid",
        ),
        (
            part("file", b"x") + part("kind", b"y") + b"--b--\r\n",
            {"content-type": "multipart/form-data; boundary=b"},
            422,
            "invalid",
        ),
        (
            part("file", b"x") + part("alt", b"y" * 1501) + b"--b--\r\n",
            {"content-type": "multipart/form-data; boundary=b"},
            422,
            "invalid",
        ),
        (
            part("file", b"x") + part("alt", b"\xff") + b"--b--\r\n",
            {"content-type": "multipart/form-data; boundary=b"},
            422,
            "invalid",
        ),
        (
            part("file", b"x") + part("alt", b"a\0b") + b"--b--\r\n",
            {"content-type": "multipart/form-data; boundary=b"},
            422,
            "invalid",
        ),
        (
            part("file", b"x") + part("alt", b"y" * 70_000) + b"--b--\r\n",
            {"content-type": "multipart/form-data; boundary=b"},
            413,
            "too_large",
        ),
        (
            part("file", picture()) + b"--b--\r\n",
            {"content-type": "multipart/form-data; boundary=b", "content-encoding": "gzip"},
            415,
            "unsupported_media_type",
        ),
    ]
    for body, headers, expected, code in cases:
        answer = await alice.ask("POST", path, data=body, headers=headers)
        assert (answer.status, answer.body["code"]) == (expected, code), (body[:60], answer.raw)
    assert (await alice.get(path)).ok()["media"] == []


def part(name: str, content: bytes) -> bytes:
    return b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name.encode(), content)


async def test_a_large_file_goes_on_in_parts(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    content = picture(1600, 1200) + os.urandom(3 * 1_048_576)  # what trails is not kept
    media_id = await alice.uploads(content)
    full = (await alice.get(f"/v1/media/{media_id}/full")).raw
    assert opened(full).size == (1600, 1200) and len(full) < 1_048_576


async def test_the_archive_holds_the_pictures(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    ids = [await alice.uploads(alt=f"number {n}") for n in range(6)]
    answer = await alice.get("/v1/users/me/export")
    assert answer.status == 200, answer.raw
    with zipfile.ZipFile(io.BytesIO(answer.raw)) as archive:
        told = json.loads(archive.read("media/media.json"))
        assert [(one["id"], one["alt"]) for one in told] == [(one, f"number {n}") for n, one in enumerate(ids)]
        for media_id in ids:
            full = (await alice.get(f"/v1/media/{media_id}/full")).raw
            assert archive.read(f"media/{media_id}.webp") == full
        assert "media/" in archive.read("README.txt").decode()
    assert (await alice.get("/v1/users/me/export")).raw == answer.raw


@once
async def test_the_operator_sees_what_is_kept_and_prunes_what_is_not(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    media_id = await alice.uploads()
    stray = tidings.settings.data / "blobs" / "media" / "00000000-0000-7000-8000-000000000000"
    strange = tidings.settings.data / "blobs" / "media" / "somebody's notes"
    for folder in (stray, strange):
        folder.mkdir()
        (folder / "full.webp").write_bytes(b"x")
    (mine,) = [
        one
        for one in (await tidings.operator.call(contract.usage, contract.UsageAsk(limit=1000))).people
        if str(one.user_id) == alice.id
    ]
    assert (mine.pictures, mine.unused) == (1, 1) and mine.bytes == (await alice.get(f"/v1/media/{media_id}")).ok()[
        "bytes"
    ]
    done = await tidings.operator.call(contract.prune, contract.PruneAsk())
    assert done.strays == 1 and done.after is None
    assert not stray.exists() and strange.exists()  # what is none of ours stays
    assert await status(alice, media_id) == 200
    strange.joinpath("full.webp").unlink()
    strange.rmdir()


@once
async def test_one_person_has_only_so_many_uploads_under_way(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    half = [asyncio.create_task(alice.ask("POST", "/v1/media", **Half().form())) for _ in range(9)]
    done, waiting = await asyncio.wait(half, return_when=asyncio.FIRST_COMPLETED)
    (refused,) = done
    assert (refused.result().status, refused.result().body["code"]) == (503, "busy")
    assert refused.result().headers["retry-after"] == "5"
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


class Half:
    """A file of which a part and a little comes, and then nothing: the form never ends."""

    def form(self) -> dict[str, Any]:
        return {"data": self.__aiter__(), "headers": {"content-type": "multipart/form-data; boundary=b"}}

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + bytes(1_048_600)
        await asyncio.sleep(60)

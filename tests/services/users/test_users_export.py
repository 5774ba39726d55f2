"""What users gives a person of what it keeps, and the archive that it makes of every service's part."""

from __future__ import annotations

import asyncio
import io
import json
import secrets
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import msgspec
import pytest

from tests.harness.lone import Mode
from tests.services.users.people import NOTHING, Person, Town, town_on
from tidings.contracts import users
from tidings.platform.contract import Busy, NotFound, Served, Unavailable
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.export import BLOBS, ExportAsk, ExportBlob, ExportPage
from tidings.platform.ids import uuid7
from tidings.platform.request import Request, Viewer

OTHERS = ("friends", "media", "messages", "notifications")
PICTURES = {f"{number}.webp": secrets.token_bytes(3000) for number in range(10)}
SINCE = datetime(2020, 1, 1, tzinfo=UTC)


async def a_part(viewer: Viewer, ask: ExportAsk) -> ExportPage:
    """Played: three entries in two pages, for whom they are asked, and no picture."""
    if ask.file == BLOBS:
        return ExportPage()
    if ask.after:
        return ExportPage(entries=[msgspec.Raw(json.dumps({"n": 2, "of": str(viewer.user_id)}).encode())])
    return ExportPage(entries=[msgspec.Raw(b'{"n":0}'), msgspec.Raw(b'{"n":1}')], after="more")


async def pictures(viewer: Viewer, ask: ExportAsk) -> ExportPage:
    """Played: all of `PICTURES`, as many at once as are asked for."""
    if ask.file != BLOBS:
        return await a_part(viewer, ask)
    start = int(ask.after or 0)
    page = [ExportBlob(name=name, content=content) for name, content in PICTURES.items()][start : start + ask.limit]
    return ExportPage(blobs=page, after=str(start + ask.limit) if start + ask.limit < len(PICTURES) else None)


async def archive(person: Person, viewer: Viewer | None = None, **ask: Any) -> Served:
    asked = users.ExportOfMe(user_id=person.id, **ask)
    return await person.town.lone.served(users.get_export, asked, viewer or person.viewer)


def unpacked(served: Served) -> dict[str, tuple[ZipInfo, bytes]]:
    raw = msgspec.json.decode(served.body, type=bytes)
    with ZipFile(io.BytesIO(raw)) as found:
        assert found.testzip() is None
        return {entry.filename: (entry, found.read(entry)) for entry in found.infolist()}


def opened(served: Served) -> dict[str, str]:
    """What is text."""
    return {
        name: content.decode()
        for name, (_, content) in unpacked(served).items()
        if name.endswith((".json", ".txt"))
    }


@pytest.fixture
def around(town: Town) -> Town:
    """All neighbours are up, and give something."""
    for service in OTHERS:
        town.lone.neighbours[f"{service}/export"] = a_part
    return town


@pytest.fixture(scope="module")
async def small(mode: Mode, postgres: EmbeddedPostgres) -> AsyncIterator[Town]:
    """With archives of 60,000 bytes at most."""
    async with town_on(postgres, "users_small", mode, max_export=60_000) as town:
        for service in OTHERS:
            town.lone.neighbours[f"{service}/export"] = a_part
        yield town


async def test_ones_own_part_comes_page_by_page(town: Town) -> None:
    anna, ben = await town.joins("archive_ex_anna"), await town.joins("archive_ex_ben")
    for person in (anna, ben):
        for number in range(3):
            await person.signs_in(label=f"{person.handle} {number}")
            await person.invites()
            await town.link(users.reset_link, person)
    await anna.does(users.patch_user, user_id=anna.id, body=users.ProfilePatch(bio="a bio"))

    async def exported(file: str) -> list[dict[str, Any]]:
        return await town.lone.exported(users.export, file, anna.id)

    (profile,) = await exported("profile.json")
    assert (profile["id"], profile["handle"], profile["bio"]) == (str(anna.id), "archive_ex_anna", "a bio")
    assert profile.keys() == {"id", "handle", "name", "bio", "avatar", "role", "suspended", "created_at"}
    assert profile["avatar"] is None
    avatar = anna.uploads()
    await anna.changes(avatar=avatar)
    assert [one["avatar"] for one in await exported("profile.json")] == [str(avatar)]
    assert await exported("preferences.json") == []
    await anna.does(users.replace_preferences, body=users.Preferences(language="pt"))
    assert [one["language"] for one in await exported("preferences.json")] == ["pt"]
    sessions = await exported("sessions.json")
    assert [one["label"] for one in sessions] == [f"archive_ex_anna {n}" for n in range(3)]
    assert all(one.keys() == {"id", "label", "created_at", "expires_at"} for one in sessions)
    invites = await exported("invites.json")
    assert [one.keys() for one in invites] == [{"id", "expires_at", "used"}] * 3
    links = await exported("links.json")
    assert [one.keys() for one in links] == [{"purpose", "expires_at"}] * len(links)
    assert {one["purpose"] for one in links} == {"reset"}


async def test_an_archive_holds_every_part_whole(around: Town) -> None:
    anna = await around.joins("ar_anna")
    served = await archive(anna)
    assert served.headers["content-disposition"] == 'attachment; filename="tidings-ar_anna.zip"'
    files = opened(served)
    assert json.loads(files["users/profile.json"])[0]["handle"] == "ar_anna"
    for name in ("friends/mutes.json", "messages/messages.json", "notifications/notifications.json"):
        assert json.loads(files[name]) == [{"n": 0}, {"n": 1}, {"n": 2, "of": str(anna.id)}]
        assert f"{name}: " in files["README.txt"]
    assert (await archive(anna)).body == served.body


async def test_an_archive_holds_whole_files_as_they_are(around: Town) -> None:
    anna = await around.joins("whole_anna")
    asked: list[ExportAsk] = []

    async def watched(viewer: Viewer, ask: ExportAsk) -> ExportPage:
        if ask.file == BLOBS:
            asked.append(ask)
        return await pictures(viewer, ask)

    around.lone.neighbours["media/export"] = watched
    served = await archive(anna, since=SINCE)
    found = unpacked(served)
    assert {name: content for name, (_, content) in found.items() if name.endswith(".webp")} == {
        f"media/{name}": content for name, content in PICTURES.items()
    }
    assert json.loads(found["media/media.json"][1])[0] == {"n": 0}
    for name, (entry, _) in found.items():
        assert (entry.compress_type == ZIP_STORED) == name.endswith(".webp")
        assert entry.date_time == (1980, 1, 1, 0, 0, 0)
    assert [(ask.after, ask.limit) for ask in asked] == [("", 4), ("4", 4), ("8", 4)]  # few are in memory at once
    assert {ask.since_ms for ask in asked} == {round(SINCE.timestamp() * 1000)}
    readme = opened(served)["README.txt"]
    assert "all else in media/: your pictures themselves" in readme
    assert "all else in messages/" not in readme
    assert (await archive(anna, since=SINCE)).body == served.body


@pytest.mark.parametrize("service", OTHERS)
async def test_without_a_part_there_is_no_archive(around: Town, service: str) -> None:
    async def down(viewer: Viewer, ask: ExportAsk) -> ExportPage:
        if ask.after:
            raise Unavailable("down", service=service)
        return await a_part(viewer, ask)

    anna = await around.joins(f"wo_{service}"[:30])
    around.lone.neighbours[f"{service}/export"] = down
    with pytest.raises(Unavailable) as refused:
        await archive(anna)
    assert refused.value.service == service
    around.lone.neighbours[f"{service}/export"] = a_part
    assert opened(await archive(anna))  # and nothing is left of the first


async def test_without_the_pictures_there_is_no_archive(around: Town) -> None:
    async def down(viewer: Viewer, ask: ExportAsk) -> ExportPage:
        if ask.file == BLOBS and ask.after:
            raise Unavailable("down", service="media")
        return await pictures(viewer, ask)

    anna = await around.joins("wo_pictures")
    around.lone.neighbours["media/export"] = down
    with pytest.raises(Unavailable) as refused:
        await archive(anna)
    assert refused.value.service == "media"


async def test_it_is_for_oneself_alone(around: Town) -> None:
    anna, root = await around.joins("archive_se_anna"), await around.joins("archive_se_root")
    await around.makes_administrator(root)
    with pytest.raises(NotFound):
        await archive(anna, root.viewer)


async def test_one_at_a_time(around: Town) -> None:
    anna, ben = await around.joins("on_anna"), await around.joins("on_ben")
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(viewer: Viewer, ask: ExportAsk) -> ExportPage:
        if viewer.user_id == anna.id:
            begun.set()
            await go.wait()
        return await a_part(viewer, ask)

    around.lone.neighbours["messages/export"] = slow
    first = asyncio.create_task(archive(anna))
    await begun.wait()
    with pytest.raises(Busy):
        await archive(anna)
    assert opened(await archive(ben))
    go.set()
    assert opened(await first)


async def test_what_is_too_large_is_refused_with_what_to_do(small: Town) -> None:
    anna = await small.joins("la_anna")
    wide = {"n": 5}

    async def much(viewer: Viewer, ask: ExportAsk) -> ExportPage:
        count = int(ask.after or 0) + 1
        entries = [msgspec.Raw(json.dumps(secrets.token_hex(5000)).encode())]  # 5 kB, compressed
        return ExportPage(entries=entries, after=str(count) if count < wide["n"] else None)

    small.lone.neighbours["messages/export"] = much
    with pytest.raises(users.ExportTooLarge, match="`since` and `until`"):
        await archive(anna)
    wide["n"] = 1
    assert opened(await archive(anna))
    assert await small.lone.route(users.list_sessions, NOTHING, anna.viewer)


async def test_pictures_count_for_the_size(small: Town) -> None:
    anna = await small.joins("la_ben")
    many = {"n": 200}  # of 1 kB, beside some kB of text
    asked: list[str] = []

    async def much(viewer: Viewer, ask: ExportAsk) -> ExportPage:
        if ask.file != BLOBS:
            return await a_part(viewer, ask)
        asked.append(ask.after)
        count = int(ask.after or 0) + 1
        blob = ExportBlob(name=f"{uuid7(count)}.webp", content=bytes(1000))  # deflated it would be next to nothing
        return ExportPage(blobs=[blob], after=str(count) if count < many["n"] else None)

    small.lone.neighbours["media/export"] = much
    with pytest.raises(users.ExportTooLarge, match="pictures"):
        await archive(anna)
    assert len(asked) < 100  # it ends when there is no more room
    many["n"] = 20
    assert len([name for name in unpacked(await archive(anna)) if name.endswith(".webp")]) == 20
    small.lone.neighbours["media/export"] = a_part


async def test_pictures_that_take_too_long_are_refused_in_time(around: Town) -> None:
    anna = await around.joins("lo_anna")

    async def endless(viewer: Viewer, ask: ExportAsk) -> ExportPage:
        if ask.file != BLOBS:
            return await a_part(viewer, ask)
        await asyncio.sleep(0.05)
        count = int(ask.after or 0) + 1
        return ExportPage(blobs=[ExportBlob(name=f"{count}.webp", content=b"")], after=str(count))

    around.lone.neighbours["media/export"] = endless
    ask = users.ExportOfMe(user_id=anna.id)
    request = Request(viewer=anna.viewer, caller="edge", deadline=time.monotonic() + 7)
    began = time.monotonic()
    with pytest.raises(users.ExportTooLarge):
        await around.lone._send(users.get_export.call, ask, request)
    assert time.monotonic() - began < 4

"""media by itself: what comes in, who sees it, how long it lives, and what each of its calls asks of others."""

from __future__ import annotations

import io
import uuid

import pytest
from PIL import Image

from tests.harness.pictures import opened, picture
from tests.harness.waiting import until
from tests.services.media.gallery import Gallery
from tidings.contracts import media, messages
from tidings.contracts.media import (
    AltPatch,
    ListMedia,
    MediaFull,
    MediaInUse,
    NewPicture,
    NotAPicture,
    OneMedia,
    OwnMedia,
    PatchMedia,
    PruneAsk,
    UploadAsk,
    UsageAsk,
)
from tidings.contracts.messages import MediaId
from tidings.contracts.users import UserId
from tidings.platform.contract import (
    PART,
    Busy,
    Forbidden,
    Invalid,
    KeyReused,
    NotFound,
    Nothing,
    Unavailable,
    Uploaded,
    UploadPart,
)
from tidings.platform.occurrence import EventId


async def used(gallery: Gallery, owner: UserId, media_id: MediaId, *, wanted: bool = True) -> None:
    async def look() -> bool:
        return (await gallery.one(owner, media_id)).used is wanted

    await until(look, what="the claim" if wanted else "its end")


async def test_a_file_comes_in_parts_and_is_kept_as_four_pictures(gallery: Gallery) -> None:
    alice = gallery.person()
    noise = Image.effect_noise((1200, 900), 80)
    out = io.BytesIO()
    noise.save(out, "PNG")
    assert len(out.getvalue()) > PART // 2
    made = await gallery.uploads(alice, out.getvalue() + bytes(PART), alt="noise")  # what trails is not kept
    assert (made.state, made.alt, made.width, made.height) == ("ready", "noise", 1200, 900)
    kept = {one.name: one for one in (gallery.blobs / str(made.id)).iterdir()}
    assert kept.keys() == {"full.webp", "preview.webp", "avatar-96.webp", "avatar-400.webp"}
    assert opened(kept["full.webp"].read_bytes()).size == (1200, 900)
    assert made.bytes == sum(one.stat().st_size for one in kept.values())
    assert await gallery.one(alice, made.id) == made
    await gallery.lone.route(media.delete_media, OneMedia(media_id=made.id), alice)


async def test_parts_that_do_not_fit_are_refused(gallery: Gallery) -> None:
    alice, bob = gallery.person(), gallery.person()
    begun = await gallery.begins(alice)
    for number, data in ((0, b""), (0, bytes(PART + 1)), (80, b"x"), (10_000, b"x")):
        with pytest.raises(Invalid):
            await gallery.lone.call(media.add_part, UploadPart(id=begun.id, number=number, data=data), alice)
    with pytest.raises(NotFound):
        await gallery.lone.call(media.add_part, UploadPart(id=begun.id, number=0, data=b"x"), bob)
    with pytest.raises(NotFound):
        await gallery.lone.call(media.add_part, UploadPart(id=uuid.uuid4(), number=0, data=b"x"), alice)
    await gallery.lone.call(media.add_part, UploadPart(id=begun.id, number=0, data=b"x"), alice)
    for parts, size in ((1, 0), (2, 1), (1, PART + 1), (81, 81 * PART)):
        ask = UploadAsk(body=NewPicture(), upload=Uploaded(id=begun.id, parts=parts, size=size))
        with pytest.raises((Invalid, NotAPicture)):
            await gallery.lone.route(media.upload, ask, alice)
    ask = UploadAsk(body=NewPicture(), upload=Uploaded(id=begun.id, parts=1, size=1))
    with pytest.raises(NotFound):
        await gallery.lone.route(media.upload, ask, bob)
    with pytest.raises(NotAPicture):
        await gallery.lone.route(media.upload, ask, alice)
    with pytest.raises(NotFound):  # it is over
        await gallery.lone.route(media.upload, ask, alice)


async def test_a_part_that_has_not_come_is_waited_for(gallery: Gallery) -> None:
    alice = gallery.person()
    begun = await gallery.begins(alice)
    ask = UploadAsk(body=NewPicture(), upload=Uploaded(id=begun.id, parts=1, size=1))
    assert (await gallery.lone.served(media.upload, ask, alice)).status == 202
    assert (await gallery.one(alice, MediaId(begun.id))).state == "processing"


async def test_an_upload_that_is_given_back_makes_room(gallery: Gallery) -> None:
    alice, bob = gallery.person(), gallery.person()
    begun = [await gallery.begins(alice) for _ in range(8)]
    with pytest.raises(Busy):
        await gallery.begins(alice)
    await gallery.lone.call(media.give_back, begun[0], bob)  # not his
    with pytest.raises(Busy):
        await gallery.begins(alice)
    await gallery.lone.call(media.give_back, begun[0], alice)
    await gallery.begins(alice)
    ready = await gallery.uploads(bob)
    await gallery.lone.call(media.give_back, Uploaded(id=ready.id), bob)  # it has come to something
    assert (await gallery.one(bob, ready.id)).state == "ready"


async def test_a_key_gives_the_first_answer_again(gallery: Gallery) -> None:
    alice, content = gallery.person(), picture()
    sent = await gallery.sends(alice, content)
    ask = UploadAsk(body=NewPicture(alt="one"), upload=sent)
    first = await gallery.lone.route(media.upload, ask, alice, key="k")
    again = await gallery.lone.served(media.upload, ask, alice, key="k")
    assert again.status == 202 and str(first.id) in bytes(again.body).decode()
    with pytest.raises(KeyReused):
        await gallery.lone.route(media.upload, UploadAsk(body=NewPicture(alt="two"), upload=sent), alice, key="k")
    assert len((await gallery.lone.route(media.list_media, ListMedia(), alice)).media) == 1


async def test_somebody_has_room_for_so_much(gallery: Gallery) -> None:
    alice = gallery.person()
    for _ in range(8):
        await gallery.begins(alice)
    with pytest.raises(Busy):
        await gallery.begins(alice)
    bob = gallery.person()
    out = io.BytesIO()
    Image.effect_noise((900, 900), 200).convert("RGB").save(out, "JPEG", quality=95)
    await gallery.uploads(bob, out.getvalue())
    with pytest.raises(MediaFull):
        for _ in range(8):
            await gallery.uploads(bob, out.getvalue())
    usage = await gallery.lone.call(media.usage, UsageAsk(limit=1000))
    (his,) = [one for one in usage.people if one.user_id == bob]
    assert his.bytes <= 2_000_000


async def test_what_is_held_is_ones_own_and_ready(gallery: Gallery) -> None:
    alice, bob = gallery.person(), gallery.person()
    mine, his = await gallery.uploads(alice, alt="mine"), await gallery.uploads(bob)
    begun = MediaId((await gallery.begins(alice)).id)
    held = await gallery.lone.call(media.hold, OwnMedia(ids=[mine.id, his.id, begun, MediaId(uuid.uuid4())]), alice)
    assert held.keys() == {mine.id}
    assert (held[mine.id].alt, held[mine.id].width, held[mine.id].height) == ("mine", 64, 48)
    assert held[mine.id].blurhash


async def test_a_picture_is_seen_by_who_sees_a_message_that_shows_it(gallery: Gallery) -> None:
    alice, bob = gallery.person(), gallery.person()
    made = await gallery.uploads(alice)
    assert await gallery.sees(alice, made.id)
    assert not await gallery.sees(bob, made.id)
    said = gallery.posts(alice, made.id, heard=False)
    assert not await gallery.sees(bob, made.id)  # which message it is, nobody has said
    assert await gallery.sees(bob, made.id, message=said)
    gallery.changed(messages.posted, alice, said, [made.id])
    await used(gallery, alice, made.id)
    assert await gallery.sees(bob, made.id)
    del gallery.said[said]  # hidden from whoever asks
    assert not await gallery.sees(bob, made.id)
    assert not await gallery.sees(bob, made.id, message=said)


async def test_a_message_of_another_proves_nothing(gallery: Gallery) -> None:
    alice, mallory = gallery.person(), gallery.person()
    made = await gallery.uploads(alice)
    claimed = gallery.posts(mallory, made.id, heard=False)
    assert not await gallery.sees(mallory, made.id, message=claimed)


async def test_an_avatar_is_seen_by_all_but_the_blocked_while_its_owner_is_there(gallery: Gallery) -> None:
    alice, bob = gallery.person(), gallery.person()
    made = await gallery.uploads(alice)
    gallery.worn[alice] = made.id  # which nobody has heard of yet
    assert await gallery.sees(bob, made.id, variant="avatar-96")
    assert await gallery.sees(bob, made.id, variant="avatar-400")
    assert not await gallery.sees(bob, made.id, variant="full")  # more than is worn
    gallery.wears(alice, made.id)
    await used(gallery, alice, made.id)
    gallery.blocked.add(alice)
    assert not await gallery.sees(bob, made.id, variant="avatar-96")
    gallery.blocked.clear()
    gallery.gone.add(alice)
    assert not await gallery.sees(bob, made.id, variant="avatar-96")
    gallery.gone.clear()
    gallery.worn[alice] = None
    assert not await gallery.sees(bob, made.id, variant="avatar-96")  # at once
    gallery.wears(alice, None)
    await used(gallery, alice, made.id, wanted=False)


async def test_what_is_asked_of_others_does_not_grow(gallery: Gallery) -> None:
    alice, bob = gallery.person(), gallery.person()
    made = await gallery.uploads(alice)
    gallery.posts(alice, made.id)
    gallery.posts(alice, made.id)
    gallery.wears(alice, made.id)
    await used(gallery, alice, made.id)

    async def asked(viewer: UserId, media_id: MediaId) -> list[str]:
        gallery.lone.calls.clear()
        await gallery.sees(viewer, media_id)
        return sorted(call for call in gallery.lone.calls if not call.endswith("/occurrences"))

    assert await asked(alice, made.id) == []
    everything = ["friends/relations", "messages/by_ids", "users/cards"]

    async def all_heard() -> bool:
        return await asked(bob, made.id) == everything

    await until(all_heard)
    assert await asked(bob, made.id) == everything
    assert await asked(bob, MediaId(uuid.uuid4())) == everything  # the same for what is not there


async def test_without_messages_a_picture_is_unavailable_and_ones_own_is_not(gallery: Gallery) -> None:
    alice, bob = gallery.person(), gallery.person()
    made = await gallery.uploads(alice)
    said = gallery.posts(alice, made.id)
    gallery.messages_down = True
    assert await gallery.sees(alice, made.id)
    with pytest.raises(Unavailable):
        await gallery.sees(bob, made.id, message=said)


async def test_it_is_deleted_when_nothing_shows_it_and_not_before(gallery: Gallery) -> None:
    alice, bob = gallery.person(), gallery.person()
    made = await gallery.uploads(alice)
    said = gallery.posts(alice, made.id)
    await used(gallery, alice, made.id)
    for refused, viewer in ((MediaInUse, alice), (NotFound, bob)):
        with pytest.raises(refused):
            await gallery.lone.route(media.delete_media, OneMedia(media_id=made.id), viewer)
    gallery.withdraws(alice, said)
    await used(gallery, alice, made.id, wanted=False)
    await gallery.lone.route(media.delete_media, OneMedia(media_id=made.id), alice)
    with pytest.raises(NotFound):
        await gallery.one(alice, made.id)

    async def gone() -> bool:
        return not (gallery.blobs / str(made.id)).exists()

    await until(gone)


async def test_nothing_of_who_was_deleted_is_left_and_nothing_more_is_taken(gallery: Gallery) -> None:
    alice = gallery.person()
    made = await gallery.uploads(alice, alt="canary", key="k")
    begun = await gallery.begins(alice)
    gallery.removed(alice)

    async def gone() -> bool:
        return not (gallery.blobs / str(made.id)).exists()

    await until(gone)
    with pytest.raises(NotFound):
        await gallery.lone.call(media.add_part, UploadPart(id=begun.id, number=0, data=b"x"), alice)
    with pytest.raises(Exception, match="no longer here"):
        await gallery.begins(alice)
    gallery.posts(alice, made.id)
    assert not await gallery.sees(alice, made.id)


async def test_words_about_a_picture_can_be_changed_by_its_owner(gallery: Gallery) -> None:
    alice, bob = gallery.person(), gallery.person()
    made = await gallery.uploads(alice, alt="one")
    ask = PatchMedia(media_id=made.id, body=AltPatch(alt="two"))
    assert (await gallery.lone.route(media.patch_media, ask, alice)).alt == "two"
    with pytest.raises(NotFound):
        await gallery.lone.route(media.patch_media, ask, bob)


async def test_the_operators_calls_are_the_operators(gallery: Gallery) -> None:
    alice = gallery.person()
    asks = (
        (media.usage, UsageAsk()),
        (media.prune, PruneAsk()),
        (media.dead_letters, Nothing()),
        (media.replay_event, EventId(id=uuid.uuid4())),
    )
    for call, ask in asks:
        with pytest.raises(Forbidden):
            await gallery.lone.call(call, ask, alice)  # type: ignore[arg-type]
    assert (await gallery.lone.call(media.dead_letters, Nothing())).letters == []


async def test_the_export_gives_what_is_ready_page_by_page(gallery: Gallery) -> None:
    alice = gallery.person()
    ids = [str((await gallery.uploads(alice)).id) for _ in range(3)]
    await gallery.begins(alice)
    told = await gallery.lone.exported(media.export, "media.json", alice)
    assert [one["id"] for one in told] == ids

"""Pictures that messages show: the author's own, held by media before the write, and described by the message."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.services.messages.neighbourhood import Neighbourhood, Person, refusal
from tests.services.messages.test_messages_by_authors import imported, imports
from tests.services.messages.writing import events_of
from tidings.contracts.messages import Media, MediaId, MessageChanged, NewMedia
from tidings.platform.clock import now_ms
from tidings.platform.contract import Busy, Invalid, KeyReused, Refusal, Unavailable
from tidings.platform.ids import uuid7


def unknown() -> NewMedia:
    return NewMedia(media_id=MediaId(uuid7(now_ms())))


def named(picture: Media, alt: str | None = None) -> NewMedia:
    return NewMedia(media_id=picture.media_id, alt=alt)


def pointers(refused: Refusal) -> list[str]:
    assert isinstance(refused, Invalid)
    return [error.pointer for error in refused.errors]


async def announced(town: Neighbourhood, author: Person) -> list[tuple[str, list[MediaId]]]:
    """Of each event of theirs, which media the message shows."""
    bodies = [
        (event, msgspec.json.decode(body, type=MessageChanged))
        for event, _, body in await events_of(town, author.id)
    ]
    return [(event.removeprefix("messages."), body.media) for event, body in bodies]


async def test_a_message_says_of_a_picture_what_media_says(town: Neighbourhood) -> None:
    alice, bob = town.people(2)
    town.befriend(alice, bob)
    cat, dog = alice.uploads("a cat"), alice.uploads("a dog")
    said = await alice.posts("both", media=[dog, cat])
    assert said.media == [dog, cat]
    assert (await bob.reads(said)).message.media == [dog, cat]
    assert (await alice.replies(said, media=[cat])).media == [cat]


async def test_a_message_may_say_it_in_other_words(town: Neighbourhood) -> None:
    alice = town.somebody()
    cat, dog = alice.uploads("a cat"), alice.uploads("a dog")
    said = await alice.posts(media=[named(cat, "my cat"), named(dog, "")])
    assert said.media == [msgspec.structs.replace(cat, alt="my cat"), msgspec.structs.replace(dog, alt="")]


@pytest.mark.parametrize("verb", ["posts", "replies", "edits"])
async def test_only_ones_own_pictures_are_shown(town: Neighbourhood, verb: str) -> None:
    alice, bob = town.people(2)
    town.befriend(alice, bob)
    said = await alice.posts()
    mine, his = alice.uploads(), bob.uploads()
    write = getattr(alice, verb)
    about = [] if verb == "posts" else [said]
    assert pointers(await refusal(write(*about, media=[mine, his]))) == ["/media/1/media_id"]
    both = await refusal(write(*about, media=[unknown(), mine, his]))
    assert pointers(both) == ["/media/0/media_id", "/media/2/media_id"]
    assert {error.detail for error in both.errors} == {"not there, not yours, or not ready"}
    assert [one.message for one in (await alice.lists(alice)).messages] == [said]
    assert (await alice.reads(said)).replies == 0
    assert await announced(town, alice) == [("posted", [])]


@pytest.mark.parametrize("verb", ["posts", "replies", "edits"])
async def test_a_picture_is_shown_once(town: Neighbourhood, verb: str) -> None:
    alice = town.somebody()
    cat, dog = alice.uploads(), alice.uploads()
    said = await alice.posts(media=[cat])
    town.lone.calls.clear()
    about = [] if verb == "posts" else [said]
    refused = await refusal(getattr(alice, verb)(*about, media=[cat, dog, named(cat, "again"), dog]))
    assert pointers(refused) == ["/media/2/media_id", "/media/3/media_id"]
    assert "media/hold" not in town.lone.calls


async def test_an_edit_keeps_what_is_said_of_those_it_shows_and_adds_others(town: Neighbourhood) -> None:
    alice = town.somebody()
    cat, dog, owl = alice.uploads("a cat"), alice.uploads("a dog"), alice.uploads("an owl")
    said = await alice.posts("two", media=[named(cat, "my cat"), dog])
    # What media says by now is not asked for.
    del town.pictures[alice.id, cat.media_id]
    edited = await alice.edits(said, media=[owl, cat])
    mine = msgspec.structs.replace(cat, alt="my cat")
    assert edited.media == [owl, mine]
    assert (edited.text, edited.version) == ("two", 2)
    again = await alice.edits(said, media=[named(cat, "the cat"), owl])
    assert again.media == [msgspec.structs.replace(cat, alt="the cat"), owl]
    assert await alice.edits(said, media=[cat, owl]) == again  # changes nothing
    assert (await alice.edits(said, text="three")).media == again.media
    assert (await alice.edits(said, media=[])).media == []
    assert [one.media for one in await alice.reads_history(said)] == [
        again.media,
        again.media,
        [owl, mine],
        [mine, dog],
    ]
    # It is shown no more, so it is asked for as any other.
    assert pointers(await refusal(alice.edits(said, media=[cat]))) == ["/media/0/media_id"]
    assert (await alice.edits(said, media=[dog])).media == [dog]


async def test_a_picture_alone_is_a_message_as_long_as_it_is_shown(town: Neighbourhood) -> None:
    alice = town.somebody()
    cat = alice.uploads()
    said = await alice.posts("", media=[cat])
    assert (await refusal(alice.edits(said, media=[]))).code == "empty_message"
    assert (await alice.reads(said)).message == said


async def test_a_key_gives_the_same_answer_again_whatever_media_says_by_then(town: Neighbourhood) -> None:
    alice = town.somebody()
    cat, dog = alice.uploads(), alice.uploads()
    parent = await alice.posts("first")
    said = await alice.posts("hi", media=[cat], key="post")
    answer = await alice.replies(parent, media=[cat], key="reply")
    del town.pictures[alice.id, cat.media_id]
    for _ in range(2):
        assert await alice.posts("hi", media=[cat], key="post") == said
        town.lone.calls.clear()
        assert await alice.replies(parent, media=[cat], key="reply") == answer
        assert town.lone.calls == []
        town.down.add("media")
    assert isinstance(await refusal(alice.posts("hi", media=[dog], key="post")), KeyReused)
    assert len((await alice.lists(alice)).messages) == 2


async def test_a_refused_picture_leaves_its_key_free(town: Neighbourhood) -> None:
    alice = town.somebody()
    assert isinstance(await refusal(alice.posts(media=[unknown()], key="free")), Invalid)
    assert (await alice.posts(media=[alice.uploads()], key="free")).version == 1


async def test_media_is_asked_once_and_only_of_what_is_new(town: Neighbourhood) -> None:
    alice = town.somebody()
    pictures = [alice.uploads() for _ in range(10)]

    async def calls(write: Any) -> tuple[Any, list[str]]:
        town.lone.calls.clear()
        return await write, sorted(town.lone.calls)

    reads = ["friends/relations", "users/cards"]
    said, made = await calls(alice.posts(media=pictures))
    assert made == ["media/hold"]
    assert (await calls(alice.posts("plain", key="k")))[1] == []
    assert (await calls(alice.replies(said)))[1] == reads
    assert (await calls(alice.replies(said, media=pictures)))[1] == sorted([*reads, "media/hold"])
    assert (await calls(alice.edits(said, text="x")))[1] == reads
    assert (await calls(alice.edits(said, media=pictures[:5])))[1] == reads
    assert (await calls(alice.edits(said, media=[])))[1] == reads
    assert (await calls(alice.edits(said, text="y", media=pictures[4:])))[1] == sorted([*reads, "media/hold"])


async def test_without_media_there_are_words(town: Neighbourhood) -> None:
    alice = town.somebody()
    cat, dog = alice.uploads(), alice.uploads()
    said = await alice.posts("one", media=[cat])
    town.down.add("media")
    for wrong in (
        alice.posts("two", media=[dog]),
        alice.replies(said, media=[dog]),
        alice.edits(said, media=[cat, dog]),
    ):
        refused = await refusal(wrong)
        assert isinstance(refused, Unavailable)
        assert refused.service == "media"
    assert (await alice.edits(said, text="two", media=[named(cat, "still here")])).media[0].alt == "still here"
    await alice.posts("words alone")


async def test_what_is_taken_out_meanwhile_is_not_kept_by_an_edit(town: Neighbourhood) -> None:
    alice = town.somebody()
    cat, dog = alice.uploads(), alice.uploads()
    said = await alice.posts("one", media=[cat])

    async def meanwhile() -> None:
        await alice.edits(said, media=[])

    town.before = meanwhile  # after the message was read, before it is written
    assert isinstance(await refusal(alice.edits(said, media=[cat, dog])), Busy)
    assert (await alice.reads(said)).message.media == []
    assert (await alice.edits(said, media=[cat, dog])).media == [cat, dog]


async def test_what_is_put_in_meanwhile_is_kept_as_it_is_said_there(town: Neighbourhood) -> None:
    alice = town.somebody()
    cat = alice.uploads("a cat")
    said = await alice.posts("one")

    async def meanwhile() -> None:
        await alice.edits(said, media=[named(cat, "my cat")])

    town.before = meanwhile
    assert (await alice.edits(said, text="two", media=[cat])).media[0].alt == "my cat"


async def test_events_name_the_media_that_are_shown_now(town: Neighbourhood) -> None:
    alice = town.somebody()
    cat, dog = alice.uploads("content-1"), alice.uploads("content-2")
    said = await alice.posts("one", media=[cat])
    await alice.edits(said, text="two")
    await alice.edits(said, media=[dog, named(cat, "content-3")])
    await alice.replies(said, media=[dog])
    await alice.edits(said, media=[])
    await alice.withdraws(said)
    assert await announced(town, alice) == [
        ("posted", [cat.media_id]),
        ("edited", [cat.media_id]),
        ("edited", [dog.media_id, cat.media_id]),
        ("posted", [dog.media_id]),
        ("edited", []),
        ("withdrawn", []),
    ]
    # Ids, never content.
    assert not any("content" in event[2] or "LEHV" in event[2] for event in await events_of(town, alice.id))


async def test_an_import_says_of_media_what_it_is_given_and_asks_nobody(town: Neighbourhood) -> None:
    alice = town.somebody()
    film = Media(media_id=MediaId(uuid7(1)), kind="video", alt="from elsewhere")
    batch = [imported(alice.id, now_ms() - 1000, media=[film])]
    town.lone.calls.clear()
    assert await imports(town, batch) == (1, 0)
    assert town.lone.calls == []
    shown = (await alice.reads(batch[0].id)).message
    assert shown.media == [film]
    assert await announced(town, alice) == [("posted", [film.media_id])]
    edited = await alice.edits(shown, media=[named(film, "a film"), alice.uploads()])
    assert (edited.media[0].kind, edited.media[0].alt) == ("video", "a film")


def test_one_names_a_picture_and_says_nothing_else_of_it() -> None:
    """Sizes and kind are what media found: no client says them."""
    for name in ("kind", "width", "height", "blurhash"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(f'{{"media_id": "{uuid7(1)}", "{name}": 1}}', type=NewMedia)

"""Row 40: what somebody wrote, anywhere, is in no engine any more within a minute of their deletion."""

from __future__ import annotations

import json
import secrets
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import msgspec
import pytest

from tests.harness.everywhere import Moment, Traces, moment, operating, traces
from tests.harness.people import PASSWORD, Person
from tests.harness.system import Whole
from tests.harness.waiting import until
from tidings.contracts import media, messages, users
from tidings.platform.contract import Contract

WITHIN = 60.0  # seconds

# Where the canaries are before: or a scan that finds nothing afterwards would say nothing.
HOLDS_WORDS = {
    "users.accounts", "users.search_entries", "users.sessions", "users.preferences", "users.idempotency",
    "messages.message", "messages.reply", "messages.latest", "messages.history", "messages.reaction",
    "messages.tally", "messages.idempotency", "media.media", "media.idempotency", "notifications.dead_letters",
    "nats.planted",
}  # fmt: skip
HOLDS_IDS = {
    "users.outbox", "users.invites", "users.links", "friends.friendships", "friends.friend_requests",
    "friends.blocks", "friends.mutes", "friends.outbox", "friends.subject_fence", "messages.outbox",
    "messages.withdrawn", "messages.subject_fence", "media.media", "notifications.notifications",
    "notifications.read_marks", "nats.messages",
}  # fmt: skip
# Where an id may stay: versions, what happened, what was decided, and others' own words that name it.
KEEPS_IDS = {
    *(f"{service}.{table}" for service in ("users", "friends", "messages", "media", "notifications")
      for table in ("subject_fence", "outbox")),
    "users.accounts", "users.twophase_log", "friends.twophase_branch", "messages.twophase_branch",
    "messages.withdrawn", "messages.message", "messages.latest", "media.media", "nats.messages", "nats.users",
    "nats.friends",
}  # fmt: skip


@dataclass
class Canaries:
    """One text for each field that somebody may fill, to find it by."""

    mark: str = field(default_factory=lambda: "zq" + secrets.token_hex(4))
    made: list[str] = field(default_factory=list)
    over: set[str] = field(default_factory=set)  # what its author took back, or wrote over, and nobody keeps

    def text(self, name: str) -> str:
        """At most 16 characters of letters and digits, which fit every field."""
        assert len(name) <= 6
        self.made.append(self.mark + name)
        return self.made[-1]

    def id(self) -> str:
        """Where a client chooses an id."""
        self.made.append(str(uuid.uuid4()))
        return self.made[-1]

    def degrees(self) -> float:
        """With as many digits as are kept; above 60, since a time of day has no such seconds."""
        degrees = round(61 + secrets.randbelow(28) + (1 + secrets.randbelow(9_999) * 10) / 100_000, 5)
        self.made.append(str(degrees))
        return degrees

    def forget(self, said: object) -> None:
        """What this holds is over by now, though its author is still there."""
        text = json.dumps(said)
        self.over |= {one for one in self.made if one in text}

    def message(self, name: str, picture: str) -> dict[str, object]:
        """Every field of a message; the text names it."""
        return {
            "text": f"{self.text(name + 'tx')} and more",
            "media": [{"media_id": picture, "alt": self.text(name + "al")}],
            "place": {
                "latitude": self.degrees(),
                "longitude": self.degrees(),
                "name": self.text(name + "pl"),
                "decimals": 5,
            },
            "tags": [self.text(name + "tg")],
        }


async def signs_up(tidings: Whole, canaries: Canaries) -> Person:
    body = {"handle": canaries.text("handle"), "name": f"{canaries.text('name')} Name", "password": PASSWORD}
    key = {"idempotency-key": canaries.text("key1")}
    made = (await tidings.client.ask("POST", "/v1/users", json=body, headers=key)).ok()
    session = {"handle": body["handle"], "password": PASSWORD, "label": canaries.text("label")}
    token = (await tidings.client.ask("POST", "/v1/sessions", json=session)).ok()["token"]
    return Person(tidings.client, body["handle"], body["name"], made["id"], token)


async def lives(tidings: Whole, alice: Person, canaries: Canaries) -> Path:
    """Fill every field, and leave traces with others. Where the files of a picture are."""
    bob, carol, dave, erin = [await tidings.joins(name) for name in ("Bob", "Carol", "Dave", "Erin")]
    (await alice.patch("/v1/users/me", {"bio": canaries.text("bio1")})).ok()
    canaries.forget(canaries.made[-1])
    key = {"idempotency-key": canaries.text("key5")}
    picture = await alice.uploads(alt=canaries.text("alt1"), headers=key)
    (await alice.patch(f"/v1/media/{picture}", {"alt": canaries.text("alt2")})).ok()
    profile = {"name": canaries.text("name2"), "bio": canaries.text("bio2"), "avatar": picture}
    (await alice.put("/v1/users/me", profile)).ok()
    preferences = {"language": canaries.text("lang"), "feed_marker": canaries.id()}
    (await alice.put("/v1/users/me/preferences", preferences)).ok()
    (await alice.post("/v1/invites", headers={"idempotency-key": canaries.text("key2")})).ok()
    await tidings.operator.call(users.reset_link, users.ByHandle(handle=alice.handle))

    await alice.befriends(bob)
    (await alice.put(f"/v1/friends/{carol.id}")).ok()
    (await alice.put(f"/v1/blocks/{dave.id}")).ok()
    (await alice.put(f"/v1/mutes/{erin.id}")).ok()
    (await erin.put(f"/v1/mutes/{alice.id}")).ok()

    key = {"idempotency-key": canaries.text("key3")}
    hers = (
        await alice.post("/v1/messages", {**canaries.message("a", picture), "mentions": [bob.id]}, headers=key)
    ).ok()
    edited = canaries.message("b", picture)
    (await alice.patch(f"/v1/messages/{hers['id']}", edited)).ok()
    canaries.forget([edited["place"], edited["tags"]])  # of what was said before an edit, only words are kept
    (await alice.patch(f"/v1/messages/{hers['id']}", canaries.message("c", picture))).ok()
    await alice.posts(**canaries.message("d", picture), audience="public")
    await alice.posts(**canaries.message("e", picture), audience="only", only=[bob.id])
    gone = await alice.posts(**canaries.message("f", picture))
    (await alice.delete(f"/v1/messages/{gone['id']}")).ok()
    canaries.forget(gone)

    his = await bob.posts("bob's own", mentions=[alice.id])
    key = {"idempotency-key": canaries.text("key4")}
    reply = (
        await alice.post(f"/v1/messages/{his['id']}/replies", canaries.message("g", picture), headers=key)
    ).ok()
    (await alice.patch(f"/v1/messages/{reply['id']}", canaries.message("h", picture))).ok()
    (await alice.post(f"/v1/messages/{hers['id']}/replies", canaries.message("i", picture))).ok()
    (await bob.post(f"/v1/messages/{hers['id']}/replies", {"text": "bob below alice"})).ok()
    (await alice.put(f"/v1/messages/{his['id']}/reactions/{canaries.text('emo1')}")).ok()
    (await alice.put(f"/v1/messages/{his['id']}/reactions/{canaries.text('emo2')}")).ok()
    (await alice.delete(f"/v1/messages/{his['id']}/reactions/{canaries.made[-1]}")).ok()
    canaries.forget(canaries.made[-1])
    (await alice.put(f"/v1/messages/{hers['id']}/reactions/{canaries.text('emo3')}")).ok()
    (await bob.put(f"/v1/messages/{hers['id']}/reactions/+1")).ok()
    (await alice.patch("/v1/notifications", {"read_until": "2030-01-01T00:00:00Z"})).ok()
    return tidings.settings.data / "blobs" / "media" / picture


async def plants(tidings: Whole, alice: Person, canaries: Canaries) -> None:
    """Where nobody's words come by themselves: an event that was set aside, with an error that quotes them."""
    connection = await asyncpg.connect(tidings.system.installation.dsns["notifications"])
    try:
        await connection.execute(
            "insert into dead_letters (event_id, producer, event, subject, version, body, error, attempts)"
            " values ($1, 'messages', 'messages.posted', $2::uuid, 1, $3::jsonb, $4, 8)",
            uuid.uuid4(),
            alice.id,
            json.dumps({"message_id": canaries.text("dead")}),
            f"ValueError: {canaries.text('error')}",
        )
    finally:
        await connection.close()


async def before_it(tidings: Whole, alice: Person, canaries: Canaries, since: Moment) -> tuple[Traces, Traces]:
    """Words and ids while all is there. What the bus has is gone once it was heard: a fence keeps one back."""
    waits = await tidings.joins("Waits")
    (await waits.patch("/v1/notifications", {"read_until": "2030-01-01T00:00:00Z"})).ok()  # so there is a fence
    connection = await asyncpg.connect(tidings.system.installation.dsns["notifications"])
    try:
        async with connection.transaction(), planted_on_the_bus(tidings, canaries.text("bus")):
            fence = "select user_id from subject_fence where user_id = $1::uuid for no key update"
            assert await connection.fetch(fence, waits.id)
            await alice.posts("for one who is kept from hearing it", mentions=[waits.id])

            async def on_the_bus() -> bool:
                return "nats.messages" in (await traces(tidings, [alice.id], since=since)).places()

            await until(on_the_bus, what="an event on the bus")
            return await traces(tidings, canaries.made, since=since), await traces(tidings, [alice.id], since=since)
    finally:
        await connection.close()


@asynccontextmanager
async def planted_on_the_bus(tidings: Whole, text: str) -> AsyncIterator[None]:
    """A stream of nobody's that holds a text: the services' own hold ids alone."""
    async with operating(tidings) as client:
        stream = client.jetstream()
        await stream.add_stream(name="planted", subjects=["planted.>"])
        try:
            await stream.publish("planted.one", text.encode())
            yield
        finally:
            await stream.delete_stream("planted")


def test_every_field_that_a_person_fills_has_a_canary() -> None:
    """Whoever adds a field to what a client may send has to fill it above."""
    filled = {
        "SignUp": {"body"}, "NewUser": {"handle", "name", "password", "invite"},
        "NewProfile": {"name", "bio", "avatar"}, "ProfilePatch": {"name", "bio", "avatar"},
        "Preferences": {"language", "feed_marker", "presence"},
        "NewSession": {"handle", "password", "link", "label"},
        "NewMessage": {"text", "media", "place", "mentions", "tags", "audience", "only"},
        "MessagePatch": {"text", "media", "place", "mentions", "tags", "audience", "only"},
        "NewMedia": {"media_id", "alt"}, "NewPicture": {"alt"}, "AltPatch": {"alt"},
        "NewPlace": {"latitude", "longitude", "name", "decimals"},
    }  # fmt: skip
    shapes = {**vars(media), **vars(users), **vars(messages)}
    assert {name: {one.name for one in msgspec.structs.fields(shapes[name])} for name in filled} == filled
    sends = {
        f"{route.method} {route.path}"
        for module in _contracts()
        for route in Contract.of(module).routes
        if any(one.name == "body" for one in msgspec.structs.fields(route.ask))
    }
    assert sends == {
        "POST /v1/users", "PUT /v1/users/{user_id}", "PATCH /v1/users/{user_id}", "PUT /v1/users/me/password",
        "PUT /v1/users/me/preferences", "POST /v1/setup", "POST /v1/sessions", "POST /v1/password-resets",
        "POST /v1/messages", "PATCH /v1/messages/{message_id}", "POST /v1/messages/{message_id}/replies",
        "POST /v1/media", "PATCH /v1/media/{media_id}", "PATCH /v1/notifications",
    }  # fmt: skip


async def test_row_40_nothing_of_what_they_wrote_is_left_anywhere(tidings: Whole) -> None:
    await nothing_is_left(tidings, words_in=HOLDS_WORDS, ids_in=HOLDS_IDS, ids_may_stay_in=KEEPS_IDS)


async def nothing_is_left(
    tidings: Whole, *, words_in: set[str], ids_in: set[str], ids_may_stay_in: set[str]
) -> None:
    """Somebody lives, leaves canaries in all of these places, and goes: within a minute they are nowhere."""
    canaries, began_at = Canaries(), await moment(tidings)
    alice = await signs_up(tidings, canaries)
    files = await lives(tidings, alice, canaries)
    await plants(tidings, alice, canaries)
    words, ids = await before_it(tidings, alice, canaries, began_at)
    assert words_in - words.places() == set()
    assert ids_in - ids.places() == set()
    assert set(canaries.made) - set(words.where) == canaries.over
    assert list(files.iterdir())

    began = time.monotonic()
    assert (await alice.delete("/v1/users/me")).status in (204, 202)

    async def clean() -> bool:
        return not files.exists() and not (await traces(tidings, canaries.made, since=began_at)).where

    try:
        await until(clean, within=WITHIN, what="an end of all traces")
    except AssertionError:
        left = (await traces(tidings, canaries.made, since=began_at)).where
        pytest.fail(f"left after {WITHIN} s: {left}, and files: {files.exists()}")
    print(f"nothing was left after {time.monotonic() - began:.1f} s")
    assert (await traces(tidings, [alice.id], since=began_at)).places() <= ids_may_stay_in

    # The handle stays taken, and nobody can read it: what is kept is a keyed digest.
    again = {"handle": alice.handle, "name": "Another", "password": PASSWORD}
    assert (await tidings.client.ask("POST", "/v1/users", json=again)).body["code"] == "handle_taken"
    assert await clean()


def _contracts() -> list[object]:
    from tidings.contracts import friends, notifications, timeline

    return [users, messages, media, friends, notifications, timeline]

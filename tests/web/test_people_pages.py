"""Pages of people: somebody, how one stands with them, friends, the hidden, and what concerns oneself."""

from __future__ import annotations

import pytest

from tests.harness.people import Person
from tests.harness.streams import listening
from tests.harness.system import Whole
from tests.harness.waiting import until
from tests.web.browsing import Browser, browsing

pytestmark = pytest.mark.parametrize("tidings", ["near"], indirect=True)

HOSTILE = "<script>alert(1)</script>"


async def _stands(alice: Person, bob: Person) -> str | None:
    answer = await alice.get(f"/v1/friends/{bob.id}")
    return None if answer.status == 404 else str(answer.ok()["state"])


async def test_a_person_is_found_by_handle_and_hostile_text_is_only_text(browser: Browser, bob: Person) -> None:
    told = {"name": f"Bob {HOSTILE}", "bio": f'{HOSTILE}\n"><img src=x onerror=alert(1)> see https://example.org/a'}
    (await bob.patch("/v1/users/me", told)).ok()
    page = (await browser.get(f"/@{bob.handle.upper()}")).ok()
    assert page.address == f"/people/{bob.id}"
    assert "alert(1)" in page.html and HOSTILE not in page.html and "<img src=x" not in page.html
    assert 'href="https://example.org/a" rel="nofollow noopener noreferrer ugc"' in page.html
    assert f"@{bob.handle}" in page.text
    sure = await browser.post(f"/people/{bob.id}/stand", do="block")
    assert HOSTILE in sure.text and HOSTILE not in sure.html


@pytest.mark.parametrize("handle", ["nobody_there", "x", "<b>", "a.b"])
async def test_who_is_not_there_is_a_page_that_says_so(browser: Browser, handle: str) -> None:
    page = await browser.get(f"/@{handle}")
    assert page.status == 404 and "Not found" in page.text
    assert (await browser.get("/people/01a2238b-3d20-7e92-9c0c-f9e5eae1b455")).status == 404


async def test_ask_take_back_and_be_accepted(browser: Browser, alice: Person, bob: Person) -> None:
    path = f"/people/{bob.id}"
    page = await browser.get(path)
    assert page.buttons() == ["Ask to be friends", "Mute", "Block"]
    page = await browser.post(f"{path}/stand", do="ask", next=path)
    assert page.address == path and page.buttons()[0] == "Take it back"
    page = await browser.post(f"{path}/stand", do="withdraw")
    assert page.buttons()[0] == "Ask to be friends"
    again = await browser.post(f"{path}/stand", do="withdraw")  # what is over needs no end
    assert again.status == 200
    await browser.post(f"{path}/stand", do="ask")
    (await bob.put(f"/v1/friends/{alice.id}")).ok()
    page = await browser.get(path)
    assert "You have been friends since" in page.text
    assert page.buttons()[:3] == ["Mute", "Unfriend", "Block"]


async def test_accept_or_decline_who_asks(browser: Browser, alice: Person, bob: Person) -> None:
    (await bob.put(f"/v1/friends/{alice.id}")).ok()
    page = await browser.get(f"/people/{bob.id}")
    assert "They ask to be your friend." in page.text and page.buttons()[:2] == ["Accept", "Decline"]
    await browser.post(f"/people/{bob.id}/stand", do="decline")
    assert await _stands(alice, bob) is None
    (await bob.put(f"/v1/friends/{alice.id}")).ok()
    page = await browser.post(f"/people/{bob.id}/stand", do="accept", next="/friends")
    assert page.address == "/friends"
    assert await _stands(alice, bob) == "friends"


async def test_the_end_of_a_friendship_is_asked_about_first(browser: Browser, alice: Person, bob: Person) -> None:
    await alice.befriends(bob)
    sure = await browser.post(f"/people/{bob.id}/stand", do="unfriend", next="/friends")
    assert "End your friendship with Bob?" in sure.text and sure.hidden("sure") == "1"
    assert await _stands(alice, bob) == "friends"
    form = {name: sure.hidden(name) for name in ("do", "next", "sure")}
    page = await browser.post(f"/people/{bob.id}/stand", **form)
    assert page.address == "/friends" and await _stands(alice, bob) is None


async def test_a_block_hides_and_is_lifted_among_the_hidden(browser: Browser, bob: Person) -> None:
    sure = await browser.post(f"/people/{bob.id}/stand", do="block")
    assert "Block Bob?" in sure.text
    page = await browser.post(f"/people/{bob.id}/stand", do="block", sure="1", next=f"/people/{bob.id}")
    assert page.address == "/settings/hidden" and bob.handle in page.text
    assert (await browser.get(f"/people/{bob.id}")).status == 404
    assert (await browser.get(f"/@{bob.handle}")).status == 404
    page = await browser.post(f"/people/{bob.id}/stand", do="unblock", next="/settings/hidden")
    assert page.address == "/settings/hidden" and bob.handle not in page.text
    assert (await browser.get(f"/people/{bob.id}")).status == 200


async def test_mute_and_unmute(browser: Browser, bob: Person) -> None:
    page = await browser.post(f"/people/{bob.id}/stand", do="mute")
    assert "You muted them" in page.text and "Unmute" in page.buttons()
    assert "Unmute" in (await browser.get("/settings/hidden")).buttons()
    page = await browser.post(f"/people/{bob.id}/stand", do="unmute")
    assert "Mute" in page.buttons()


async def test_what_cannot_be_done_is_said_on_their_page(browser: Browser, alice: Person) -> None:
    page = await browser.post(f"/people/{alice.id}/stand", do="ask")
    assert page.status == 422 and "That is you" in page.text and "Edit your profile" in page.text
    assert (await browser.post(f"/people/{alice.id}/stand", do="dance")).status == 422


async def test_nobody_is_led_to_another_server(browser: Browser, bob: Person) -> None:
    page = await browser.post(f"/people/{bob.id}/stand", do="mute", next="//evil.example", follow=False)
    assert (page.status, page.location) == (303, "/")


async def test_what_somebody_said_page_by_page(browser: Browser, alice: Person, bob: Person) -> None:
    await alice.befriends(bob)
    for number in range(22):
        await bob.posts(f"word {number:02}")
    page = await browser.get(f"/people/{bob.id}")
    assert "word 21" in page.text and "word 01" not in page.text
    older = page.html.partition('id="older" rel="next" href="')[2].partition('"')[0]
    page = (await browser.get(older)).ok()
    assert "word 01" in page.text and "word 21" not in page.text
    assert (await browser.get(f"/people/{bob.id}?cursor=nonsense")).status == 400


async def test_without_messages_or_friends_the_person_is_still_shown(
    tidings: Whole, browser: Browser, alice: Person, bob: Person
) -> None:
    async with tidings.points.drops("messages/find_messages", viewer=alice.id):
        page = await browser.get(f"/people/{bob.id}")
        assert page.status == 200 and "Messages cannot be reached" in page.text and "Mute" in page.buttons()
    async with tidings.points.drops("friends/get_friend", viewer=alice.id):
        page = await browser.get(f"/people/{bob.id}")
        assert page.status == 200 and "Friendships cannot be reached" in page.text and page.buttons() == []


async def test_oneself(browser: Browser, alice: Person) -> None:
    page = await browser.get(f"/@{alice.handle}")
    assert "Edit your profile" in page.text and page.buttons() == []


# Friends.


async def test_friends_requests_and_who_is_online(tidings: Whole, browser: Browser, alice: Person) -> None:
    page = await browser.get("/friends")
    assert "Nobody yet" in page.text and 'href="/settings#invites"' in page.html
    bob, carol, dana = [await tidings.joins(name) for name in ("Bob", "Carol", "Dana")]
    await alice.befriends(bob)
    (await carol.put(f"/v1/friends/{alice.id}")).ok()
    (await alice.put(f"/v1/friends/{dana.id}")).ok()
    async with listening(bob):
        page = await browser.get("/friends")
        assert f"@{bob.handle} · online" in page.text
    assert page.buttons() == ["Search", "Accept", "Decline", "Take it back", "Mute", "Unfriend"]
    page = await browser.post(f"/people/{carol.id}/stand", do="accept", next="/friends")
    assert page.buttons() == ["Search", "Take it back", "Mute", "Unfriend", "Mute", "Unfriend"]
    page = await browser.post(f"/people/{carol.id}/stand", do="mute", next="/friends")
    assert f"@{carol.handle} · muted" in page.text


async def test_more_friends_than_one_page(tidings: Whole, browser: Browser, alice: Person) -> None:
    await tidings.crowd(alice, 60, say=None)
    page = await browser.get("/friends")
    assert page.html.count('<li><a class="who"') == 50
    older = page.html.partition('id="older" rel="next" href="')[2].partition('"')[0]
    assert (await browser.get(older)).ok().html.count('<li><a class="who"') == 10


async def test_people_are_found_by_name_and_by_handle(
    tidings: Whole, browser: Browser, alice: Person, bob: Person
) -> None:
    zoe = await tidings.joins("Zoe")
    await alice.befriends(bob)
    page = await browser.get(f"/friends?q={zoe.handle[:12]}")
    assert zoe.handle in page.text and page.buttons() == ["Search", "Ask to be friends"]
    page = await browser.get(f"/friends?q=%40{zoe.handle}")
    assert zoe.handle in page.text
    (await zoe.put(f"/v1/friends/{alice.id}")).ok()
    assert (await browser.get(f"/friends?q=%40{zoe.handle}")).buttons() == ["Search", "Accept", "Decline"]
    assert "your friend" in (await browser.get(f"/friends?q=%40{bob.handle}")).text
    assert f"@{alice.handle} · you" in (await browser.get(f"/friends?q=%40{alice.handle}")).text


@pytest.mark.parametrize(
    "q", ["%40", "%40%40%40", "nobody+of+that+name", "%3Ci%3Exyzzy", "xyzzy" * 200, "%40" + "y" * 99]
)
async def test_nobody_is_found_by_nonsense(browser: Browser, q: str) -> None:
    page = await browser.get(f"/friends?q={q}")
    assert page.status == 200 and "Nobody of that name" in page.text and "<i>" not in page.html


async def test_without_friends_the_page_is_still_there(tidings: Whole, browser: Browser, alice: Person) -> None:
    async with (
        tidings.points.drops("friends/list_friends", viewer=alice.id),
        tidings.points.drops("users/find_users", viewer=alice.id),
    ):
        page = await browser.get("/friends")
        assert page.status == 200 and "Friendships cannot be reached" in page.text
        page = await browser.get("/friends?q=bob")
        assert page.status == 200 and "Nobody can be found at the moment" in page.text
    async with tidings.points.drops("friends/list_blocks", viewer=alice.id):
        page = await browser.get("/settings/hidden")
        assert page.status == 200 and "Friendships cannot be reached" in page.text and "Muted" in page.text


async def test_without_presence_nobody_is_online(
    tidings: Whole, browser: Browser, alice: Person, bob: Person
) -> None:
    await alice.befriends(bob)
    async with tidings.points.drops("timeline/get_presence", viewer=alice.id):
        page = await browser.get("/friends")
        assert page.status == 200 and bob.handle in page.text and "online" not in page.text


# What concerns oneself.


async def test_notifications_in_words_lead_on_and_are_marked(
    tidings: Whole, browser: Browser, alice: Person, bob: Person
) -> None:
    assert "Nothing here yet" in (await browser.get("/notifications")).text
    carol, dana, erik = [await tidings.joins(name) for name in ("Carol", "Dana", "Erik")]
    await alice.befriends(bob, carol, dana)
    (await erik.put(f"/v1/friends/{alice.id}")).ok()
    said = await alice.posts(f"Who walks? {HOSTILE}")
    for one in (bob, carol, dana):
        (await one.put(f"/v1/messages/{said['id']}/reactions/🎉")).ok()
    reply = (await bob.post(f"/v1/messages/{said['id']}/replies", {"text": "I do"})).ok()
    mention = await carol.posts("Look, @alice", mentions=[alice.id])

    async def all_there() -> bool:
        text = (await browser.get("/notifications")).text
        return all(words in text for words in ("and 1 other", "replied to you", "mentioned you", "asks to be"))

    await until(all_there)
    page = await browser.get("/notifications")
    assert f'href="/messages/{said["id"]}?at={reply["id"]}#m-{reply["id"]}"' in page.html
    assert f'href="/messages/{said["id"]}"' in page.html and f'href="/messages/{mention["id"]}"' in page.html
    assert 'href="/friends"' in page.html and f'href="/people/{dana.id}"' in page.html
    assert HOSTILE in page.text and HOSTILE not in page.html
    assert page.html.count('class="message unread"') == 7  # 3 acceptances, a request, reactions, a reply, a mention
    page = await browser.post("/notifications", until=page.hidden("until"))
    assert page.address == "/notifications" and 'class="message unread"' not in page.html
    assert "Mark all as read" not in page.buttons()


async def test_a_mark_that_is_no_time_is_refused(browser: Browser) -> None:
    page = await browser.post("/notifications", until="yesterday")
    assert page.status == 422


async def test_notifications_that_cannot_be_reached_are_said_to_be_so(
    tidings: Whole, browser: Browser, alice: Person
) -> None:
    async with tidings.points.drops("notifications/list_notifications", viewer=alice.id):
        page = await browser.get("/notifications")
        assert page.status == 200 and "Nothing is lost" in page.text
    async with tidings.points.drops("notifications/unread", viewer=alice.id):
        page = await browser.get("/notifications")
        assert page.status == 200 and "Notifications cannot be reached" in page.text


async def test_who_is_not_signed_in_is_led_to_sign_in(tidings: Whole) -> None:
    async with browsing(tidings.system.url) as stranger:
        for path in ("/friends", "/notifications", "/settings", "/settings/hidden", "/settings/delete", "/@bob"):
            page = await stranger.get(path)
            assert page.status == 200 and page.address.startswith("/signin?next="), path

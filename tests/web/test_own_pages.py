"""Pages of what is one's own: each section of the settings, and the end of the account."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.harness.people import PASSWORD, Person
from tests.harness.pictures import opened, picture
from tests.harness.system import Whole
from tests.harness.waiting import until
from tests.web.browsing import Browser, Page, browsing

pytestmark = pytest.mark.parametrize("tidings", ["near"], indirect=True)

HOSTILE = "<script>alert(1)</script>"
NEW = "a quite new password"


def _section(page: Page, name: str) -> str:
    """The HTML of one section of the settings."""
    return page.html.partition(f'<section id="{name}"')[2].partition("</section>")[0]


def _problem_is_in(page: Page, name: str) -> bool:
    """Whether what is wrong is said there, and nowhere else."""
    return 'class="problem"' in _section(page, name) and page.html.count('class="problem"') == 1


# The profile.


async def test_the_profile_is_changed_and_hostile_text_is_only_text(browser: Browser, alice: Person) -> None:
    page = await browser.send("/settings/profile", name=f"Alice {HOSTILE}", bio=f"first\r\nsecond {HOSTILE}")
    assert page.status == 200 and page.address.startswith("/settings")
    assert HOSTILE not in page.html and HOSTILE.replace("<", "&lt;").replace(">", "&gt;") in page.html
    profile = (await alice.get("/v1/users/me")).ok()
    assert (profile["name"], profile["bio"]) == (f"Alice {HOSTILE}", f"first\nsecond {HOSTILE}")


async def test_what_was_changed_is_said_in_its_section_and_once(browser: Browser) -> None:
    async def told(page: Page, section: str, words: str) -> None:
        assert page.status == 200 and page.html.count('id="done"') == 1, page.text
        note = _section(page, section).partition('id="done"')[2].partition("</p>")[0]
        assert words in note and 'role="status"' in note

    await told(await browser.send("/settings/profile", name="Ann", bio=""), "profile", "Saved.")
    await told(await browser.post("/settings/preferences", language="", presence="1"), "language", "Saved.")
    form = {"current": PASSWORD, "new": NEW}
    await told(await browser.post("/settings/password", **form), "password", "Your password has been changed.")
    page = await browser.post("/settings/invites", key="a key")
    await told(page, "invites", "Here is a new invite.")
    page = await browser.post("/settings/invites", invite_id=page.hidden("invite_id"))
    await told(page, "invites", "The invite was withdrawn.")
    for path in ("/settings", "/settings?done=<i>", "/settings?done="):
        assert 'id="done"' not in (await browser.get(path)).html


async def test_a_profile_that_is_refused_keeps_what_was_typed(browser: Browser, alice: Person) -> None:
    page = await browser.send("/settings/profile", name=" ", bio="something that I thought about")
    assert page.status == 422 and _problem_is_in(page, "profile")
    assert "1 to 80 characters that can be seen" in page.text and "something that I thought about" in page.text
    page = await browser.send("/settings/profile", name="Still Alice", bio="x" * 501)
    assert page.status == 422 and "at most 500 characters" in page.text and 'value="Still Alice"' in page.html
    page = await browser.send("/settings/profile", name="\u200b", bio="")  # seen by the service alone
    assert page.status == 422 and _problem_is_in(page, "profile")
    assert (await alice.get("/v1/users/me")).ok()["name"] == "Alice"


async def test_a_picture_of_ones_own_and_none_again(browser: Browser, alice: Person) -> None:
    assert "remove_avatar" not in (await browser.get("/settings")).html
    page = await browser.post("/settings/profile", name="Alice", bio="", file=picture(300, 300))
    assert page.status == 200 and "remove_avatar" in page.html
    avatar = (await alice.get("/v1/users/me")).ok()["avatar"]
    assert avatar.startswith("/v1/media/") and f'src="{avatar}"' in page.html
    assert opened((await alice.get(avatar)).raw).format == "WEBP"
    page = await browser.send("/settings/profile", name="Alice", bio="", remove_avatar="1")
    assert "remove_avatar" not in page.html
    assert (await alice.get("/v1/users/me")).ok()["avatar"] == f"/v1/avatars/{alice.id}"


async def test_what_is_no_picture_changes_nothing(browser: Browser, alice: Person) -> None:
    page = await browser.post("/settings/profile", name="Another", bio="", file=b"<svg onload=alert(1)>")
    assert page.status == 415 and _problem_is_in(page, "profile") and 'value="Another"' in page.html
    assert (await alice.get("/v1/users/me")).ok()["name"] == "Alice"


async def test_a_picture_is_waited_for_and_given_up_calmly(
    browser: Browser, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work on a picture takes long: the upload is answered at once, and the looks are few."""
    monkeypatch.setattr("tidings.services.media.actions.uploading.ANSWER_AFTER", 0.0)
    page = await browser.post("/settings/profile", name="Alice", bio="", file=picture(300, 300))
    assert page.status == 200 and "remove_avatar" in page.html
    monkeypatch.setattr("tidings.web.pages.own.LOOKS", 0)
    page = await browser.post("/settings/profile", name="Alicia", bio="", file=picture(300, 300))
    assert page.status == 422 and _problem_is_in(page, "profile")
    assert "Choose it again in a minute" in page.text and 'value="Alicia"' in page.html
    assert (await alice.get("/v1/users/me")).ok()["name"] == "Alice"


# The password.


async def test_a_new_password_ends_other_sessions_and_gives_this_one_a_new_token(
    tidings: Whole, browser: Browser, alice: Person
) -> None:
    before = {one.key: one.value for one in browser.session.cookie_jar}
    page = await browser.post("/settings/password", current=PASSWORD, new=NEW)
    assert page.status == 200 and page.address.startswith("/settings")
    after = {one.key: one.value for one in browser.session.cookie_jar}
    (session,) = [name for name in after if "session" in name]
    assert before[session] != after[session]
    assert (await alice.get("/v1/users/me")).status == 401
    old = await tidings.client.ask("GET", "/v1/users/me", token=before[session])
    assert old.status == 401
    async with browsing(tidings.system.url) as another:
        await another.signs_in(alice, NEW)


@pytest.mark.parametrize(
    ("current", "new", "said"),
    [
        ("nonsense", NEW, "not the password that you have now"),
        (PASSWORD, "short", "at least 8 characters, and not one"),
        (PASSWORD, "password123", "not one that is known to attackers"),
        ("x" * 300, NEW, "not the password that you have now"),
    ],
)
async def test_a_password_that_is_refused(browser: Browser, current: str, new: str, said: str) -> None:
    page = await browser.post("/settings/password", current=current, new=new)
    assert page.status in (403, 422) and _problem_is_in(page, "password") and said in page.text
    assert current not in page.html and f'value="{new}"' not in page.html
    assert (await browser.get("/settings")).status == 200


# Language and presence.


async def test_preferences_are_changed_and_the_marker_stays(browser: Browser, alice: Person) -> None:
    marker = (await alice.posts("hello"))["id"]
    (await alice.put("/v1/users/me/preferences", {"feed_marker": marker})).ok()
    page = await browser.post("/settings/preferences", language="en")
    assert page.status == 200 and '<option value="en" lang="en" selected>' in page.html
    assert 'name="presence" value="1">' in page.html  # not ticked
    kept = (await alice.get("/v1/users/me/preferences")).ok()
    assert kept == {"language": "en", "feed_marker": marker, "presence": False}
    page = await browser.post("/settings/preferences", language="", presence="1")
    kept = (await alice.get("/v1/users/me/preferences")).ok()
    assert kept == {"language": "", "feed_marker": marker, "presence": True}


async def test_a_language_that_is_not_there(browser: Browser) -> None:
    page = await browser.post("/settings/preferences", language="tlh")
    assert page.status == 422 and _problem_is_in(page, "language")
    assert 'name="presence" value="1">' in page.html  # as it was typed


async def test_preferences_that_others_change_meanwhile(tidings: Whole, browser: Browser, alice: Person) -> None:
    """The marker moves between the page's read and its write: both changes are there in the end."""
    marker = (await alice.posts("hello"))["id"]
    async with tidings.points.holds("before users/replace_preferences", viewer=alice.id) as held:
        changing = asyncio.create_task(browser.post("/settings/preferences", language="en", presence="1"))
        await held.reached()
        (await alice.put("/v1/users/me/preferences", {"feed_marker": marker})).ok()
        held.go()
        assert (await changing).status == 200
    kept = (await alice.get("/v1/users/me/preferences")).ok()
    assert kept == {"language": "en", "feed_marker": marker, "presence": True}


# Sessions.


async def test_one_session_is_ended(browser: Browser, alice: Person) -> None:
    page = await browser.get("/settings")
    assert page.text.count("(this one)") == 1
    sessions = (await alice.get("/v1/sessions")).ok()["sessions"]
    (hers,) = [one["id"] for one in sessions if one["current"]]
    page = await browser.post("/settings/sessions", session_id=hers)
    assert page.status == 200 and hers not in page.html
    assert (await alice.get("/v1/users/me")).status == 401
    again = await browser.post("/settings/sessions", session_id=hers)  # it is over already
    assert again.status == 200
    wrong = await browser.post("/settings/sessions", session_id="nonsense")
    assert wrong.status == 422 and _problem_is_in(wrong, "sessions")


async def test_to_end_this_session_signs_out(browser: Browser, alice: Person) -> None:
    sessions = (await alice.get("/v1/sessions")).ok()["sessions"]
    (this,) = [one["id"] for one in sessions if not one["current"]]
    page = await browser.post("/settings/sessions", session_id=this)
    assert page.address == "/" and "Sign in" in page.text
    assert (await alice.get("/v1/users/me")).status == 200


async def test_to_end_all_sessions_is_asked_about_first(browser: Browser, alice: Person) -> None:
    sure = await browser.post("/settings/sessions")
    assert "Sign out everywhere?" in sure.text and sure.hidden("sure") == "1"
    assert (await alice.get("/v1/users/me")).status == 200
    page = await browser.post("/settings/sessions", sure="1")
    assert page.address == "/" and not [one for one in browser.session.cookie_jar if "session" in one.key]
    assert (await alice.get("/v1/users/me")).status == 401


# Invites.


async def test_an_invite_is_made_once_used_and_withdrawn(tidings: Whole, browser: Browser) -> None:
    key = re.findall(r'name="key" value="([^"]+)"', (await browser.get("/settings")).html)[0]
    for _ in range(2):  # sent twice, made once
        page = await browser.post("/settings/invites", key=key)
    links = re.findall(r'readonly value="([^"]+/join\?invite=[^"]+)"', page.html)
    assert len(links) == 1 and links[0].startswith(f"{tidings.system.url}/join?invite=")
    async with browsing(tidings.system.url) as stranger:
        join = (await stranger.get(links[0].removeprefix(tidings.system.url))).ok()
        assert join.hidden("invite") == links[0].partition("invite=")[2]
    invite_id = page.hidden("invite_id")
    page = await browser.post("/settings/invites", invite_id=invite_id)
    assert page.status == 200 and "/join?invite=" not in page.html
    assert (await browser.post("/settings/invites", invite_id=invite_id)).status == 200  # withdrawn already
    wrong = await browser.post("/settings/invites", invite_id="nonsense")
    assert wrong.status == 422 and _problem_is_in(wrong, "invites")


async def test_the_ways_to_the_archive_and_out(browser: Browser) -> None:
    page = await browser.get("/settings")
    assert 'href="/v1/users/me/export"' in page.html and 'href="/settings/delete"' in page.html
    async with browser.session.get(browser.base + "/v1/users/me/export") as response:
        assert response.status == 200 and response.content_type == "application/zip"


# The end of the account.


async def test_the_account_is_deleted_by_its_handle(tidings: Whole, browser: Browser, alice: Person) -> None:
    bob = await tidings.joins("Bob")
    page = (await browser.get("/settings/delete")).ok()
    assert "30 days" in page.text and 'href="/v1/users/me/export"' in page.html
    for wrong in ("", bob.handle, HOSTILE):
        page = await browser.post("/settings/delete", handle=wrong)
        assert page.status == 422 and "That is not your handle." in page.text and HOSTILE not in page.html
    assert (await alice.get("/v1/users/me")).status == 200
    page = await browser.post("/settings/delete", handle=f" @{alice.handle.upper()} ")
    assert page.status == 200 and page.address.startswith("/gone")
    assert not [one for one in browser.session.cookie_jar if "session" in one.key]
    assert (await alice.get("/v1/users/me")).status == 401
    assert (await bob.get(f"/v1/users/{alice.id}")).status == 404


async def test_a_deletion_that_takes_long_is_told_how_it_goes(
    tidings: Whole, browser: Browser, alice: Person
) -> None:
    async with tidings.points.holds("before messages/prepare_removal", viewer=alice.id) as held:
        page = await browser.post("/settings/delete", handle=alice.handle)
        await held.reached()
        assert re.fullmatch(r"/gone\?gid=[0-9a-f]{32}", page.address)
        assert "Your account is being deleted" in page.text and 'http-equiv="refresh" content="2"' in page.html
        held.go()

    async def over() -> bool:
        return "Your account is deleted" in (await browser.get(page.address)).text

    await until(over)
    assert "http-equiv" not in (await browser.get(page.address)).html


async def test_a_deletion_that_comes_to_nothing(tidings: Whole, browser: Browser, alice: Person) -> None:
    async with tidings.points.drops("messages/prepare_removal", viewer=alice.id):
        page = await browser.post("/settings/delete", handle=alice.handle)
    assert page.status == 503 and "Not deleted" in page.text and f'value="{alice.handle}"' in page.html
    assert (await browser.get("/settings")).status == 200 and (await alice.get("/v1/users/me")).status == 200


async def test_a_long_deletion_that_comes_to_nothing(tidings: Whole, browser: Browser, alice: Person) -> None:
    async with tidings.points.holds("after messages/prepare_removal", viewer=alice.id):
        page = await browser.post("/settings/delete", handle=alice.handle)
        assert "Your account is being deleted" in page.text

        async def aborted() -> bool:
            return "Nothing was deleted" in (await browser.get(page.address)).text

        await until(aborted)
    assert (await alice.get("/v1/users/me")).status == 200


async def test_gone_without_an_account(tidings: Whole) -> None:
    async with browsing(tidings.system.url) as stranger:
        assert "Your account is deleted" in (await stranger.get("/gone")).ok().text
        assert (await stranger.get(f"/gone?gid={'0' * 32}")).status == 404
        assert (await stranger.get("/gone?gid=<b>")).status == 422

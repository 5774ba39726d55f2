"""The set-up page: a form while its link is good, and calm words once it is not."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from tests.harness.system import Mode, whole
from tidings.contracts import users
from tidings.platform.contract import Nothing

FORM = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin"}
ADA = {"handle": "ada", "name": "Ada", "password": "correct horse battery"}


@pytest.mark.parametrize("mode", ["near", "wire"])
async def test_a_spent_link_is_told_before_anybody_fills_in_a_form(mode: Mode) -> None:
    async with whole(mode) as tidings:
        ask, operator = tidings.client.ask, tidings.operator
        replaced = (await operator.call(users.set_up_state, Nothing())).link
        good = (await operator.call(users.set_up_state, Nothing())).link
        assert replaced is not None and good is not None

        for _ in range(2):  # looking at it, as previews of links do, does not use it up
            page = await ask("GET", f"/setup?link={good.secret}")
            assert page.status == 200
            assert b"<form" in page.raw
        assert (await ask("HEAD", f"/setup?link={good.secret}")).status == 200
        assert (await operator.call(users.accounts, users.AccountsAsk(after="", limit=10))).accounts == []

        sent = urlencode({"link": good.secret, **ADA}).encode()
        made = await ask("POST", "/setup", data=sent, headers=FORM, allow_redirects=False)
        assert (made.status, made.headers["location"]) == (303, "/")

        pages = [
            *[
                await ask("GET", f"/setup?link={link}")
                for link in (good.secret, replaced.secret, "x" * 43, "y" * 500)
            ],
            await ask("POST", "/setup", data=sent, headers=FORM),  # used while the form was open
        ]
        for page in pages:
            assert page.status == 410, page.raw
            assert page.headers["content-type"].startswith("text/html")
            assert b"<form" not in page.raw
            assert b"tidings users list" in page.raw
            assert b'href="/signin"' in page.raw
            assert b"prints a new link" in page.raw

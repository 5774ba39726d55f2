"""Row 41: an installation as it comes is closed."""

from __future__ import annotations

import ipaddress
import stat

import pytest

from tests.harness.system import Whole
from tidings.contracts import users
from tidings.platform.contract import Nothing
from tidings.platform.settings import load


def test_row_41_loopback_invites_and_no_debugging_by_default() -> None:
    settings = load({}, {}).settings
    assert ipaddress.ip_address(settings.host).is_loopback
    assert settings.signup == "invite"
    assert settings.log_level == "info"
    assert settings.cors_origins == settings.trusted_proxies == ()
    assert settings.points is None
    assert settings.repeat_safe_calls is False
    assert set(settings.allowed_hosts) == {"localhost", "127.0.0.1", "[::1]"}
    assert (settings.argon2_memory_kib, settings.argon2_time) >= (19_456, 2)


async def test_row_41_secrets_are_for_the_owner_alone(tidings: Whole) -> None:
    data = tidings.settings.data
    assert stat.S_IMODE(data.stat().st_mode) & 0o022 == 0
    secret = [
        path
        for path in data.rglob("*")
        if path.is_file()
        and any(word in str(path.relative_to(data)) for word in ("secret", "key", "passw", ".log"))
    ]
    assert secret
    for path in secret:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.parametrize("tidings", ["near"], indirect=True)
async def test_row_41_no_account_and_no_password_come_with_it(tidings: Whole) -> None:
    for handle in ("admin", "administrator", "root", "tidings", "postgres"):
        for password in ("admin", "password", "tidings", "", handle):
            body = {"handle": handle, "password": password}
            answer = await tidings.client.ask("POST", "/v1/sessions", json=body)
            assert answer.status == 401


@pytest.mark.parametrize("tidings", ["near"], indirect=True)
async def test_row_41_the_first_administrator_comes_by_a_link_that_works_once(tidings: Whole) -> None:
    state = await tidings.operator.call(users.set_up_state, Nothing())
    if state.link is None:  # another test has used it
        return
    body = {
        "link": state.link.secret,
        "handle": "first_admin",
        "name": "First",
        "password": "correct horse battery",
    }
    wrong = await tidings.client.ask("POST", "/v1/setup", json={**body, "link": "x" * 43})
    assert (wrong.status, wrong.body["code"]) == (403, "link_spent")


@pytest.mark.parametrize("tidings", ["near"], indirect=True)
async def test_row_41_faults_show_no_traceback(tidings: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = await tidings.joins("Alice")
    process = tidings.system.process
    assert process is not None

    async def breaks(*_: object) -> None:
        raise RuntimeError("a secret of the inside: /etc/passwd")

    monkeypatch.setattr(process.servings["timeline"], "answer", breaks)
    answer = await alice.get("/v1/timeline", traced=True)
    assert (answer.status, answer.body["code"]) == (500, "fault")
    assert answer.body["trace_id"] == answer.trace
    assert b"inside" not in answer.raw
    assert b"Traceback" not in answer.raw

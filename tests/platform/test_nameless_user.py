"""A user who is only a number, as in some containers: the first start says what is missing and runs nothing."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from tidings.platform.data_directory import ExitCode, StartRefused
from tidings.platform.engines import postgres as engine

NAMELESS = 54321


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run as an ordinary user whom /etc/passwd does not know."""

    def unknown(uid: int) -> pwd.struct_passwd:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr("os.geteuid", lambda: NAMELESS)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.mark.usefixtures("nameless")
async def test_the_first_start_of_a_user_without_a_name_is_refused_with_what_to_do(tmp_path: Path) -> None:
    server = engine.EmbeddedPostgres(tmp_path / "data" / "postgres", socket=tmp_path / "run", password="x")

    with pytest.raises(StartRefused) as refused:
        await server.start()

    assert refused.value.exit_code == ExitCode.ENGINE_FAILED
    assert f"uid {NAMELESS} has no entry in /etc/passwd" in refused.value.message
    for way in (f"useradd -u {NAMELESS}", "as root", "--store SERVICE=postgres://"):
        assert way in refused.value.hint
    assert list(tmp_path.iterdir()) == []  # before anything was made or run

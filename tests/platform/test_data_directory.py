"""The data directory: one owner at a time, a format it knows, secrets that nobody else reads."""

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from tidings.platform.data_directory import DataDirectory, ExitCode, StartRefused, write_private

OWNER = textwrap.dedent(
    """
    import subprocess, sys, time
    from pathlib import Path
    from tidings.platform.data_directory import DataDirectory
    data = DataDirectory.open(Path(sys.argv[1]))
    data.announce({"api": "http://127.0.0.1:8470"})
    grandchild = subprocess.Popen(["sleep", "60"], close_fds=False)
    print(grandchild.pid, flush=True)
    time.sleep(60)
    """
)


def test_is_made_private_with_its_format(tmp_path: Path) -> None:
    data = DataDirectory.open(tmp_path / "a" / "data")
    assert stat.S_IMODE(data.path.stat().st_mode) == 0o700
    assert json.loads((data.path / "version.json").read_text()) == {"format": 1}
    data.close()


def test_second_owner_is_refused_by_name_until_the_first_closes(tmp_path: Path) -> None:
    first = DataDirectory.open(tmp_path)
    with pytest.raises(StartRefused, match=str(os.getpid())) as refused:
        DataDirectory.open(tmp_path)
    assert refused.value.exit_code == ExitCode.ALREADY_RUNNING
    assert "--data" in refused.value.hint
    DataDirectory.open(tmp_path, lock=False).close()  # commands that only look may
    first.close()
    DataDirectory.open(tmp_path).close()


def test_kill_9_releases_the_lock_although_a_child_lives_on(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, tmp_path], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    grandchild = int(owner.stdout.readline())
    try:
        assert DataDirectory.running(tmp_path) == {
            "pid": owner.pid,
            "addresses": {"api": "http://127.0.0.1:8470"},
        }
        with pytest.raises(StartRefused, match=str(owner.pid)):
            DataDirectory.open(tmp_path)
        owner.kill()
        owner.wait()
        owner.stdout.close()
        os.kill(grandchild, 0)
        assert DataDirectory.running(tmp_path) is None
        DataDirectory.open(tmp_path).close()
    finally:
        os.kill(grandchild, signal.SIGKILL)


def test_running_says_none_where_no_server_is(tmp_path: Path) -> None:
    assert DataDirectory.running(tmp_path / "absent") is None
    DataDirectory.open(tmp_path).close()
    assert DataDirectory.running(tmp_path) is None


@pytest.mark.parametrize("content", ['{"format": 2}', "{", '{"format": "x"}'])
def test_an_unknown_format_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "version.json").write_text(content)
    with pytest.raises(StartRefused) as refused:
        DataDirectory.open(tmp_path)
    assert refused.value.exit_code == ExitCode.NEWER_VERSION
    assert "--data" in refused.value.hint
    assert not (tmp_path / "lock").exists()


def test_a_full_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartRefused, match="full") as refused:
        DataDirectory.open(tmp_path, room_needed=1 << 60)
    assert refused.value.exit_code == ExitCode.DISK_FULL


def test_a_place_that_is_not_writable_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartRefused, match="file") as refused:
        DataDirectory.open(tmp_path / "file" / "data")
    assert refused.value.exit_code == ExitCode.NOT_WRITABLE


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StartRefused) as refused:
        DataDirectory.open(tmp_path)
    assert refused.value.exit_code == ExitCode.NOT_WRITABLE


def test_a_secret_is_made_once_and_is_private(tmp_path: Path) -> None:
    data = DataDirectory.open(tmp_path)
    made = data.secret("postgres")
    assert len(made) >= 43
    assert data.secret("postgres") == made
    assert data.secret("other") != made
    file = tmp_path / "secrets" / "postgres"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    data.close()
    assert DataDirectory.open(tmp_path, lock=False).secret("postgres") == made
    with pytest.raises(ValueError, match="name"):
        data.secret("../version.json")


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    write_private(tmp_path / "one", b"old")
    with pytest.raises(TypeError):
        write_private(tmp_path / "one", "not bytes")  # type: ignore[arg-type]
    assert (tmp_path / "one").read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [tmp_path / "one"]


def test_sockets_live_in_the_data_directory_when_its_path_is_short() -> None:
    with tempfile.TemporaryDirectory(prefix="t-") as folder:
        data = DataDirectory.open(Path(folder))
        assert data.run == Path(folder) / "run"
        data.close()
        assert data.run.exists()


def test_a_long_path_gets_a_short_socket_folder_of_our_own(tmp_path: Path) -> None:
    data = DataDirectory.open(tmp_path / ("x" * 100))
    assert len(os.fsencode(data.run)) < 60
    assert stat.S_IMODE(data.run.stat().st_mode) == 0o700
    assert DataDirectory.open(data.path, lock=False).run == data.run
    data.run.chmod(0o777)
    with pytest.raises(StartRefused, match="0700"):
        _ = DataDirectory.open(data.path, lock=False).run
    data.close()
    assert not data.run.exists()

"""`tidings up`: what it prints, how it ends, what it survives and what it refuses."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cli.command import Server, ask, joined, ready, refused, until, up


def test_the_card_names_addresses_that_work(server: Server) -> None:
    card = server.card
    assert ready(card["home"])
    assert ask("GET", card["health"])[0] == 200
    for page in ("set_up", "api", "documentation", "metrics"):
        status, body = ask("GET", card[page])
        assert (status, bool(body)) == (200, True), page
    assert ask("GET", card["api"] + "/users/me")[0] == 401
    assert Path(card["data"]).is_dir()
    assert all(psutil.pid_exists(pid) for pid in card["pids"].values())


def test_the_card_for_people_fits_a_screen_and_says_how_to_stop(new_data: Path) -> None:
    server = Server("up", "--data", new_data)
    try:
        assert server.process.stdout is not None
        lines: list[str] = []
        while not lines or "set-up address once" not in lines[-1]:
            lines.append(server.process.stdout.readline())
            assert lines[-1], server.errors
        card = "".join(lines)
        assert re.search(r"Tidings runs \(ready in \d+\.\d s, on this machine only\)", card)
        for name in ("set-up", "pages", "API", "API documentation", "health", "data", "stop"):
            assert re.search(rf"^  {name} +\S", card, re.MULTILINE), card
        assert f"kill {server.process.pid}" in card
        assert len(lines) < 20
        assert server.stop(signal.SIGINT) == 0
        assert "First start: making the databases ..." in server.errors
        assert f"The data is in {new_data}" in server.errors
    finally:
        server.close()


def test_what_was_acknowledged_survives_a_stop_and_a_kill(data: Path) -> None:
    with up(data) as first:
        token = joined(first.url, "ada")
        assert ask("POST", f"{first.url}/v1/messages", {"text": "before the stop"}, token)[0] == 201
        assert first.stop(signal.SIGINT) == 0

    with up(data) as second:
        # From the command to /readyz: under 4 s on a machine that does nothing else, twice that beside others.
        # Under 2 s when nothing else runs; this one only finds what is far off, on a machine that is in use.
        assert second.card["seconds"] < 20
        assert time.monotonic() - second.began < 20
        assert ask("POST", f"{second.url}/v1/messages", {"text": "before the kill"}, token)[0] == 201
        orphans = second.family()
        second.kill(signal.SIGKILL)

        with up(data) as third:  # at once
            assert said_by(third, token) == ["before the kill", "before the stop"]
            assert psutil.wait_procs(orphans, timeout=5)[1] == []
            assert third.stop(signal.SIGTERM) == 0


def test_apart_a_killed_service_and_a_killed_supervisor_leave_nothing_behind(data: Path) -> None:
    with up(data, "--apart") as first:
        assert set(first.card["pids"]) == {
            "tidings",
            "postgres",
            "valkey",
            "nats",
            "users",
            "friends",
            "messages",
            "media",
            "notifications",
            "timeline",
            "web",
            "edge",
        }
        token = joined(first.url, "grace")
        os.kill(first.card["pids"]["messages"], signal.SIGKILL)
        first.says("The process messages ended (status -9) and was restarted.")
        assert ask("POST", f"{first.url}/v1/messages", {"text": "before the kill"}, token)[0] == 201
        orphans = first.family()
        first.kill(signal.SIGKILL)

        with up(data, "--apart") as second:
            assert said_by(second, token) == ["before the kill"]
            assert psutil.wait_procs(orphans, timeout=5)[1] == []
            assert second.stop(signal.SIGINT) == 0


def said_by(server: Server, token: str) -> list[str]:
    """The texts in the feed of who holds the token, newest first."""
    status, said = ask("GET", f"{server.url}/v1/feed", token=token)
    assert status == 200, said
    return [item["message"]["text"] for item in said["items"]]


def test_a_killed_postgres_comes_back_with_all_that_was_acknowledged(data: Path) -> None:
    with up(data) as server:
        token = joined(server.url, "edith")
        assert ask("POST", f"{server.url}/v1/messages", {"text": "kept"}, token)[0] == 201
        killed = server.card["pids"]["postgres"]
        os.kill(killed, signal.SIGKILL)
        server.says("PostgreSQL ended (status -9) and was restarted.")
        until(lambda: ready(server.url), server)
        assert ask("POST", f"{server.url}/v1/messages", {"text": "and on"}, token)[0] == 201
        assert said_by(server, token) == ["and on", "kept"]
        assert not psutil.pid_exists(killed)
        assert server.stop() == 0


def test_a_postgres_that_cannot_come_back_stops_everything_with_a_message(data: Path) -> None:
    with up(data) as server:
        family = server.family()
        version = data / "postgres" / "PG_VERSION"
        version.write_text("17\n")
        os.kill(server.card["pids"]["postgres"], signal.SIGKILL)
        assert server.process.wait(30) == 7
        assert "An engine ended, and cannot be started again: " in server.errors
        assert "was made by PostgreSQL 17" in server.errors
        assert "Mend that, and start it again." in server.errors
        assert psutil.wait_procs(family, timeout=5)[1] == []
        version.write_text("18\n")


def test_a_signal_during_the_start_leaves_nothing(data: Path) -> None:
    server = Server("up", "--data", data)
    try:
        until(lambda: (data / "run").exists() and len(server.family()) > 1, server)
        assert server.stop(signal.SIGINT) == 130
        assert "Stopped before it was ready." in server.errors
    finally:
        server.close()


def test_it_listens_on_loopback_only(server: Server) -> None:
    listening = {
        connection.laddr.ip
        for process in server.family()
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}
    assert not [c for p in server.family() for c in p.net_connections(kind="udp")]


def test_a_second_one_on_the_same_data_is_refused(server: Server) -> None:
    said = refused("up", "--data", server.card["data"], code=3)
    assert f"already runs on {server.card['data']} (process {server.process.pid})" in said
    assert f"kill {server.process.pid}" in said
    assert ready(server.url)


def test_a_taken_port_is_named(data: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refused("up", "--data", data, "--port", port, code=9)
        assert f"Port {port} on 127.0.0.1" in said
        assert "--port N" in said
        assert "--metrics-port N" in refused("up", "--data", data, "--metrics-port", port, code=9)
        new = tmp_path / "not" / "yet"
        assert f"Port {port}" in refused("up", "--data", new, "--port", port, code=9)
        assert f"Port {port}" in refused("up", "--data", new, "--metrics-port", port, code=9)
        assert list(tmp_path.iterdir()) == []  # nothing was made for a start that could not be


def test_data_of_a_newer_version_is_left_alone(data: Path) -> None:
    file = data / "version.json"
    ours = file.read_text()
    file.write_text(json.dumps({"format": 99}))
    said = refused("up", "--data", data, code=4)
    file.write_text(ours)
    assert "newer Tidings" in said
    assert "Install that version" in said


def test_two_copies_run_side_by_side(server: Server, data: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with up(data, "--port", port, TIDINGS_METRICS_PORT="0") as other:
        assert other.url == f"http://127.0.0.1:{port}"
        assert other.card["data"] == str(data)
        joined(other.url, "only_there")
        _, said = ask("GET", f"{server.url}/v1/users?handle=only_there", token=joined(server.url, "only_here"))
        assert said["users"] == []
        assert other.stop() == 0


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 32 MB."""
    if os.geteuid() != 0:
        pytest.skip("a small disk to fill is a mount, which needs root")
    folder = Path(tempfile.mkdtemp(prefix="tidings-disk-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m", "tidings", folder], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        folder.rmdir()
        pytest.skip("a small disk to fill is a mount, which is not allowed here")
    yield folder
    subprocess.run(["umount", folder], check=True)
    folder.rmdir()


def test_a_full_disk_is_named(small_disk: Path) -> None:
    said = refused("up", "--data", small_disk / "data", code=5)
    assert f"The disk that holds {small_disk}/data is full" in said
    assert "another place with --data" in said

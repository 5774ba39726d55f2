"""`tidings run`: every service and the edge in a process of its own, on one data folder and another's database."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cli.command import Server, ask, facts, joined, ready, refused, until
from tidings.platform.engines.postgres import EmbeddedPostgres

SERVICES = ("users", "friends", "messages", "media", "notifications", "timeline", "web")


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tidings-cli-") as folder:
        yield Path(folder)


@pytest.fixture
async def topology(folder: Path, postgres: EmbeddedPostgres) -> Path:
    """A file that places every database on a server that is not ours to start."""
    path = folder / "fleet.toml"
    stores = [
        f'[services.{name}]\nstore = "{await postgres.provision(f"fleet_{name}", "secret")}"\n'
        for name in SERVICES
        if name not in ("timeline", "web")
    ]
    path.write_text("\n".join(stores))
    return path


def test_a_fleet_of_single_processes_works_and_refuses_a_double(folder: Path, topology: Path) -> None:
    where = ("--data", folder / "data", "--topology", topology)
    with ExitStack() as stack:
        fleet = {}
        for name in (*SERVICES, "edge"):
            fleet[name] = Server("run", name, *where)
            stack.callback(fleet[name].close)
        for name, server in fleet.items():
            server.says(f"{name} runs at ")
        report = facts("doctor", *where)
        assert report["healthy"], report
        (running,) = [one["detail"] for one in report["findings"] if one["link"] == "running"]
        url = running.partition("; ")[2]
        until(lambda: ready(url), fleet["edge"])
        token = joined(url, "ada")
        assert ask("POST", f"{url}/v1/messages", {"text": "hello"}, token)[0] == 201
        assert ask("GET", f"{url}/v1/timeline", token=token)[0] == 200
        assert [one["handle"] for one in facts("users", "list", "--data", folder / "data")["accounts"]] == ["ada"]

        said = refused("run", "users", *where, code=3)
        assert f"users already runs on this data directory (process {fleet['users'].process.pid})." in said

        assert fleet["friends"].stop() == 0
        status, problem = ask("GET", f"{url}/v1/timeline", token=token)
        assert (status, "friends" in problem["detail"]) == (503, True)
        again = Server("run", "friends", *where)
        stack.callback(again.close)
        again.says("friends runs at ")
        assert ask("GET", f"{url}/v1/timeline", token=token)[0] == 200

        for server in (*(fleet[name] for name in SERVICES if name != "friends"), again, fleet["edge"]):
            assert server.stop() == 0
    assert "Nothing runs on" in refused("users", "list", "--data", folder / "data", code=11)


def test_without_its_database_it_says_what_to_do(folder: Path) -> None:
    said = refused("run", "users", "--data", folder / "data", code=11)
    assert "The embedded PostgreSQL of" in said
    assert "--store users=" in said
    said = refused(
        "run", "users", "--data", folder / "data", "--store", "users=postgres://u:pw@127.0.0.1:1/u", code=11
    )
    assert "does not answer" in said
    assert "pw" not in said


def test_an_unknown_service_is_named(folder: Path) -> None:
    assert "Choose one of users, friends, messages, media, notifications, timeline, web, edge." in refused(
        "run", "mesages", "--data", folder / "data", code=2
    )

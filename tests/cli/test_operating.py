"""doctor, config, users, docs and help: what an operator asks, and what they are told."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from tests.cli.command import (
    COMMAND,
    PASSWORD,
    Server,
    ask,
    environment,
    facts,
    joined,
    refused,
    run_apart,
    tidings,
    up,
)
from tidings.platform.settings import KEYS, flag_name


def test_doctor_finds_a_running_system_healthy_and_small(server: Server) -> None:
    report = facts("doctor", "--data", server.card["data"])
    assert report["healthy"], report
    links = {finding["link"] for finding in report["findings"]}
    assert links >= {"service users", "service timeline", "database messages", "public listener", "clock", "disk"}
    assert {link for link in links if link.startswith("events")} == {
        "events of friends",
        "events of media",
        "events of notifications",
    }
    names = {share["name"] for share in report["memory"]["processes"]}
    assert {"tidings", "postgres"} <= names
    assert any(name.startswith("postgres: tidings_users") for name in names)
    assert 50 < report["memory"]["megabytes"] < 350


def test_what_was_set_aside_and_what_is_in_doubt_can_be_asked(server: Server) -> None:
    where = ("--data", server.card["data"])
    assert tidings("events", "list", *where).stdout == "Nothing was set aside.\n"
    assert facts("events", "list", *where) == {"events": []}
    for action in ("show", "replay"):
        missing = tidings("events", action, str(uuid4()), *where)
        assert missing.returncode, missing.stdout
        assert "was set aside" in missing.stderr, missing.stderr
    assert "Nothing is in doubt." in tidings("twophase", "list", *where).stdout
    wrong = tidings("twophase", "show", "nonsense", *where)
    assert wrong.returncode == 2
    assert "'nonsense' is no id of a transaction" in " ".join(wrong.stderr.replace("│", " ").split())


def test_the_installed_command_says_it_in_words(server: Server) -> None:
    done = run_apart("doctor", "--data", server.card["data"])
    assert done.returncode == 0, done.stderr
    assert "Healthy." in done.stdout
    assert "350 MB is the idle budget" in done.stdout


def test_doctor_where_nothing_runs(tmp_path: Path) -> None:
    done = tidings("doctor", "--data", tmp_path / "nothing")
    assert done.returncode == 11
    assert f"tidings up --data {tmp_path / 'nothing'}" in done.stdout


def test_doctor_names_the_broken_link(data: Path) -> None:
    with up(data) as server:
        os.kill(server.card["pids"]["postgres"], signal.SIGSTOP)
        try:
            done = tidings("doctor", "--data", data, "--json")
        finally:
            os.kill(server.card["pids"]["postgres"], signal.SIGCONT)
        assert done.returncode == 13, done.stderr
        broken = {one["link"]: one for one in json.loads(done.stdout)["findings"] if one["state"] == "broken"}
        assert broken.keys() >= {"database users", "database messages"}
        assert all(one["mend"] for one in broken.values())
        (data / "secrets" / "root").chmod(0o644)
        done = tidings("doctor", "--data", data)
        assert done.returncode == 13
        assert "chmod -R go= " in done.stdout
        assert server.stop() == 0


def test_config_shows_every_setting_with_its_origin(tmp_path: Path) -> None:
    (tmp_path / "tidings.toml").write_text('log_level = "debug"\nsession_days = 7\n')
    topology = tmp_path / "fleet.toml"
    topology.write_text('[services.friends]\nstore = "postgres://friends:hidden@db/friends"\n')
    shown = facts("config", "show", "--origin", "--data", tmp_path, "--session-days", 9, "--topology", topology)
    rows = {row["name"]: row for row in shown["settings"]}
    assert (rows["log_level"]["value"], rows["log_level"]["origin"]) == (
        "debug",
        f"file {tmp_path / 'tidings.toml'}",
    )
    assert (rows["session_days"]["value"], rows["session_days"]["origin"]) == ("9", "flag --session-days")
    assert rows["signup"]["origin"] == "env TIDINGS_SIGNUP"
    assert rows["host"]["origin"] == "default"
    assert all(row["description"] for row in rows.values())
    stores = {row["service"]: row["store"] for row in shown["services"]}
    assert stores["friends"] == "postgres://friends:***@db/friends"
    assert "hidden" not in json.dumps(shown)
    table = tidings("config", "show", "--origin", "--data", tmp_path).stdout
    assert "env TIDINGS_SIGNUP" in table
    assert "origin" not in tidings("config", "show", "--data", tmp_path).stdout.splitlines()[0]


def test_config_says_that_a_running_server_may_have_others(server: Server, tmp_path: Path) -> None:
    shown = tidings("config", "show", "--data", server.card["data"], "--session-days", 9).stdout
    (told,) = [line for line in shown.splitlines() if "not necessarily those of the server" in line]
    assert f"(process {server.process.pid})" in told
    assert facts("config", "show", "--data", server.card["data"])["running_pid"] == server.process.pid
    assert "process" not in tidings("config", "show", "--data", tmp_path).stdout.splitlines()[-1].split()
    assert facts("config", "show", "--data", tmp_path)["running_pid"] is None
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_has_enough_is_nobodys_mistake(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [*COMMAND, "config", "show", "--data", tmp_path]
    done = subprocess.run(command, env=environment(), stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("up", "--prot", "9"), "--port"),
        (("up", "stray"), "`tidings up --help`"),
        (("up", "--port", "abc"), "Example: --port 8470"),
        (("up", "--log-level", "loud"), "expected one of debug, info, warning, error"),
        (("demo", "load", "--generate", "1"), "greater than or equal to 2"),
        (("demo", "timeline", "@ada", "--limit", "many"), "`tidings demo timeline --help`"),
        (("demo", "laod"), "Did you mean 'load'?"),
        (("up", "--store", "friends"), "names no URL"),
        (("up", "--store", "freinds=postgres://db/x"), "'friends'"),
    ],
)
def test_wrong_usage_names_what_is_right(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    told = refused(*arguments, "--data", tmp_path / "data", code=2)
    assert said in told
    assert told.startswith("tidings: ")  # one style for every problem: no box, no usage above it
    assert len(told.splitlines()) <= 2


def test_an_option_without_its_value_and_a_missing_argument_are_told_in_the_same_style() -> None:
    assert "'--log-level' requires an argument" in refused("up", "--log-level", code=2)
    assert "Missing argument '@HANDLE'" in refused("users", "suspend", code=2)


@pytest.mark.parametrize("command", [("up",), ("doctor",), ("users", "list"), ("config", "show")])
def test_a_file_is_no_data_directory(tmp_path: Path, command: tuple[str, ...]) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    said = refused(*command, "--data", file, code=2)
    assert f"{file} is a file" in said
    assert "Name a folder with --data" in said
    assert file.read_text() == "mine"


@pytest.mark.parametrize("command", [("up",), ("run",), ("config", "show")])
def test_help_lists_every_setting_as_an_option(command: tuple[str, ...]) -> None:
    said = tidings(*command, "--help", COLUMNS="200").stdout
    for key in KEYS:
        assert f" {flag_name(key)} " in said, key
    lines = {line.split()[1]: line for line in said.splitlines() if " --" in line and "VALUE" in line}
    assert "Milliseconds a writer waits for a row. Default: 250" in lines["--lock-timeout-ms"]
    assert "Default: localhost, 127.0.0.1, [::1]" in lines["--allowed-hosts"]
    assert "Default" not in lines["--public-url"]
    assert "Default: your user data folder" in lines["--data"]  # for any user, also one without a home


def test_the_operator_changes_accounts(server: Server) -> None:
    where = ("--data", server.card["data"])
    token = joined(server.url, "grace")
    me = f"{server.url}/v1/users/me"
    assert tidings("users", "suspend", "@grace", *where).stdout == "@grace is suspended.\n"
    assert ask("GET", me, token=token)[0] == 401
    (grace,) = [one for one in facts("users", "list", *where)["accounts"] if one["handle"] == "grace"]
    assert grace["suspended"]
    assert tidings("users", "reinstate", "grace", *where).returncode == 0

    link = facts("users", "reset-link", "@grace", *where)["address"]
    assert link.startswith(f"{server.url}/reset?link=")
    assert ask("GET", link)[0] == 200
    secret = link.partition("?link=")[2]
    reset = {"link": secret, "password": f"new {PASSWORD}"}
    assert ask("POST", f"{server.url}/v1/password-resets", reset)[0] == 204

    assert facts("users", "admin", "@grace", *where)["role"] == "administrator"
    assert "last administrator" in refused("users", "suspend", "@grace", *where, code=12)
    invite = tidings("users", "invite", *where)
    assert invite.stdout.startswith(f"{server.url}/join?invite=")
    assert ask("GET", invite.stdout.strip())[0] == 200
    assert "There is no @nobody_here" in refused("users", "admin", "@nobody_here", *where, code=12)


def test_documents_come_from_the_code_alone(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        assert tidings("docs", "write", tmp_path / folder).returncode == 0
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two
    assert json.loads(one["openapi.json"])["openapi"] == "3.1.0"
    chart = one["map.md"].decode()
    assert 'timeline -->|"latest_by_authors<br>page_by_authors<br>register_cache"| messages' in chart
    for service in ("users", "friends", "messages", "media", "notifications", "timeline", "web", "edge"):
        assert f"| **{service}** |" in chart
    assert 'web -->|"3 routes"| timeline' in chart
    assert re.search(r'edge -->\|"\d\d pages"\| web', chart)
    api, pages = chart.partition("## Public routes")[2].partition("## Events")[0].split("## Pages")
    assert "`/v1/timeline`" in api and "| web |" not in api
    assert "`/settings`" in pages and "`/v1/" not in pages


def test_help_shows_an_example_for_every_command_and_the_exit_codes() -> None:
    commands = [
        ("up",), ("run",), ("doctor",), ("help",), ("config", "show"), ("docs", "write"),
        *(("users", name) for name in ("list", "invite", "suspend", "reinstate", "reset-link", "admin")),
        *(("media", name) for name in ("usage", "prune")),
        *(("demo", name) for name in ("load", "timeline", "signin")),
    ]  # fmt: skip
    for command in commands:
        said = tidings(*command, "--help")
        assert said.returncode == 0
        assert "Example: " in said.stdout, command
    listed = facts("help", "exit-codes")
    assert listed["3"] == "Tidings already runs on this data directory"
    assert {"0", "2", "4", "5", "7", "9", "11", "12", "13", "14"} <= set(listed)

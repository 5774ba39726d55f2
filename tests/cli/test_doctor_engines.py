"""doctor shows which engine keeps whose data, how large and how well it is, and asks each as its own service."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import nats
import pytest

from tests.cli.command import Server, facts, joined, refused, run_apart, tidings, until, up
from tests.cli.conftest import own_folder
from tests.harness.made import copy
from tests.harness.mongod import runs_mongod
from tests.harness.pictures import picture
from tests.harness.seaweed import seaweed, weed
from tidings import everything
from tidings.cli.doctor import _process
from tidings.cli.doctor_blobs import about_blobs
from tidings.cli.doctor_bus import about_bus
from tidings.cli.doctor_valkey import about_valkey
from tidings.cli.memory import Memory
from tidings.platform.engines.mongod import EmbeddedMongod
from tidings.platform.engines.nats import NATS, EmbeddedNats
from tidings.platform.engines.postgres import EmbeddedPostgres
from tidings.platform.engines.server import free_port, installed
from tidings.platform.engines.valkey import EmbeddedValkey
from tidings.platform.settings import Settings
from tidings.platform.storage.inspection import Inspected, inspect
from tidings.platform.storage.migrations import ServiceDatabase

DEAD = "127.0.0.1:1"
NO_MEMORY = Memory(processes=[], megabytes=0.0, incomplete=False)


@pytest.fixture(scope="module")
def mixed(made_data: Path) -> Iterator[Server]:
    """A running server whose messages are in MongoDB. A test that breaks something mends it."""
    runs_mongod()
    with own_folder() as folder, up(copy(made_data, folder / "data"), "--store", "messages=mongodb") as running:
        yield running
        assert running.stop() == 0


def rows(report: Any) -> dict[str, Any]:
    return {one["link"]: one for one in report["findings"] if one["engine"] is not None}


def engines(report: Any) -> dict[str, tuple[str, str]]:
    """Name and place by link."""
    return {link: (one["engine"]["name"], one["engine"]["where"]) for link, one in rows(report).items()}


def found_broken(server: Server) -> dict[str, Any]:
    """What doctor finds broken, and it finds something; what holds data alone.

    In a process of its own: MongoDB's driver leaves a socket open when it is closed while it connects.
    """
    done = run_apart("doctor", "--data", server.card["data"], "--json")
    assert done.returncode == 13, done.stdout
    return {link: one for link, one in rows(json.loads(done.stdout)).items() if one["state"] != "ok"}


@contextmanager
def stopped(server: Server, *names: str) -> Iterator[None]:
    """These engines hang within the block; afterwards all are well again."""
    for name in names:
        os.kill(server.card["pids"][name], signal.SIGSTOP)
    try:
        yield
    finally:
        for name in names:
            os.kill(server.card["pids"][name], signal.SIGCONT)
        until(lambda: run_apart("doctor", "--data", server.card["data"]).returncode == 0, server)


# A whole system.


def test_each_service_has_a_row_with_its_engine(server: Server) -> None:
    report = facts("doctor", "--data", server.card["data"])
    assert {link.rpartition(" ")[2] for link in rows(report)} >= set(everything.SERVICES)
    for name in sorted(everything.SERVICES.keys() - everything.STORELESS):
        one = rows(report)[f"database {name}"]
        assert (one["state"], one["engine"]["name"], one["engine"]["where"]) == ("ok", "PostgreSQL", "embedded")
        assert one["engine"]["version"].startswith("18.")
        assert 4_000_000 < one["engine"]["bytes"] < 100_000_000
    assert engines(report)["caches of timeline"] == ("memory", "its process")
    assert engines(report)["blobs media"] == ("files", "embedded")
    bus, valkey = rows(report)["bus"], rows(report)["temporary data"]
    assert (bus["state"], valkey["state"]) == ("ok", "ok")
    assert (bus["engine"]["name"], bus["engine"]["version"].split(".")[0]) == ("NATS", "2")
    assert bus["engine"]["bytes"] is not None
    assert "streams" in bus["detail"]
    assert (valkey["engine"]["name"], valkey["engine"]["version"].split(".")[0]) == ("Valkey", "9")
    assert 1_000_000 < valkey["engine"]["bytes"] < 100_000_000


def test_people_see_the_same_in_a_table(server: Server) -> None:
    shown = tidings("doctor", "--data", server.card["data"]).stdout
    (friends,) = [line for line in shown.splitlines() if "database friends" in line]
    assert friends.split()[:4] == ["ok", "database", "friends", "PostgreSQL"]
    assert " MB " in friends
    assert " embedded " in friends
    kept = [path.read_text().strip() for path in (Path(server.card["data"]) / "secrets").iterdir()]
    assert not any(secret in shown for secret in kept)


def test_messages_in_mongodb_need_no_option_to_be_found(mixed: Server) -> None:
    report = facts("doctor", "--data", mixed.card["data"])
    one = rows(report)["database messages"]
    assert (one["state"], one["engine"]["name"], one["engine"]["where"]) == ("ok", "MongoDB", "embedded")
    assert one["engine"]["version"].startswith("6.0.")
    assert 0 < one["engine"]["bytes"] < 100_000_000
    assert engines(report)["database users"] == ("PostgreSQL", "embedded")


def test_a_store_that_the_server_does_not_use_is_not_looked_into(mixed: Server) -> None:
    other = "messages=postgres://me:hunter2@db-9/messages"
    done = tidings("doctor", "--data", mixed.card["data"], "--store", other, "--json")
    one = rows(json.loads(done.stdout))["database messages"]
    assert (one["state"], one["engine"]["name"], one["engine"]["where"]) == ("warning", "MongoDB", "mongodb")
    assert "--store" in one["mend"]
    assert "hunter2" not in done.stdout


def test_engines_that_hang_are_named_with_what_to_do(mixed: Server) -> None:
    with stopped(mixed, "mongodb", "nats", "valkey"):
        broken = found_broken(mixed)
        shown = run_apart("doctor", "--data", mixed.card["data"]).stdout
    assert broken.keys() == {"database messages", "bus", "temporary data"}
    assert broken["database messages"]["detail"] == "cannot be reached: no answer within 3 s"
    assert broken["bus"]["detail"] == broken["temporary data"]["detail"] == "does not answer: nothing came in time"
    for link, log in (("database messages", "mongodb"), ("bus", "nats"), ("temporary data", "valkey")):
        assert f"logs/{log}.log" in broken[link]["mend"]
        assert f"{link}: {broken[link]['detail']}\n  -> {broken[link]['mend']}" in shown
    assert "events for other processes wait in their outboxes" in broken["bus"]["mend"]
    assert broken["temporary data"]["state"] == "warning"  # nothing is wrong without it
    assert {one["engine"]["bytes"] for one in broken.values()} == {None}


def test_each_engine_is_asked_with_that_services_own_password(mixed: Server) -> None:
    folder = Path(mixed.card["data"]) / "secrets"
    asked_with = {
        "postgres-friends": "database friends",
        "mongodb-messages": "database messages",
        "nats-tidings": "bus",
        "valkey-edge": "temporary data",
    }
    kept = {name: (folder / name).read_bytes() for name in asked_with}
    try:
        for name in asked_with:
            (folder / name).write_bytes(b"another\n")
        broken = found_broken(mixed)
    finally:
        for name, content in kept.items():
            (folder / name).write_bytes(content)
    assert broken.keys() == set(asked_with.values())
    for link, one in broken.items():
        assert "does not take the user" in one["detail"], link
        assert "`secrets`" in one["mend"], link


def test_pictures_in_a_bucket_have_a_row_of_their_own(made_data: Path) -> None:
    if (why := weed()) is not None:
        pytest.skip(why)
    with own_folder() as folder, own_folder() as objects, seaweed(objects) as bucket:
        topology = folder / "fleet.toml"
        topology.write_text(f'[services.media]\nblobs = "{bucket.url}"\n')
        with up(copy(made_data, folder / "data"), "--topology", topology) as server:
            where = ("--data", server.card["data"])
            upload(server.url, joined(server.url, "ada"))
            until(lambda: rows(facts("doctor", *where))["blobs media"]["engine"]["bytes"], server)
            one = rows(facts("doctor", *where))["blobs media"]
            assert (one["state"], one["detail"]) == ("ok", "1 picture")
            assert one["engine"]["name"] == "S3"
            assert one["engine"]["where"] == bucket.url.replace(bucket.secret, "***")
            bucket.process.kill()
            bucket.process.wait()
            away = found_broken(server)
            assert away.keys() == {"blobs media"}
            assert "media cannot reach it" in away["blobs media"]["detail"]
            assert "Start that S3 server" in away["blobs media"]["mend"]
            assert bucket.secret not in json.dumps(away)


def upload(url: str, token: str) -> None:
    content = picture()
    form = (
        b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + content + b"\r\n--x--\r\n"
    )
    headers = {"content-type": "multipart/form-data; boundary=x", "authorization": f"Bearer {token}"}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/v1/media", form, headers), timeout=30) as answer:
        assert answer.status in {201, 202}


async def test_who_waits_for_a_bucket_that_hangs_is_alive_and_late(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while b"livez" in await reader.readuntil(b"\r\n\r\n"):
                said = json.dumps({"now_ns": time.time_ns()}).encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(said), said))
            await reader.read()  # it asks what we reach, and gives up
        finally:
            writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        reaching: dict[str, bool | None] = {}
        address = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        (found,) = await _process(address, ["media"], reaching)
    assert (found.state, reaching) == ("broken", {"media": None})
    assert "is alive, and does not say in time" in found.detail
    blobs = await about_blobs("s3://key:***@host/bucket", Settings(data=tmp_path), reaches=None)
    assert (blobs.state, "in time" in blobs.detail) == ("warning", True)


# One engine at a time.


def kept_at(dsn: str, service: str = "friends") -> ServiceDatabase:
    kind = everything.SERVICES[service]
    assert kind.migrations is not None
    return ServiceDatabase(service, dsn, kind.migrations, kind.documents)


async def looked_into(dsn: str, service: str = "friends") -> Inspected:
    return (await inspect([kept_at(dsn, service)]))[service]


async def test_the_size_of_a_database_is_what_it_takes_with_indexes(postgres: EmbeddedPostgres) -> None:
    dsn = await postgres.provision(f"doctor_{secrets.token_hex(4)}", "secret")
    before = await looked_into(dsn)
    assert before.revision is None  # nothing was made there
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("create table grown as select repeat('x', 1000) from generate_series(1, 5000)")
        after = await looked_into(dsn)
        assert after.bytes == await connection.fetchval("select pg_database_size(current_database())")
    finally:
        await connection.close()
    assert before.bytes is not None
    assert after.bytes is not None
    assert 5_000_000 < after.bytes - before.bytes < 10_000_000


async def test_why_a_postgresql_cannot_be_read_is_said_in_words(postgres: EmbeddedPostgres) -> None:
    name = f"doctor_{secrets.token_hex(4)}"
    good = await postgres.provision(name, "secret")
    await postgres.provision(f"{name}_other", "secret")
    assert (await looked_into(good)).problem is None
    ways = {
        f"postgres://a:b@{DEAD}/x": ("away", "nothing listens there"),
        good.replace("host=", f"host={tempfile.gettempdir()}/nowhere"): ("away", "nothing listens there"),
        "postgres://a:b@nowhere.invalid/x": ("away", "no machine of that name"),
        good.replace("secret", "guess"): ("entry", "user and password"),
        good.replace(f"/{name}?", f"/{name}_other?"): ("entry", "does not let"),
        good.replace(f"/{name}?", "/nothing_here?"): ("missing", "no database of that name"),
    }
    for dsn, (trouble, words) in ways.items():
        state = await looked_into(dsn)
        assert state.trouble == trouble, (dsn, state)
        assert state.problem is not None
        assert words in state.problem, (dsn, state)
        assert "secret" not in state.problem


async def test_why_a_mongodb_cannot_be_read_is_said_in_words(mongod: EmbeddedMongod) -> None:
    service = "messages"
    name = f"doctor_{secrets.token_hex(4)}"
    good = (await mongod.provision_all({name: "secret"}))[name]
    state = await looked_into(good, service)
    assert (state.problem, state.revision, state.engine) == (None, None, "MongoDB")
    assert (await looked_into(good, service)).bytes == 0  # asking makes nothing
    for dsn, trouble, words in (
        ("mongodb://a:b@nowhere.invalid/x?directConnection=true", "away", "no machine of that name"),
        (good.replace("secret", "guess"), "entry", "user and password"),
        (good.replace(f"/{name}?", "/other?authSource=" + name + "&"), "entry", "does not let"),
        (good.replace("directConnection=true", f"replicaSet=another&authSource={name}"), "other", "another name"),
    ):
        state = await looked_into(dsn, service)
        assert state.trouble == trouble, (dsn, state)
        assert state.problem is not None
        assert words in state.problem, (dsn, state)
        assert "secret" not in state.problem


def test_where_no_mongodb_listens_its_service_says_so(new_data: Path) -> None:
    store = f"messages=mongodb://me:hunter2@{DEAD}/messages"
    said = refused("run", "messages", "--data", new_data, "--store", store, code=11)
    assert "does not answer: nothing listens there" in said
    assert "hunter2" not in said


@pytest.fixture
async def folder() -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tidings-test-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


async def test_the_size_of_the_bus_is_its_streams(folder: Path) -> None:
    all_of_it = {"publish": [">"], "subscribe": [">"]}
    user = {"user": "tidings", "password": "secret", "permissions": all_of_it}
    async with AsyncExitStack() as stack:
        server = EmbeddedNats(folder / "nats", users=[user])
        await server.start()
        stack.push_async_callback(server.stop)
        empty = await about_bus(server.address, "secret")
        assert (empty.state, empty.detail) == ("ok", "events in 0 streams on disk")
        client = await nats.connect(server.address, user="tidings", password="secret")
        await client.jetstream().add_stream(name="told", subjects=["told"])
        await client.jetstream().publish("told", b"x" * 100_000)
        await client.close()
        full = await about_bus(server.address, "secret")
        assert full.engine is not None
        assert full.engine.bytes is not None
        assert 100_000 < full.engine.bytes < 200_000
        refused = await about_bus(server.address, "guess")
        assert (refused.state, "secrets/nats-tidings" in refused.detail) == ("broken", True)
        second = await about_bus(f"nats://{DEAD},{server.address}", "secret")
        assert second.state == "ok"
    gone = await about_bus(server.address, "secret")
    assert (gone.state, gone.detail) == ("broken", "does not answer: nothing listens there")
    assert "logs/nats.log" in gone.mend
    assert (await about_bus("", "secret")).state == "warning"
    assert "no machine of that name" in (await about_bus("nats://nowhere.invalid:4222", "secret")).detail


async def test_a_bus_without_jetstream_and_one_that_is_none_are_told_apart(folder: Path) -> None:
    port = free_port()
    command = [installed(NATS), "-a", "127.0.0.1", "-p", str(port), "--user", "tidings", "--pass", "secret"]
    plain = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
    try:
        found = await about_bus(f"nats://127.0.0.1:{port}", "secret")
        while "nothing listens" in found.detail:  # not yet
            found = await about_bus(f"nats://127.0.0.1:{port}", "secret")
    finally:
        plain.terminate()
        plain.wait()
    assert (found.state, found.detail) == ("broken", "the server runs without JetStream")
    assert "sync_interval: always" in found.mend

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        found = await about_bus(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}", "secret")
    assert (found.state, found.detail) == ("broken", "what answers is no NATS server")


class Telling(EmbeddedValkey):
    """A Valkey whose users may ask how much memory it uses."""

    def _configuration(self) -> list[str]:
        return [f"{line} +info" if line.startswith("user edge ") else line for line in super()._configuration()]


@pytest.mark.parametrize(("kind", "tells"), [(EmbeddedValkey, False), (Telling, True)])
async def test_the_size_of_a_valkey_is_its_memory_where_it_tells(
    folder: Path, kind: type[EmbeddedValkey], tells: bool
) -> None:
    server = kind(folder / "valkey", passwords={"edge": "secret"})
    await server.start()
    try:
        found = await about_valkey(server.address, "edge", "secret", NO_MEMORY)
        refused = await about_valkey(server.address, "edge", "guess", NO_MEMORY)
    finally:
        await server.stop()
    assert found.state == "ok"
    assert found.engine is not None
    assert (found.engine.name, 500_000 < (found.engine.bytes or 0) < 20_000_000) == ("Valkey", tells)
    assert found.detail == (
        "size is the memory that it uses" if tells else "edge may not ask it for its memory (INFO)"
    )
    assert (refused.state, "secrets/valkey-edge" in refused.detail) == ("warning", True)
    gone = await about_valkey(server.address, "edge", "secret", NO_MEMORY)
    assert (gone.state, gone.detail) == ("warning", "does not answer: nothing listens there")
    assert "nobody is shown as online" in gone.mend
    assert (
        "no machine of that name" in (await about_valkey("valkey://nowhere.invalid:1", "e", "p", NO_MEMORY)).detail
    )

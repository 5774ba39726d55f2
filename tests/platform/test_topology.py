"""Topology: which services share a process and where data lives, or a clear refusal."""

from pathlib import Path

import pytest

from tidings.platform.topology import Topology, TopologyProblem

NAMES = ["users", "friends", "messages", "timeline"]


def load(tmp_path: Path, text: str, *, apart: bool = False, **environ: str) -> Topology:
    path = tmp_path / "fleet.toml"
    path.write_text(text)
    return Topology.load(path, NAMES, storeless=["timeline"], apart=apart, environ=environ)


def problem(tmp_path: Path, text: str, **environ: str) -> str:
    with pytest.raises(TopologyProblem) as caught:
        load(tmp_path, text, **environ)
    assert "fleet.toml" in caught.value.message
    return caught.value.message


def test_one_process_holds_everything() -> None:
    topology = Topology.one_process(NAMES)
    assert topology.processes() == {"tidings": NAMES}
    assert topology.edge == "tidings"
    assert {placed.store for placed in topology.services.values()} == {"embedded"}


def test_apart_is_a_process_a_service_and_the_edge_in_front() -> None:
    topology = Topology.apart(NAMES)
    assert topology.processes() == {**{name: [name] for name in NAMES}, "edge": []}
    assert Topology.apart(["users"]).processes() == {"users": ["users"], "edge": []}


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    assert load(tmp_path, "").processes() == {"tidings": NAMES}
    assert load(tmp_path, "", apart=True).processes()["edge"] == []
    assert load(tmp_path, "").services["timeline"].store is None


def test_services_may_share_a_process(tmp_path: Path) -> None:
    topology = load(
        tmp_path,
        """
        [services.users]
        process = "people"
        [services.friends]
        process = "people"
        [services.messages]
        process = "messages"
        replicas = 2
        listen = "tcp://127.0.0.1:9001"
        """,
    )
    assert topology.processes() == {
        "people": ["users", "friends"], "messages": ["messages"], "tidings": ["timeline"], "edge": [],
    }  # fmt: skip
    assert (topology.services["messages"].replicas, topology.edge) == (2, "edge")


def test_a_service_may_be_reached_elsewhere_than_where_it_listens(tmp_path: Path) -> None:
    for address in ("tcp://proxy-1:9001", "unix:/run/proxy.sock"):
        text = f'[services.users]\nlisten = "tcp://0.0.0.0:9001"\naddress = "{address}"'
        placed = load(tmp_path, text).services["users"]
        assert (placed.listen, placed.address) == ("tcp://0.0.0.0:9001", address)


def test_the_edge_may_join_a_process(tmp_path: Path) -> None:
    text = '[edge]\nprocess = "timeline"\n[services.timeline]\nprocess = "timeline"'
    assert load(tmp_path, text).processes() == {"tidings": NAMES[:3], "timeline": ["timeline"]}


def test_stores_follow_the_engine_with_a_role_and_a_database_each(tmp_path: Path) -> None:
    services = load(tmp_path, '[engines]\npostgres = "postgres://db:5433?sslmode=require"').services
    assert services["users"].store == "postgres://users@db:5433/users?sslmode=require"
    assert services["timeline"].store is None
    socket = load(tmp_path, '[engines]\npostgres = "postgres://?host=/run/pg"').services["users"].store
    assert socket == "postgres://users@/users?host=/run/pg"


def test_passwords_come_from_the_environment_and_are_never_shown(tmp_path: Path) -> None:
    topology = load(tmp_path, '[services.users]\nstore = "postgres://users:${WORD}@db/users"', WORD="hunter2")
    assert topology.services["users"].store == "postgres://users:hunter2@db/users"
    shown = f"{topology!r} {topology.describe()} {list(topology.services['users'].__rich_repr__())}"
    assert "hunter2" not in shown
    assert "postgres://users:***@db/users" in shown
    assert "WORD" in problem(tmp_path, '[services.users]\nstore = "postgres://users:${WORD}@db/users"')


def test_one_store_may_be_moved_by_a_flag(tmp_path: Path) -> None:
    topology = Topology.one_process(NAMES, storeless=["timeline"])
    moved = topology.with_store("friends", "postgres://f:${PW}@other/friends", environ={"PW": "x"})
    assert moved.services["friends"].store == "postgres://f:x@other/friends"
    assert topology.services["friends"].store == "embedded"
    assert list(moved.services) == NAMES
    for service, url in [("frends", "embedded"), ("timeline", "embedded"), ("users", "mongo"),
                         ("users", "postgres://f:x@other:5432/friends")]:  # fmt: skip
        with pytest.raises(TopologyProblem, match="--store"):
            moved.with_store(service, url)


def test_rows_are_plain(tmp_path: Path) -> None:
    row = Topology.one_process(NAMES, storeless=["timeline"]).describe()[-1]
    assert (row.service, row.process, row.store, row.listen) == ("timeline", "tidings", "-", "unix socket")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[service.users]", "'services'"),
        ("[engines]\npostgre = 1", "'postgres'"),
        ("[services.freinds]", "'friends'"),
        ("[services.users]\nreplica = 2", "'replicas'"),
        ("services = 3", "table"),
        ("[services]\nusers = 3", "table"),
        ("[services.users]\nreplicas = 0", "replicas"),
        ("[services.users]\nreplicas = '2'", "replicas"),
        ("[services.users]\nreplicas = 2", "Unix socket"),
        ("[services.users]\nprocess = '../x'", "lower-case name"),
        ("[services.users]\nlisten = '127.0.0.1:90'", "tcp://"),
        ("[services.users]\nlisten = 'tcp://h:99999'", "tcp://"),
        ("[services.users]\naddress = 'proxy:9001'", "tcp://"),
        ("[services.users]\naddress = 'unix:proxy.sock'", "unix:/"),
        ("[services.users]\nstore = 'embeded'", "not the URL"),
        ("[services.users]\nstore = 'mysql://u@h/d'", "not the URL"),
        ("[services.users]\nstore = 'postgres:/u@h/d'", "not the URL"),
        ("[services.users]\nstore = 'postgres://u@h:port/d'", "not the URL"),
        ("[services.users]\nstore = 'postgres://u@/d'", "not the URL"),
        ("[services.users]\nstore = 'postgres://u@h'", "no database"),
        ("[services.users]\nstore = 'postgres://u@${H}/d'", "only for a user"),
        ("[services.timeline]\nstore = 'postgres://u@h/d'", "keeps no data"),
        ("[engines]\npostgres = 'postgres://all@h'", "no user, password or database"),
        ("[engines]\npostgres = 'postgres://:one-for-all@h'", "no user, password or database"),
        ("[engines]\npostgres = 'postgres://h/d'", "no user, password or database"),
        (
            "[services.users]\nstore = 'postgres://u@h/d'\n[services.friends]\nstore = 'postgres://f@h:5432/d'",
            "share",
        ),
        ("[services.users]\nprocess = 'a'\nlisten = 'tcp://h:1'\n[services.friends]\nlisten = 'tcp://h:1'", "both"),
        ("[services.users]\nreplicas = 2\nlisten = 'tcp://h:1'", "same replicas"),
        ("[edge]\nprocess = 'u'\n[services.users]\nprocess = 'u'\nreplicas = 2\nlisten = 'tcp://h:1'", "the edge"),
        ("services = [", "TOML"),
    ],
)
def test_a_topology_that_cannot_work_is_refused_in_words(tmp_path: Path, text: str, said: str) -> None:
    assert said in problem(tmp_path, text)


def test_a_malformed_url_does_not_show_its_password(tmp_path: Path) -> None:
    assert "hunter2" not in problem(tmp_path, "[services.users]\nstore = 'postgres://u:hunter2@h'")


def test_a_missing_file_and_a_service_named_edge_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TopologyProblem, match="cannot be read"):
        Topology.load(tmp_path / "none.toml", NAMES)
    with pytest.raises(TopologyProblem, match="edge"):
        Topology.one_process([*NAMES, "edge"])


def test_blobs_are_files_unless_a_bucket_is_named(tmp_path: Path) -> None:
    def placed(text: str, **environ: str) -> Topology:
        path = tmp_path / "fleet.toml"
        path.write_text(text)
        return Topology.load(path, [*NAMES, "media"], with_blobs=["media"], environ=environ)

    assert placed("").services["media"].blobs == "files"
    assert placed("").services["users"].blobs is None
    bucket = '[services.media]\nblobs = "s3://KEY:${SECRET}@s3.example/pictures/ours?region=eu-central-1"\n'
    media = placed(bucket, SECRET="a/b c").services["media"]
    assert media.blobs == "s3://KEY:a%2Fb%20c@s3.example/pictures/ours?region=eu-central-1"
    assert media.shown_blobs == "s3://KEY:***@s3.example/pictures/ours?region=eu-central-1"
    assert "a%2Fb" not in repr(media)
    for wrong in (
        "s3://bucket/x",
        "https://KEY:x@s3.example/b",
        "s3://KEY:x@s3.example",
        "s3://KEY:x@s3.example/B",
        "/srv",
        "s3://KEY:SLASHED/x/y@s3.example/pictures",
        "s3://KEY:x@s3.example/pictures/../other",
    ):
        with pytest.raises(TopologyProblem) as caught:
            placed(f'[services.media]\nblobs = "{wrong}"\n')
        assert "s3://KEY:${SECRET}@HOST/BUCKET" in caught.value.message
        assert (
            "SLASHED" not in caught.value.message
        )  # a secret with a slash in it is no password to a parser of URLs
    with pytest.raises(TopologyProblem, match="users keeps no blobs"):
        placed('[services.users]\nblobs = "files"\n')
    fleet = 'process = "media"\nreplicas = 2\nlisten = "tcp://127.0.0.1:9001"\n'
    with pytest.raises(TopologyProblem, match="do not share a folder"):
        placed(f"[services.media]\n{fleet}")
    assert placed(bucket + fleet, SECRET="x").services["media"].replicas == 2

"""Settings: four sources, one naming rule, and errors that say what to do."""

from pathlib import Path

import pytest

from tidings.platform import settings
from tidings.platform.settings import SettingsProblem, hide_passwords, load


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def write(data: Path, text: str) -> Path:
    data.mkdir(parents=True, exist_ok=True)
    (data / "tidings.toml").write_text(text)
    return data / "tidings.toml"


def problem(flags: dict[str, object], environ: dict[str, str] | None = None) -> str:
    with pytest.raises(SettingsProblem) as caught:
        load(flags, environ or {})
    return caught.value.message


def test_defaults_work_without_any_source(data: Path) -> None:
    loaded = load({"data": data}, {})
    assert (loaded.settings.host, loaded.settings.port, loaded.settings.metrics_port) == ("127.0.0.1", 8470, 8471)
    assert loaded.origins["port"] == "default"
    assert load({}, {"HOME": "/tmp"}).settings.data.name == "tidings"


def test_later_sources_win_and_origins_are_kept(data: Path) -> None:
    path = write(data, 'port = 1\nlog_level = "debug"\npool_read = 9\nsignup = "open"\n')
    loaded = load({"data": data, "port": 3, "host": None}, {"TIDINGS_PORT": "2", "TIDINGS_LOG_LEVEL": "error"})
    assert (loaded.settings.port, loaded.origins["port"]) == (3, "flag --port")
    assert (loaded.settings.log_level, loaded.origins["log_level"]) == ("error", "env TIDINGS_LOG_LEVEL")
    assert (loaded.settings.pool_read, loaded.origins["pool_read"]) == (9, f"file {path}")
    assert (loaded.settings.host, loaded.origins["host"]) == ("127.0.0.1", "default")


def test_the_data_folder_may_come_from_the_environment(data: Path) -> None:
    write(data, "port = 5000")
    assert load({}, {"TIDINGS_DATA": str(data)}).settings.port == 5000


def test_another_file_may_be_named_and_its_paths_start_at_its_folder(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text('data = "here"\ntopology = "fleet.toml"\n')
    loaded = load({"config": tmp_path / "other.toml"}, {})
    assert loaded.settings.data == tmp_path / "here"
    assert loaded.settings.topology == tmp_path / "fleet.toml"
    assert "does not exist" in problem({"config": tmp_path / "missing.toml"})


@pytest.mark.parametrize("line", ['data = "/elsewhere"', 'config = "/elsewhere"'])
def test_a_file_cannot_say_which_file_to_read(data: Path, line: str) -> None:
    write(data, line)
    assert "--" in problem({"data": data})


@pytest.mark.parametrize(("given", "port", "metrics"), [("9000", 9000, 9001), ("0", 0, 0), ("65535", 65535, 0)])
def test_the_metrics_port_follows_the_port(data: Path, given: str, port: int, metrics: int) -> None:
    found = load({"data": data, "port": given}, {}).settings
    assert (found.port, found.metrics_port) == (port, metrics)
    assert load({"data": data, "metrics_port": "-1"}, {}).settings.metrics_port == -1


@pytest.mark.parametrize("name", ["log_levle", "log-level", "LogLevel"])
def test_an_unknown_key_in_the_file_names_the_nearest(data: Path, name: str) -> None:
    write(data, f'{name} = "info"')
    said = problem({"data": data})
    assert name in said
    assert "'log_level'" in said


def test_an_unknown_variable_names_the_nearest(data: Path) -> None:
    assert "'TIDINGS_PORT'" in problem({"data": data}, {"TIDINGS_PROT": "1"})
    assert load({"data": data}, {"TIDINGS_DB_WORD": "x"}, other_variables={"TIDINGS_DB_WORD"})
    assert "'--port'" in problem({"data": data, "prot": 1})


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("port", "many", "int"),
        ("port", "70000", "65535"),
        ("port", "", "int"),
        ("header_timeout", "nan", "> 0"),
        ("body_timeout", "inf", "86400"),
        ("repeat_safe_calls", "perhaps", "bool"),
        ("signup", "closed", "invite, open"),
        ("trusted_proxies", "10.0.0.0/8,what", "networks"),
        ("cors_origins", "https://a.example/path", "origins"),
        ("cors_origins", "*", "origins"),
        ("public_url", "tidings.example", "http"),
        ("allowed_hosts", "https://a.example", "host names"),
        ("data", "", "path"),
    ],
)
def test_a_wrong_value_names_key_origin_and_example(data: Path, key: str, text: str, expected: str) -> None:
    variable = "TIDINGS_" + key.upper()
    said = problem({} if key == "data" else {"data": data}, {variable: text})
    assert said.startswith(f"{key} (from env {variable}): expected ")
    assert expected in said
    assert f"Example: {variable}=" in said


def test_toml_is_taken_strictly(data: Path) -> None:
    path = write(data, 'port = "8470"')
    assert problem({"data": data}) == (f"port (from file {path}): expected `int`, got '8470'. Example: port = 8470")
    write(data, 'allowed_hosts = "a.example"')
    assert problem({"data": data}).endswith('Example: allowed_hosts = ["tidings.example", "localhost"]')
    write(data, "pool_read = true")
    assert "pool_read" in problem({"data": data})


def test_a_wrong_value_is_an_error_even_where_another_source_wins(data: Path) -> None:
    write(data, 'port = "x"')
    assert "file" in problem({"data": data, "port": 1})


def test_malformed_toml_is_named_with_its_place(data: Path) -> None:
    path = write(data, "port = \n")
    said = problem({"data": data})
    assert str(path) in said
    assert "line 1" in said


def test_lists_and_absent_values_come_from_text(data: Path) -> None:
    found = load({"data": data}, {"TIDINGS_ALLOWED_HOSTS": "a.example, b.example", "TIDINGS_TOPOLOGY": ""}).settings
    assert found.allowed_hosts == ("a.example", "b.example")
    assert found.topology is None
    assert load({"data": data, "repeat_safe_calls": "true"}, {}).settings.repeat_safe_calls is True


def test_every_example_is_a_value_that_works(data: Path) -> None:
    for key in set(settings.KEYS) - {"config"}:
        example = settings._example(key, "env X").partition("=")[2]
        assert load({"data": data}, {settings.env_name(key): example} if key != "data" else {})
        if key != "data":
            write(data, settings._example(key, "file x"))
            assert load({"data": data}, {}).origins[key].startswith("file ")


def test_a_user_without_a_home_has_to_say_where_the_data_is(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(*_: object, **__: object) -> str:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr("platformdirs.user_data_dir", homeless)
    assert "--data DIR, or TIDINGS_DATA" in problem({})
    assert load({"data": data}, {}).settings.data == data
    assert load({}, {"TIDINGS_DATA": str(data)}).settings.data == data


def test_rows_describe_every_setting_and_hide_secrets(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = {"data": data, "public_url": "https://bot:hunter2@tidings.example"}
    rows = {row.name: row for row in load(flags, {}).rows()}
    assert set(rows) == set(settings.KEYS)
    assert all(row.description for row in rows.values())
    assert rows["port"].value == "8470"
    assert rows["public_url"].value == "https://bot:***@tidings.example"
    assert rows["allowed_hosts"].value == "localhost, 127.0.0.1, [::1]"
    monkeypatch.setitem(settings._TYPES, "host", _secret_text())
    assert {row.name: row.value for row in load(flags, {}).rows()}["host"] == "***"
    assert "s3cret word" not in problem({**flags, "host": "s3cret word"})


def _secret_text() -> object:
    from typing import Annotated

    return Annotated[str, settings._about("A secret.", "x", secret=True)]


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("postgres://me:p@ss:w@db/x", "postgres://me:***@db/x"),
        ("see postgres://:pw@db and redis://u:v@h!", "see postgres://:***@db and redis://u:***@h!"),
        ("postgres:///x?host=/run&password=abc", "postgres:///x?host=/run&password=***"),
        ("http://localhost:8470/me@home", "http://localhost:8470/me@home"),
    ],
)
def test_passwords_in_addresses_are_hidden(text: str, hidden: str) -> None:
    assert hide_passwords(text) == hidden

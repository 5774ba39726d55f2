"""Settings, read once at start into one typed value, each with the place it came from.

One naming rule: the key `log_level` is `log_level` in TOML, `TIDINGS_LOG_LEVEL` in the environment and
`--log-level` on the command line. Later sources win: defaults, file, environment, flags.
"""

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints
from urllib.parse import urlsplit

import msgspec
import platformdirs
from msgspec import Meta

PREFIX = "TIDINGS_"
FILE_NAME = "tidings.toml"
MASK = "***"

Port = Annotated[int, Meta(ge=0, le=65535)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Delay = Annotated[float, Meta(ge=0, le=60)]
Count = Annotated[int, Meta(ge=1)]


class SettingsProblem(Exception):
    """A setting cannot be used; the message names it, where it came from, and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def _about(description: str, example: str, *, secret: bool = False) -> Meta:
    return Meta(description=description, examples=[example], extra={"secret": secret})


def _user_data() -> Path:
    try:
        return Path(platformdirs.user_data_dir("tidings", appauthor=False))
    except RuntimeError:  # a user without a name and without HOME, as in some containers
        raise SettingsProblem(
            "This user has no home folder, so there is no usual place for the data. "
            f"Say where it is: {flag_name('data')} DIR, or {env_name('data')}."
        ) from None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be set. Times are in seconds unless the name says otherwise."""

    data: Annotated[Path, _about("Folder that holds the databases, files, logs and keys.", "/srv/tidings")] = (
        msgspec.field(default_factory=_user_data)
    )
    config: Annotated[
        Path | None, _about("Settings file; without it, tidings.toml in the data folder.", "/etc/tidings.toml")
    ] = None
    host: Annotated[str, _about("Address that the public listener binds.", "127.0.0.1")] = "127.0.0.1"
    port: Annotated[Port, _about("Port of the public listener; 0 takes any free one.", "8470")] = 8470
    metrics_host: Annotated[str, _about("Address that /metrics binds; it asks nobody to sign in.", "127.0.0.1")] = (
        "127.0.0.1"
    )
    metrics_port: Annotated[
        int,
        Meta(ge=-1, le=65535),
        _about("Port of /metrics; port + 1 unless set, 0 takes any free one, -1 is off.", "8471"),
    ] = 8471
    topology: Annotated[
        Path | None, _about("File that says which services share a process and where data lives.", "fleet.toml")
    ] = None
    pg_bin: Annotated[
        Path | None,
        _about(
            "Folder of another PostgreSQL's programs, instead of the embedded ones.", "/usr/lib/postgresql/18/bin"
        ),
    ] = None
    nats_server: Annotated[
        Path | None,
        _about("Another NATS server's program, instead of the embedded one.", "/usr/bin/nats-server"),
    ] = None
    valkey_server: Annotated[
        Path | None,
        _about("Another Valkey server's program, instead of the embedded one.", "/usr/bin/valkey-server"),
    ] = None
    limit_person: Annotated[
        int, Meta(ge=0), _about("Requests a minute of one signed-in person; 0 is no limit.", "600")
    ] = 600
    limit_address: Annotated[
        int, Meta(ge=0), _about("Requests a minute of one address without a sign-in; 0 is no limit.", "1200")
    ] = 1200
    sign_in_failures: Annotated[
        int,
        Meta(ge=0),
        _about(
            "Wrong passwords in 15 minutes for one account; 0 is no limit. Five times as many an address.", "10"
        ),
    ] = 10
    mongod: Annotated[
        Path | None, _about("Another MongoDB server's program, instead of the embedded one.", "/usr/bin/mongod")
    ] = None
    allowed_hosts: Annotated[
        tuple[str, ...], _about("Host names that requests may ask for.", "tidings.example,localhost")
    ] = ("localhost", "127.0.0.1", "[::1]")
    public_url: Annotated[str | None, _about("Address that people use, for links.", "https://tidings.example")] = (
        None
    )
    trusted_proxies: Annotated[
        tuple[str, ...], _about("Networks whose X-Forwarded headers are believed.", "10.0.0.0/8")
    ] = ()
    cors_origins: Annotated[
        tuple[str, ...], _about("Origins of other sites that may call the API.", "https://app.example")
    ] = ()
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], _about("Least severe event that is logged.", "info")
    ] = "info"
    log_to: Annotated[
        Literal["auto", "stderr", "file"],
        _about("Where logs go; auto is the file on a terminal, else stderr.", "file"),
    ] = "auto"
    log_format: Annotated[
        Literal["json", "console", "auto"], _about("Log lines; auto is console on a terminal, else JSON.", "json")
    ] = "auto"
    header_timeout: Annotated[Seconds, _about("Seconds a client has to send its headers.", "10")] = 10.0
    body_timeout: Annotated[Seconds, _about("Seconds a client has to send its body.", "30")] = 30.0
    idle_timeout: Annotated[Seconds, _about("Seconds an idle connection is kept.", "75")] = 75.0
    max_body: Annotated[Count, _about("Largest request body, in bytes.", "1048576")] = 1_048_576
    max_upload: Annotated[Count, _about("Largest file that one may upload, in bytes.", "41943040")] = 41_943_040
    upload_timeout: Annotated[Seconds, _about("Seconds a client has to send a file.", "300")] = 300.0
    media_quota: Annotated[Count, _about("Most bytes of pictures that one person may keep.", "1073741824")] = (
        1_073_741_824
    )
    presigned_seconds: Annotated[
        int,
        Meta(ge=0, le=60),
        _about("Seconds for which a bucket's address of a picture works; 0: pictures pass through here.", "60"),
    ] = 0
    collect_every: Annotated[
        Seconds, _about("Seconds between looks for pictures that nothing shows any more.", "5")
    ] = 5.0
    unused_hours: Annotated[
        float, Meta(gt=0, le=8760), _about("Hours after which a picture that nobody used is deleted.", "24")
    ] = 24.0
    max_export: Annotated[Count, _about("Largest archive of one person's data, in bytes.", "16777216")] = 16_777_216
    max_connections: Annotated[Count, _about("Most public connections at once.", "12000")] = 12_000
    max_requests_at_once: Annotated[
        int,
        Meta(ge=0),
        _about("Most public requests under way at once; more are refused with 503. 0: as many as come.", "128"),
    ] = 128
    max_calls_at_once: Annotated[
        Count, _about("Most internal calls under way to one service, from one process.", "200")
    ] = 200
    call_deadline: Annotated[Seconds, _about("Seconds an internal call may take.", "2.0")] = 2.0
    pool_read: Annotated[Count, _about("Database connections for reads, a service.", "4")] = 4
    pool_write: Annotated[Count, _about("Database connections for writes, a service.", "3")] = 3
    lock_timeout_ms: Annotated[Count, _about("Milliseconds a writer waits for a row.", "250")] = 250
    transaction_timeout_ms: Annotated[Count, _about("Milliseconds a write's transaction may last.", "1500")] = 1500
    argon2_memory_kib: Annotated[
        int, Meta(ge=8, le=4_194_304), _about("Memory of one password hash, in KiB.", "19456")
    ] = 19_456
    argon2_time: Annotated[Count, _about("Passes of one password hash.", "2")] = 2
    argon2_threads: Annotated[
        int, Meta(ge=1, le=256), _about("Password hashes computed at the same time.", "2")
    ] = 2
    session_days: Annotated[int, Meta(ge=1, le=3650), _about("Days until a session ends.", "30")] = 30
    signup: Annotated[
        Literal["invite", "open"], _about("Who may make an account: the invited, or anyone.", "invite")
    ] = "invite"
    event_backoff: Annotated[
        Seconds, _about("First pause before a reaction that failed is tried again; it doubles.", "0.2")
    ] = 0.2
    reconcile_after: Annotated[
        Seconds, _about("Age at which an event without its effect is asked for again.", "60")
    ] = 60.0
    reconcile_every: Annotated[Seconds, _about("Pause between two such comparisons.", "15")] = 15.0
    stream_look_every: Annotated[
        Seconds, _about("Seconds between looks whether who listens to a stream is still signed in.", "4")
    ] = 4.0
    points: Annotated[
        Path | None,
        _about("Unix socket where tests watch and hold named points; unset in production.", "points.sock"),
    ] = None
    twophase_deadline: Annotated[
        Seconds, _about("Seconds in which the deletion of an account is decided, or given up.", "3")
    ] = 3.0
    twophase_answer_after: Annotated[
        Seconds, _about("Seconds after which DELETE answers 202 with a status address.", "1")
    ] = 1.0
    twophase_recover_every: Annotated[
        Seconds, _about("Seconds between looks at deletions that somebody left unfinished.", "1")
    ] = 1.0
    twophase_lease: Annotated[
        Seconds, _about("Seconds for which one instance has an unfinished deletion to itself.", "3")
    ] = 3.0
    twophase_orphan_after: Annotated[
        Seconds, _about("Seconds after which a participant asks what became of its prepared branch.", "5")
    ] = 5.0
    twophase_lock_timeout_ms: Annotated[
        Count, _about("Milliseconds that the deletion of an account waits for a row.", "1000")
    ] = 1000
    twophase_idle_timeout_ms: Annotated[
        Count, _about("Milliseconds after which the database ends a two-phase session that stalls.", "2000")
    ] = 2000
    twophase_kept_days: Annotated[
        int, Meta(ge=1, le=365), _about("Days for which ended deletions stay in the logs of the databases.", "7")
    ] = 7
    erase_every: Annotated[
        Seconds, _about("Seconds between looks for deleted accounts whose contents are not erased yet.", "5")
    ] = 5.0
    failpoint: Annotated[
        str | None,
        _about("A crash point and what happens there, for tests; or a file that says so.", "cp3@friends:kill"),
    ] = None
    cache_bytes: Annotated[
        int, Meta(ge=0), _about("Most bytes of others' answers that a service keeps; 0 keeps none.", "67108864")
    ] = 67_108_864
    freshness: Annotated[
        Literal["on", "off"],
        _about("Whether what is kept is used only while surely fresh; off is for measuring.", "on"),
    ] = "on"
    events_nearby: Annotated[
        bool,
        _about(
            "Hand events to services of the same process themselves, not over the bus. false: all go over the bus.",
            "false",
        ),
    ] = True
    relay_delay: Annotated[
        Delay, _about("Seconds by which events are held before they are sent; for tests.", "0.2")
    ] = 0.0
    hear_delay: Annotated[
        Delay, _about("Seconds by which caches hold what they hear of changes; for tests.", "0.2")
    ] = 0.0
    repeat_safe_calls: Annotated[bool, _about("Send every safe internal call twice; for tests.", "false")] = False
    repeat_events: Annotated[bool, _about("Handle every event twice; for tests.", "false")] = False


class SettingRow(msgspec.Struct, frozen=True):
    """One setting as `tidings config show --origin` shows it; secrets are masked."""

    name: str
    value: str
    origin: str
    description: str


class Loaded(msgspec.Struct, frozen=True):
    """The settings with the origin of each: `default`, `file PATH`, `env NAME` or `flag --name`."""

    settings: Settings
    origins: dict[str, str]

    def rows(self) -> list[SettingRow]:
        return [
            SettingRow(
                name=key,
                value=_shown(key, getattr(self.settings, key)),
                origin=self.origins[key],
                description=_meta(key).description or "",
            )
            for key in KEYS
        ]


def load(
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    other_variables: Collection[str] = (),
) -> Loaded:
    """Read every source and check every value; raises `SettingsProblem`.

    `flags` maps keys to given values (None: not given). `other_variables` are `TIDINGS_` names that
    something else reads, so that they are not taken for mistakes.
    """
    environ = os.environ if environ is None else environ
    here = Path.cwd()
    values: dict[str, Any] = {}
    origins = dict.fromkeys(KEYS, "default")

    above: dict[str, tuple[object, str]] = {}
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in other_variables:
            above[_known(name, ENV_NAMES, "environment variable")] = (environ[name], f"env {name}")
    for key, value in (flags or {}).items():
        if value is not None:
            above[_known(flag_name(key), FLAG_NAMES, "flag")] = (value, f"flag {flag_name(key)}")
    for key, (value, origin) in above.items():
        values[key], origins[key] = _checked(key, value, origin, here), origin

    for key, value in _file(values).items():
        path = values.get("config") or _data_in(values) / FILE_NAME
        origin = f"file {path}"
        checked = _checked(key, value, origin, path.parent)
        if key not in values:
            values[key], origins[key] = checked, origin

    if "metrics_port" not in values:
        port = values.get("port", 8470)
        values["metrics_port"] = port + 1 if 0 < port < 65535 else 0
    return Loaded(settings=Settings(**values), origins=origins)


def env_name(key: str) -> str:
    return PREFIX + key.upper()


def flag_name(key: str) -> str:
    return "--" + key.replace("_", "-")


def hide_passwords(text: str) -> str:
    """The text with the password of every address in it masked."""
    return _QUERY_PASSWORD.sub(rf"\1{MASK}", _URL_PASSWORD.sub(rf"\1:{MASK}@", text))


# The password runs to the last @ before the path, since people forget to encode theirs.
_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@?#\"'<>]*):[^\s/\"'<>]*@", re.IGNORECASE)
_QUERY_PASSWORD = re.compile(r"([?&](?:password|sslpassword)=)[^\s&#\"'<>]+", re.IGNORECASE)

_TYPES: dict[str, Any] = get_type_hints(Settings, include_extras=True)
KEYS: tuple[str, ...] = Settings.__struct_fields__
ENV_NAMES = {env_name(key): key for key in KEYS}
FLAG_NAMES = {flag_name(key): key for key in KEYS}
FILE_NAMES = {key: key for key in KEYS}


def _meta(key: str) -> Meta:
    return next(note for note in get_args(_TYPES[key]) if isinstance(note, Meta) and note.description)


def _plain(key: str) -> Any:
    return get_args(_TYPES[key])[0]


def _shown(key: str, value: object) -> str:
    if (_meta(key).extra or {})["secret"] and value is not None:
        return MASK
    if value is None:
        return "-"
    if isinstance(value, tuple):
        return ", ".join(hide_passwords(item) for item in value) or "-"
    if isinstance(value, bool):
        return str(value).lower()
    return hide_passwords(str(value))


def _known(name: str, names: Mapping[str, str], kind: str) -> str:
    if name in names:
        return names[name]
    near = difflib.get_close_matches(name.lower(), [known.lower() for known in names], n=1, cutoff=0.0)
    nearest = next(known for known in names if known.lower() == near[0])
    raise SettingsProblem(
        f"Unknown {kind} {name!r}. The nearest known one is {nearest!r}; `tidings config show` lists them all."
    )


def _data_in(values: Mapping[str, Any]) -> Path:
    return values["data"] if "data" in values else _user_data()


def _file(values: Mapping[str, Any]) -> dict[str, Any]:
    chosen: Path | None = values.get("config")
    path = chosen or _data_in(values) / FILE_NAME
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        if chosen is None:
            return {}
        raise SettingsProblem(f"The settings file {path} does not exist. Correct --config, or make it.") from None
    except OSError as error:
        raise SettingsProblem(f"The settings file {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsProblem(f"The settings file {path} is not valid TOML: {error}.") from None
    for name in content:
        _known(name, FILE_NAMES, f"key in {path}:")
    if "config" in content or ("data" in content and chosen is None):
        key = "config" if "config" in content else "data"
        raise SettingsProblem(
            f"{path} cannot say {key!r}, since that says which file to read. "
            f"Use {flag_name(key)} or {env_name(key)}."
        )
    return content


def _checked(key: str, value: object, origin: str, folder: Path) -> Any:
    """The value in its type; text from the environment and flags is converted, TOML is taken strictly."""
    strict = origin.startswith("file ")
    if isinstance(value, Path):
        value = str(value)
    if not strict and isinstance(value, str):
        plain = _plain(key)
        if plain == tuple[str, ...]:
            value = [part.strip() for part in value.split(",") if part.strip()]
        elif value == "" and type(None) in get_args(plain):
            return None
    try:
        converted = msgspec.convert(
            value, _TYPES[key], strict=strict, dec_hook=lambda kind, given: _path(given, folder)
        )
        check = _CHECKS.get(key)
        if check is not None and converted is not None:
            for item in converted if isinstance(converted, tuple) else (converted,):
                check(item)
    except (msgspec.ValidationError, ValueError) as error:
        raise SettingsProblem(_complaint(key, value, origin, error)) from None
    return converted


def _path(given: object, folder: Path) -> Path:
    if not isinstance(given, str) or not given or "\0" in given:
        raise ValueError("a path")
    return Path(os.path.abspath(folder / Path(given).expanduser()))  # noqa: PTH100 (resolve() follows links)


def _complaint(key: str, value: object, origin: str, error: Exception) -> str:
    secret = (_meta(key).extra or {})["secret"]
    got = MASK if secret else hide_passwords(repr(value))
    why = str(error).rstrip(".").removeprefix("Expected ").removeprefix("expected ")
    why = re.sub(r", got `\w+`| - at `.*`", "", why)
    if get_args(_plain(key)) and all(isinstance(choice, str) for choice in get_args(_plain(key))):
        why = "one of " + ", ".join(get_args(_plain(key)))
    return f"{key} (from {origin}): expected {why}, got {got}. Example: {_example(key, origin)}"


def _example(key: str, origin: str) -> str:
    text: str = (_meta(key).examples or [""])[0]
    if origin.startswith("env "):
        return f"{env_name(key)}={text}"
    if origin.startswith("flag "):
        return f"{flag_name(key)} {text}"
    plain = _plain(key)
    if plain == tuple[str, ...]:
        return f"{key} = [" + ", ".join(f'"{part}"' for part in text.split(",")) + "]"
    bare = re.fullmatch(r"-?[\d.]+|true|false", text) and key not in ("host", "metrics_host")
    return f"{key} = {text}" if bare else f'{key} = "{text}"'


def _network(text: str) -> None:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise ValueError("networks such as 10.0.0.0/8 or fd00::/8") from None


def _origin(text: str) -> None:
    if not re.fullmatch(r"https?://(?:[\w.-]+|\[[0-9a-fA-F:]+\])(?::\d{1,5})?", text):
        raise ValueError("origins: scheme, host and perhaps a port, nothing after")


def _address(text: str) -> None:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("an http or https address without ? and #")


def _host_name(text: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_.-]+|\[[0-9a-fA-F:.]+\]", text):
        raise ValueError("host names without scheme, port or path (IPv6 in brackets)")


def _bind_address(text: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_.-]+|[0-9a-fA-F:.]+", text):
        raise ValueError("an address or host name to bind")


FAILPOINT = re.compile(
    r"(?P<point>cp\d{1,2}[a-z]?)(?:@(?P<service>[a-z]+))?"
    r":(?P<action>kill|stop|hold|delay|drop_request|drop_reply|dup)(?:=(?P<seconds>\d+(?:\.\d+)?))?"
)


def _failpoint(text: str) -> None:
    match = FAILPOINT.fullmatch(text)
    if not text.startswith("/") and (match is None or match["action"] == "hold"):
        raise ValueError(
            "cpN[@service]:action (kill, stop, delay[=seconds], drop_request, drop_reply, dup), or the path of a "
            "file that says so (there also: hold)"
        )


_CHECKS = {
    "failpoint": _failpoint,
    "trusted_proxies": _network,
    "cors_origins": _origin,
    "public_url": _address,
    "allowed_hosts": _host_name,
    "host": _bind_address,
    "metrics_host": _bind_address,
}

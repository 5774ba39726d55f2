"""Which services share a process, and where the database of each lives.

```toml
[engines]                                   # "embedded", or the URL of a server (no user, no database)
postgres = "embedded"
valkey = "embedded"                         # or valkey://cache-1:6379 (no user), or "none": each process alone
nats = "embedded"                           # or nats://bus-1:4222,nats://bus-2:4222 (no user, no password)
[edge]
process = "edge"                            # default: its own, or the only process there is
[services.friends]
process = "friends"                         # services with the same name share a process
replicas = 2
store = "postgres://friends:${FRIENDS_PASSWORD}@db-2/friends"     # default: on the server in [engines]
listen = "tcp://0.0.0.0:9001"               # its internal API; default: a Unix socket in the run folder
address = "tcp://proxy-1:9001"              # where others reach it; default: what it listens on
[services.messages]
store = "mongodb"                           # an embedded one; or mongodb://USER:${PASSWORD}@HOST/DATABASE
[services.media]
blobs = "files"                             # in the data folder; or s3://KEY:${SECRET}@HOST/BUCKET?region=NAME
```
"""

import difflib
import os
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qs, quote, unquote, urlsplit

import msgspec
from msgspec import Meta

from tidings.platform.engine_url import MONGO_SCHEMES, POSTGRES_SCHEMES, is_mongo
from tidings.platform.settings import hide_passwords

EMBEDDED = "embedded"
EMBEDDED_MONGO = "mongodb"
FILES = "files"
NONE = "none"
ONE_PROCESS = "tidings"
EDGE = "edge"
BUCKET = re.compile(
    r"s3(?:\+http)?://[^\s:/@]+:[^\s:/@]+@(?:[\w.-]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?"
    r"/[a-z0-9][a-z0-9.-]{1,62}(?:/[\w-][\w.-]*)*(?:\?region=[\w-]+)?"
)
CLI = "cli"  # the operator's command line, as a caller


class TopologyProblem(Exception):
    """The topology cannot be used; the message says where and why."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """Where one service runs and keeps its data; `store` and `blobs` are None for a service that keeps none."""

    service: str
    process: str
    replicas: int = 1
    store: str | None = EMBEDDED
    listen: str | None = None
    address: str | None = None
    blobs: str | None = None

    @property
    def shown_blobs(self) -> str:
        return hide_passwords(self.blobs) if self.blobs else "-"

    @property
    def shown_store(self) -> str:
        return hide_passwords(self.store) if self.store else "-"

    # The default repr would carry the database's password into logs and tracebacks.
    def __repr__(self) -> str:
        return (
            f"Placement(service={self.service!r}, process={self.process!r}, replicas={self.replicas}, "
            f"store={self.shown_store!r}, listen={self.listen!r}, address={self.address!r}, "
            f"blobs={self.shown_blobs!r})"
        )

    def __rich_repr__(self) -> Iterator[tuple[str, object]]:  # type: ignore[override]
        yield from msgspec.structs.asdict(Row.of(self)).items()


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One service in the picture that docs and `tidings doctor` draw; no secrets."""

    service: str
    process: str
    replicas: int
    store: str
    listen: str
    blobs: str

    @classmethod
    def of(cls, placed: Placement) -> "Row":
        return cls(
            service=placed.service,
            process=placed.process,
            replicas=placed.replicas,
            store=placed.shown_store,
            listen=placed.listen or "unix socket",
            blobs=placed.shown_blobs,
        )


class Topology(msgspec.Struct, frozen=True, kw_only=True):
    """The placement of every service, in the order the caller listed them, and the edge's process."""

    services: dict[str, Placement]
    edge: str
    bus: str = EMBEDDED
    valkey: str = EMBEDDED
    on_mongodb: tuple[str, ...] = ()  # services that have a store in MongoDB too

    @classmethod
    def one_process(
        cls,
        services: Collection[str],
        *,
        storeless: Collection[str] = (),
        on_mongodb: Collection[str] = (),
        with_blobs: Collection[str] = (),
    ) -> "Topology":
        kinds = _Kinds(tuple(services), tuple(storeless), tuple(on_mongodb), tuple(with_blobs))
        return _built({}, kinds, apart=False, environ={}, where="this topology")

    @classmethod
    def apart(
        cls,
        services: Collection[str],
        *,
        storeless: Collection[str] = (),
        on_mongodb: Collection[str] = (),
        with_blobs: Collection[str] = (),
    ) -> "Topology":
        kinds = _Kinds(tuple(services), tuple(storeless), tuple(on_mongodb), tuple(with_blobs))
        return _built({}, kinds, apart=True, environ={}, where="this topology")

    @classmethod
    def load(
        cls,
        path: Path,
        services: Collection[str],
        *,
        storeless: Collection[str] = (),
        on_mongodb: Collection[str] = (),
        with_blobs: Collection[str] = (),
        apart: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> "Topology":
        """Read the file; `apart` says where services go that it gives no process. Raises `TopologyProblem`."""
        try:
            raw = tomllib.loads(path.read_text("utf-8"))
        except OSError as error:
            raise TopologyProblem(f"The topology file {path} cannot be read: {error.strerror}.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise TopologyProblem(f"The topology file {path} is not valid TOML: {error}.") from None
        environ = os.environ if environ is None else environ
        kinds = _Kinds(tuple(services), tuple(storeless), tuple(on_mongodb), tuple(with_blobs))
        return _built(raw, kinds, apart=apart, environ=environ, where=str(path))

    def processes(self) -> dict[str, list[str]]:
        """The services of each process; the edge's own process is there too, perhaps with none."""
        found: dict[str, list[str]] = {}
        for placed in self.services.values():
            found.setdefault(placed.process, []).append(placed.service)
        found.setdefault(self.edge, [])
        return found

    def with_store(self, service: str, url: str, *, environ: Mapping[str, str] | None = None) -> "Topology":
        """The same topology with one service's database elsewhere: `--store messages=URL`."""
        where = f"--store {service}"
        _known(service, self.services, "service", where)
        placed = self.services[service]
        if placed.store is None:
            raise TopologyProblem(f"{where}: {service} keeps no data, so it has no store to place.")
        environ = os.environ if environ is None else environ
        store = _store(url, environ, where, service=service, on_mongodb=self.on_mongodb)
        moved = msgspec.structs.replace(placed, store=store)
        return _consistent(msgspec.structs.replace(self, services={**self.services, service: moved}), where)

    def describe(self) -> list[Row]:
        return [Row.of(placed) for placed in self.services.values()]


Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,31}\Z")]


class _Engines(msgspec.Struct, frozen=True):
    postgres: str = EMBEDDED
    nats: str = EMBEDDED
    valkey: str = EMBEDDED


class _Edge(msgspec.Struct, frozen=True):
    process: Name | None = None


class _Service(msgspec.Struct, frozen=True):
    process: Name | None = None
    replicas: Annotated[int, Meta(ge=1, le=1000)] = 1
    store: str | None = None
    blobs: str | None = None
    listen: str | None = None
    address: str | None = None


class _Kinds(msgspec.Struct, frozen=True):
    """The services there are; those that keep nothing, that MongoDB can keep the data of, that keep blobs."""

    services: tuple[str, ...]
    storeless: tuple[str, ...]
    on_mongodb: tuple[str, ...]
    with_blobs: tuple[str, ...]


def _built(
    raw: dict[str, Any],
    kinds: _Kinds,
    *,
    apart: bool,
    environ: Mapping[str, str],
    where: str,
) -> Topology:
    services = kinds.services
    if EDGE in services:
        raise TopologyProblem(f"{EDGE!r} is the public listener's name, so no service may take it.")
    for key in raw:
        _known(key, ("engines", "edge", "services"), "table", where)
    engines = _table(raw.get("engines", {}), _Engines, f"{where}, [engines]")
    edge = _table(raw.get("edge", {}), _Edge, f"{where}, [edge]")
    tables = raw.get("services", {})
    if not isinstance(tables, dict):
        raise TopologyProblem(f"{where}: 'services' holds a table a service, such as [services.NAME].")
    for name in tables:
        _known(name, services, "service", where)

    engine = _engine(engines.postgres, environ, f"{where}, [engines]")
    placed = {}
    for name in services:
        spot = f"{where}, [services.{name}]"
        table = _table(tables.get(name, {}), _Service, spot)
        if name in kinds.storeless:
            if table.store is not None:
                raise TopologyProblem(f"{spot}: {name} keeps no data, so it has no store to place.")
            store = None
        elif table.store is not None:
            store = _store(table.store, environ, spot, service=name, on_mongodb=kinds.on_mongodb)
        else:
            store = EMBEDDED if engine == EMBEDDED else _on_engine(engine, name)
        if table.blobs is not None and name not in kinds.with_blobs:
            raise TopologyProblem(f"{spot}: {name} keeps no blobs, so there are none to place.")
        placed[name] = Placement(
            service=name,
            process=table.process or (name if apart else ONE_PROCESS),
            replicas=table.replicas,
            store=store,
            blobs=_blobs(table.blobs or FILES, environ, spot) if name in kinds.with_blobs else None,
            listen=_listen(table.listen, spot),
            address=_address(table.address, spot),
        )
    names = {spot.process for spot in placed.values()}
    front = edge.process or (names.pop() if len(names) == 1 and not apart else EDGE)
    bus = _bus(engines.nats, f"{where}, [engines]")
    valkey = _valkey(engines.valkey, f"{where}, [engines]")
    topology = Topology(services=placed, edge=front, bus=bus, valkey=valkey, on_mongodb=kinds.on_mongodb)
    return _consistent(topology, where)


T = TypeVar("T", bound=msgspec.Struct)


def _table(value: object, kind: type[T], where: str) -> T:
    if not isinstance(value, dict):
        raise TopologyProblem(f"{where} is a table, not a {type(value).__name__}.")
    for key in value:
        _known(key, kind.__struct_fields__, "key", where)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise TopologyProblem(f"{where}: {_in_words(error)}") from None


def _in_words(error: msgspec.ValidationError) -> str:
    why, _, place = str(error).partition(" - at `$.")
    if "matching regex" in why:
        why = "Expected a lower-case name: a letter, then letters, digits and hyphens, at most 32"
    return f"{place.rstrip('`')}: {why}."


def _known(name: str, names: Collection[str], kind: str, where: str) -> None:
    if name not in names:
        near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.0)
        hint = f"The nearest known one is {near[0]!r}." if near else f"No {kind} is known."
        raise TopologyProblem(f"{where}: unknown {kind} {name!r}. {hint}")


def _listen(listen: str | None, where: str) -> str | None:
    if listen is None:
        return None
    if not _is_tcp(listen):
        raise TopologyProblem(f"{where}: listen is {listen!r}; write it as tcp://127.0.0.1:9001, or leave it out.")
    return listen


def _address(address: str | None, where: str) -> str | None:
    if address is None or _is_tcp(address) or re.fullmatch(r"unix:/[^\0]+", address):
        return address
    raise TopologyProblem(
        f"{where}: address is {address!r}; write it as tcp://proxy-1:9001 or unix:/run/proxy.sock, or leave it out."
    )


def _is_tcp(place: str) -> bool:
    match = re.fullmatch(r"tcp://(?:[\w.-]+|\[[0-9a-fA-F:.]+\]):(\d{1,5})", place)
    return match is not None and 1 <= int(match[1]) <= 65535


def filled_in(url: str, environ: Mapping[str, str], where: str) -> str:
    """The URL with `${NAME}` in its user and password replaced, encoded so that any character may be in them."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in environ:
            raise TopologyProblem(f"{where}: the URL needs the environment variable {match[1]}, which is not set.")
        return quote(environ[match[1]], safe="")

    scheme, slashes, rest = url.partition("://")
    user, at, place = rest.rpartition("@")
    if "$" in place:
        raise TopologyProblem(
            f"{where}: ${{NAME}} may stand only for a user or a password in {hide_passwords(url)!r}."
        )
    return scheme + slashes + re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", value, user) + at + place


def _server(url: str, environ: Mapping[str, str], where: str, schemes: Collection[str] = POSTGRES_SCHEMES) -> str:
    """The URL of a database server, well formed, with its passwords filled in."""
    url = filled_in(url, environ, where)
    parts = urlsplit(url)
    hosts = [host for host in parts.netloc.rpartition("@")[2].split(",") if host]
    good = (
        parts.scheme in schemes
        and "://" in url
        and all(re.fullmatch(r"(?:[\w.%-]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?", host) for host in hosts)
        and (hosts or parse_qs(parts.query).get("host"))
        and not parts.fragment
        and not re.search(r"[\s\x00-\x1f$]", url)
    )
    if not good:
        other = ", mongodb, or mongodb://USER:${PASSWORD}@HOST:27017/DATABASE" if len(schemes) > 2 else ""
        raise TopologyProblem(
            f"{where}: {hide_passwords(url)!r} is not the URL of a database. "
            f'Write "embedded", or postgres://USER:${{PASSWORD}}@HOST:5432/DATABASE{other}.'
        )
    return url


def _store(url: str, environ: Mapping[str, str], where: str, *, service: str, on_mongodb: Collection[str]) -> str:
    if url == EMBEDDED:
        return url
    on_mongo = url == EMBEDDED_MONGO or is_mongo(url)
    if on_mongo and service not in on_mongodb:
        who = " and ".join(on_mongodb) or "no service"
        raise TopologyProblem(
            f"{where}: {service} keeps its data in PostgreSQL; of all services, {who} can use MongoDB."
        )
    if url == EMBEDDED_MONGO:
        return url
    url = _server(url, environ, where, (*POSTGRES_SCHEMES, *(MONGO_SCHEMES if service in on_mongodb else ())))
    if not re.fullmatch(r"/[^/]+", urlsplit(url).path):
        raise TopologyProblem(f"{where}: {hide_passwords(url)!r} names no database; end it with /NAME.")
    return url


def _blobs(url: str, environ: Mapping[str, str], where: str) -> str:
    """The folder's name, or the URL of a bucket with its secret filled in."""
    if url == FILES:
        return url
    filled = filled_in(url, environ, where)
    if BUCKET.fullmatch(filled):
        return filled
    raise TopologyProblem(
        # Not what was given: a secret with a slash in it would not be known for one.
        f'{where}: that is no place for blobs. Write "files", or s3://KEY:${{SECRET}}@HOST/BUCKET?region=NAME'
        " (s3+http:// where the server speaks no TLS); a path after the bucket is put before every key."
    )


def _engine(url: str, environ: Mapping[str, str], where: str) -> str:
    if url == EMBEDDED:
        return url
    url = _server(url, environ, where)
    parts = urlsplit(url)
    # One role that opens every database would make each service a gateway to the others' data.
    if parts.username or parts.password or parts.path.strip("/"):
        raise TopologyProblem(
            f"{where}: {hide_passwords(url)!r} is for every service, so it names no user, password or database: "
            "each service uses its own name for both. Give a service its own `store` to say otherwise."
        )
    return url


def _bus(url: str, where: str) -> str:
    if url == EMBEDDED or re.fullmatch(r"nats://[\w.-]+:\d{1,5}(,nats://[\w.-]+:\d{1,5})*", url):
        return url
    raise TopologyProblem(
        f"{where}: {hide_passwords(url)!r} is not the address of a NATS server. "
        'Write "embedded", or nats://HOST:4222 without a user: each service has its own.'
    )


def _valkey(url: str, where: str) -> str:
    if url in (EMBEDDED, NONE) or re.fullmatch(r"valkeys?://[\w.-]+:\d{1,5}(\?cluster=true)?", url):
        return url
    raise TopologyProblem(
        f"{where}: {hide_passwords(url)!r} is not the address of a Valkey server. "
        'Write "embedded", "none", or valkey://HOST:6379 without a user: each service has its own.'
    )


def _on_engine(engine: str, service: str) -> str:
    parts = urlsplit(engine)
    return parts._replace(netloc=f"{service}@{parts.netloc}", path=f"/{service}").geturl()


def _consistent(topology: Topology, where: str) -> Topology:
    databases: dict[object, str] = {}
    addresses: dict[str, Placement] = {}
    sizes: dict[str, Placement] = {}
    for placed in topology.services.values():
        if placed.replicas > 1 and placed.listen is None:
            raise TopologyProblem(
                f"{where}: {placed.service} has {placed.replicas} replicas, which cannot share one Unix socket. "
                'Give it an address, such as listen = "tcp://0.0.0.0:9001".'
            )
        first = sizes.setdefault(placed.process, placed)
        if first.replicas != placed.replicas:
            raise TopologyProblem(
                f"{where}: {first.service} and {placed.service} share the process {placed.process!r}, "
                f"so they need the same replicas, not {first.replicas} and {placed.replicas}."
            )
        if placed.replicas > 1 and placed.blobs == FILES:
            raise TopologyProblem(
                f"{where}: {placed.service} has {placed.replicas} replicas, which do not share a folder of files. "
                'Give it a bucket, such as blobs = "s3://KEY:${SECRET}@HOST/BUCKET".'
            )
        if placed.listen is not None:
            other = addresses.setdefault(placed.listen, placed)
            if other.process != placed.process:
                raise TopologyProblem(
                    f"{where}: {other.service} and {placed.service} both listen on {placed.listen}, "
                    "but run in different processes."
                )
        if placed.store is not None and placed.store not in (EMBEDDED, EMBEDDED_MONGO):
            owner = databases.setdefault(_database(placed.store), placed.service)
            if owner != placed.service:
                raise TopologyProblem(
                    f"{where}: {owner} and {placed.service} would share the database {placed.shown_store}; "
                    "each service owns its own."
                )
    if topology.edge in sizes and sizes[topology.edge].replicas > 1:
        raise TopologyProblem(f"{where}: the edge's process {topology.edge!r} cannot have replicas.")
    return topology


def _database(url: str) -> object:
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    hosts = unquote(parts.netloc.rpartition("@")[2]).lower() or ",".join(query.get("host", []))
    usual = "27017" if parts.scheme in MONGO_SCHEMES else "5432"
    places = [
        host if re.search(r":\d+$", host) else f"{host}:{query.get('port', [usual])[0]}"
        for host in hosts.split(",")
    ]
    return tuple(sorted(places)), unquote(parts.path)

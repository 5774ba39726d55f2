"""`tidings`: the command line."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from tidings.cli import bench, config, demo, events, media, twophase, users
from tidings.cli.options import (
    EXIT_CODES,
    EXIT_INTERRUPTED,
    Data,
    Given,
    Json,
    PlainErrors,
    Stores,
    TopologyFile,
    plainly,
    settings_from,
    taking_settings,
    with_stores,
)
from tidings.platform.importing import importing

app = typer.Typer(
    cls=PlainErrors,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Self-hosted social messaging, made of services that each own their data.",
    epilog="Start with `tidings up`. Exit codes: `tidings help exit-codes`.",
)
docs = typer.Typer(no_args_is_help=True, help="Documents made from the code.")
app.add_typer(users.app, name="users")
app.add_typer(twophase.app, name="twophase")
app.add_typer(config.app, name="config")
app.add_typer(demo.app, name="demo")
app.add_typer(bench.app, name="bench")
app.add_typer(events.app, name="events")
app.add_typer(media.app, name="media")
app.add_typer(docs, name="docs")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tidings {version('tidings')}")
        raise typer.Exit


@app.callback()
def tidings(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Self-hosted social messaging, made of services that each own their data."""


@app.command()
@plainly
@taking_settings
def up(
    given: Given,
    apart: Annotated[bool, typer.Option("--apart", help="A process per service, the edge in front.")] = False,
    store: Stores = None,
    as_json: Json = False,
) -> None:
    """Run everything on this machine until Ctrl-C.

    Example: `tidings up --data ./data --port 9000 --log-level debug`
    """
    settings = settings_from(**given).settings

    with importing():
        from tidings.cli.up import run_up
        from tidings.system import chosen_topology

    run_up(settings, with_stores(chosen_topology(settings, apart=apart), store), as_json=as_json)


@app.command()
@plainly
@taking_settings
def run(
    given: Given,
    service: Annotated[str, typer.Argument(help="A service's name, or `edge` for the public listener.")],
    store: Stores = None,
) -> None:
    """Run one service in this process, in the foreground; for containers.

    It takes its keys from the data directory and finds the others by the topology, on Unix sockets in the data
    directory or at their `listen` addresses. It starts no database: its store is a URL, or the embedded server
    that `tidings up` runs on the same data. Logs go to standard error.

    Example: `tidings run messages --data /srv/tidings --topology fleet.toml`
    """
    with importing():
        from tidings.cli.run import run_one
        from tidings.system import chosen_topology

    settings = settings_from(**given).settings
    run_one(settings, with_stores(chosen_topology(settings, apart=True), store), service)


@app.command()
@plainly
def provision(
    service: Annotated[str, typer.Argument(help="A service whose data is in MongoDB.")],
    admin: Annotated[
        str,
        typer.Option(
            "--admin",
            help="URL of the same MongoDB, of who may make users and share collections out.",
            metavar="URL",
        ),
    ],
    topology: TopologyFile = None,
    store: Stores = None,
) -> None:
    """Prepare a MongoDB of your own for a service: its user, its collections and their indexes.

    Where the URL leads to a router, the collections are shared out among its shards, so that all that lies with one
    person is on one. Run it again after a shard was added.

    Example: `tidings provision messages --topology fleet.toml --admin mongodb://root:secret@router-1/`
    """
    from tidings.cli.provision import run_provision
    from tidings.system import chosen_topology

    settings = settings_from(topology=topology).settings
    run_provision(with_stores(chosen_topology(settings, apart=False), store), service, admin)


@app.command()
@plainly
def doctor(data: Data = None, topology: TopologyFile = None, store: Stores = None, as_json: Json = False) -> None:
    """Look at everything, and name what is broken and how to mend it.

    Give it the same --topology and --store as the server, so that it finds the databases.

    Example: `tidings doctor --data ./data`
    """
    with importing():
        from tidings.cli.doctor import examine
        from tidings.system import chosen_topology

    settings = settings_from(data=data, topology=topology).settings
    examine(settings, with_stores(chosen_topology(settings, apart=False), store), as_json=as_json)


@docs.command()
@plainly
def write(folder: Annotated[Path, typer.Argument(help="Folder that gets the files.", metavar="DIR")]) -> None:
    """Write `openapi.json` and `map.md`, the map of the services, from the contracts.

    Nothing has to run; the same code gives the same files.

    Example: `tidings docs write docs`
    """
    from tidings.cli.documents import write_documents

    for path in write_documents(folder):
        typer.echo(path)


@app.command("help")
@plainly
def help_(
    context: typer.Context,
    topic: Annotated[str | None, typer.Argument(help="A command, or `exit-codes`.")] = None,
    as_json: Json = False,
) -> None:
    """Explain a command, or what the exit codes mean.

    Example: `tidings help exit-codes`
    """
    from tidings.cli.printing import print_json, print_table

    if topic == "exit-codes":
        if as_json:
            print_json({str(code): meaning for code, meaning in EXIT_CODES.items()})
        else:
            print_table(["code", "meaning"], [(str(code), meaning) for code, meaning in EXIT_CODES.items()])
        return
    app([topic, "--help"] if topic else ["--help"], prog_name="tidings")


def main() -> None:
    """The entry point of the `tidings` command."""
    try:
        app(prog_name="tidings")
    except KeyboardInterrupt:
        raise SystemExit(EXIT_INTERRUPTED) from None


if __name__ == "__main__":
    main()

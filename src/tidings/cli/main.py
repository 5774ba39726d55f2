"""`tidings`: the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tidings.cli.options import ANY_SETTING, Data, Port, plainly, settings_from

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Self-hosted social messaging, made of services that each own their data.",
)


@app.command(context_settings=ANY_SETTING)
@plainly
def up(
    context: typer.Context,
    data: Data = None,
    port: Port = None,
    apart: Annotated[bool, typer.Option("--apart", help="A process per service, the edge in front.")] = False,
    topology: Annotated[
        Path | None, typer.Option("--topology", help="File that says what runs and is stored where.")
    ] = None,
    store: Annotated[
        list[str] | None, typer.Option("--store", help="SERVICE=URL: keep that service's data there.")
    ] = None,
) -> None:
    """Run everything on this machine until Ctrl-C.

    Every setting can be given as a flag, too (`tidings config show` lists them).

    Example: `tidings up --data ./data --port 9000 --log-level debug`
    """
    from tidings.cli.up import run_up
    from tidings.system import chosen_topology

    settings = settings_from(context.args, data=data, port=port, topology=topology).settings
    chosen = chosen_topology(settings, apart=apart)
    for one in store or ():
        service, _, url = one.partition("=")
        chosen = chosen.with_store(service, url)
    run_up(settings, chosen)


def main() -> None:
    """The entry point of the `tidings` command."""
    app()


if __name__ == "__main__":
    main()

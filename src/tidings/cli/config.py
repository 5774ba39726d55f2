"""`tidings config`: what is set, and where each value comes from."""

from __future__ import annotations

from typing import Annotated

import typer

from tidings.cli.options import Given, Json, Stores, plainly, settings_from, taking_settings, with_stores
from tidings.cli.presence import running_pid
from tidings.cli.printing import print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Settings and topology.")


@app.callback()
def config() -> None:
    """Settings and topology."""


@app.command()
@plainly
@taking_settings
def show(
    given: Given,
    store: Stores = None,
    apart: Annotated[bool, typer.Option("--apart", help="The topology of `tidings up --apart`.")] = False,
    origin: Annotated[bool, typer.Option("--origin", help="Show where each value comes from.")] = False,
    as_json: Json = False,
) -> None:
    """Show every setting, and which service runs and is stored where. Secrets are masked.

    A setting `log_level` is `log_level` in tidings.toml, TIDINGS_LOG_LEVEL in the environment and --log-level on
    the command line; the later ones win. These are the settings that a start with the same options would have,
    from here and now; a server that runs keeps those that it was started with.

    Example: `tidings config show --origin --data ./data`
    """
    from tidings.system import chosen_topology

    loaded = settings_from(**given)
    placed = with_stores(chosen_topology(loaded.settings, apart=apart), store)
    server = running_pid(loaded.settings.data)
    if as_json:
        print_json(
            {"running_pid": server, "settings": loaded.rows(), "edge": placed.edge, "services": placed.describe()}
        )
        return
    rows = loaded.rows()
    if origin:
        print_table(
            ["setting", "value", "origin", "description"],
            [(row.name, row.value, row.origin, row.description) for row in rows],
        )
    else:
        print_table(["setting", "value", "description"], [(row.name, row.value, row.description) for row in rows])
    print()
    print_table(
        ["service", "process", "replicas", "store", "internal API"],
        [
            *((row.service, row.process, str(row.replicas), row.store, row.listen) for row in placed.describe()),
            ("edge", placed.edge, "1", "-", "none: it is the public listener"),
        ],
    )
    if server is not None:
        print()
        print(
            "These are the settings of a start with these options, "
            f"and not necessarily those of the server that runs on this data (process {server})."
        )

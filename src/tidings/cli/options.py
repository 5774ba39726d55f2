"""How commands take settings: any setting is an option by the one naming rule, and problems become exit codes."""

from __future__ import annotations

import inspect
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from tidings.cli.typed import as_typed
from tidings.platform.contract import Refusal, Unavailable
from tidings.platform.data_directory import StartRefused
from tidings.platform.settings import KEYS, Loaded, SettingRow, Settings, SettingsProblem, flag_name, load
from tidings.platform.topology import Topology, TopologyProblem

P = ParamSpec("P")
R = TypeVar("R")

EXIT_FAULT = 1
EXIT_USAGE = 2
EXIT_NOT_RUNNING = 11
EXIT_REFUSED = 12
EXIT_UNHEALTHY = 13
EXIT_BAD_INPUT = 14
EXIT_INTERRUPTED = 130

EXIT_CODES = {
    0: "done, or healthy",
    EXIT_FAULT: "a fault of Tidings itself; the message names the file with the details",
    EXIT_USAGE: "wrong usage: an unknown option, setting or topology",
    3: "Tidings already runs on this data directory",
    4: "a newer Tidings wrote this data directory",
    5: "the disk is full",
    6: "the data directory cannot be written",
    7: "PostgreSQL or NATS did not start, or could not be restarted",
    8: "a migration failed and was rolled back",
    9: "the port is taken",
    10: "a process did not start",
    EXIT_NOT_RUNNING: "nothing runs on this data directory, or a service of it does not answer",
    EXIT_REFUSED: "the server refused what was asked",
    EXIT_UNHEALTHY: "`tidings doctor` found something broken",
    EXIT_BAD_INPUT: "a file cannot be used; nothing of it was loaded",
    EXIT_INTERRUPTED: "interrupted",
}

Data = Annotated[
    Path | None, typer.Option("--data", help="Folder that holds everything.", show_default="your user data folder")
]
Json = Annotated[bool, typer.Option("--json", help="Print facts as JSON.")]
Handle = Annotated[str, typer.Argument(help="Whose account: @handle, the @ is optional.", metavar="@HANDLE")]
TopologyFile = Annotated[
    Path | None, typer.Option("--topology", help="File that says what runs where and is stored where.")
]
Stores = Annotated[list[str] | None, typer.Option("--store", help="SERVICE=URL: where that service's data is.")]

Given = dict[str, str | None]  # settings by key, as they were given at the command line


class Problem(Exception):
    """Something the person can mend: what happened, what to do, and the exit status."""

    def __init__(self, message: str, hint: str = "", exit_code: int = EXIT_REFUSED) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


def settings_from(**flags: Any) -> Loaded:
    """Settings from every source, with what was given at the command line (None: not given)."""
    loaded = load(flags)
    data = loaded.settings.data
    if data.exists() and not data.is_dir():
        raise Problem(
            f"{data} is a file, and the data directory has to be a folder (from {loaded.origins['data']}).",
            "Name a folder with --data; `tidings up` makes it if it is not there.",
            EXIT_USAGE,
        )
    return loaded


def with_stores(topology: Topology, stores: Sequence[str] | None) -> Topology:
    """The topology after every `--store SERVICE=URL`."""
    for one in stores or ():
        service, equals, url = one.partition("=")
        if not equals:
            raise Problem(f"--store {one} names no URL.", "For example: --store friends=postgres://...", EXIT_USAGE)
        topology = topology.with_store(service, url)
    return topology


def taking_settings(command: Callable[..., R]) -> Callable[..., R]:
    """Let a command take every setting as an option; they come to it together, as its first argument."""
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    # The folder is named in words: its place is another for each user, and a user without a home has none.
    defaults = Loaded(Settings(data=Path("your user data folder")), dict.fromkeys(KEYS, "default")).rows()

    @wraps(command)
    def run(**options: Any) -> R:
        given: Given = {key: options.pop(key) for key in KEYS}
        return command(given, **options)

    # What typer reads: it makes an option of each parameter.
    run.__signature__ = inspect.Signature([*own, *map(_option, defaults)])  # type: ignore[attr-defined]
    return run


class PlainErrors(TyperGroup):
    """Commands whose wrong usage is told like every other problem, and not in a box."""

    def main(self, *args: Any, **options: Any) -> Any:
        try:
            status = super().main(*args, **{**options, "standalone_mode": False})
        except TyperException as error:
            message = error.format_message().strip()
            if message:  # else it was the help, and is printed
                path = getattr(getattr(error, "ctx", None), "command_path", "tidings")
                say(message if message[-1] in ".?" else f"{message}.", f"`{path} --help` shows what it takes.")
            sys.exit(EXIT_USAGE)
        sys.exit(status if isinstance(status, int) else 0)


def plainly(command: Callable[P, R]) -> Callable[P, R]:
    """Say what went wrong in one or two lines, and leave with the status that belongs to it."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (SettingsProblem, TopologyProblem) as problem:
            say(str(problem))
            raise typer.Exit(EXIT_USAGE) from problem
        except (StartRefused, Problem) as problem:
            say(problem.message, problem.hint)
            raise typer.Exit(int(problem.exit_code)) from problem
        except Unavailable as refusal:
            say(refusal.detail, "`tidings doctor` names the broken link.")
            raise typer.Exit(EXIT_NOT_RUNNING) from refusal
        except Refusal as refusal:
            say(refusal.detail)
            raise typer.Exit(EXIT_REFUSED) from refusal
        except KeyboardInterrupt as interrupt:
            raise typer.Exit(EXIT_INTERRUPTED) from interrupt
        except typer.Exit:
            raise
        except BrokenPipeError as closed:
            # Who reads has enough (`| head`): let the last flush of standard output go nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(EXIT_FAULT) from closed
        except Exception as fault:
            say(f"This is our mistake: {type(fault).__name__}: {fault}", f"The details, to report it: {_kept()}")
            raise typer.Exit(EXIT_FAULT) from fault

    return run


def say(message: str, hint: str = "") -> None:
    """A problem on standard error: what happened, then what to do."""
    sys.stderr.write(as_typed(f"tidings: {message}\n"))
    if hint:
        sys.stderr.write(as_typed(f"         {hint}\n"))


def _option(row: SettingRow) -> inspect.Parameter:
    option = typer.Option(
        flag_name(row.name),
        help=row.description if row.value == "-" else f"{row.description} Default: `{row.value}`",
        metavar="VALUE",
        rich_help_panel="Settings (each can stand in tidings.toml and in the environment, too)",
    )
    annotation = Annotated[str | None, option]
    return inspect.Parameter(row.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _kept() -> str:
    """The file that has the traceback of the fault."""
    with tempfile.NamedTemporaryFile("w", prefix="tidings-fault-", suffix=".txt", delete=False) as file:
        file.write(traceback.format_exc())
    return file.name

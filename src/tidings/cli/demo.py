"""`tidings demo`: people, friendships and messages to try things with, and a look at what they see."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidings.cli.options import EXIT_BAD_INPUT, EXIT_USAGE, Data, Handle, Json, Problem, plainly, settings_from
from tidings.cli.printing import console, print_drawn, print_json
from tidings.cli.typed import as_typed
from tidings.cli.users import plain
from tidings.contracts import users

if TYPE_CHECKING:
    from tidings.cli.operator import Operator
    from tidings.contracts.timeline import Timeline
    from tidings.demo.graph import Graph
    from tidings.demo.load import Loaded
    from tidings.platform.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Demonstration data, and a look at it.")


@app.command()
@plainly
def load(
    graph: Annotated[
        Path | None, typer.Option("--graph", help="Edge list: two people's numbers a line.", metavar="FILE")
    ] = None,
    generate: Annotated[
        int | None, typer.Option("--generate", help="Make a graph of that many people.", metavar="N", min=2)
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Another seed makes other people and messages.")] = 1,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Load a friendship graph: people, friendships, and about ten messages each.

    Running it again changes nothing; a load that was interrupted is completed. The times are fixed: messages lie in
    the 30 days up to 2026-11-01, and people joined in the 400 days before those.

    An edge list is text in UTF-8 with a friendship a line: the whole numbers of two people, from 0 to 2147483647,
    with blanks or tabs between. Empty lines and lines that begin with `#` or `%` are skipped. A friendship that
    comes again, in either order, counts once. Any other line (a third column, a comma, somebody as their own
    friend, more than 5,000 friends of one person) is named, and nothing is loaded.

    Example: `tidings demo load --generate 1000 --seed 7`
    """
    import time

    from tidings.cli.operator import as_operator
    from tidings.cli.progress import Bars
    from tidings.demo.load import load as load_graph

    if (graph is None) == (generate is None):
        raise Problem(
            "Name one graph.", "For example: tidings demo load --generate 1000, or --graph FILE", EXIT_USAGE
        )
    settings = settings_from(data=data).settings
    began = time.monotonic()
    with console(stderr=True).status("Reading the graph ..." if graph else "Making a graph ..."):
        found = _graph(graph, generate, seed)
    with Bars() as bars:
        loaded = as_operator(settings, lambda operator: load_graph(operator, found, seed, bars))
    seconds = time.monotonic() - began
    if as_json:
        print_json({"loaded": loaded, "lines_repeated": found.repeated, "seconds": round(seconds, 1)})
    else:
        typer.echo(_summary(loaded, found, seconds, given=data))


@app.command()
@plainly
def timeline(
    handle: Handle,
    per_friend: Annotated[int, typer.Option("--per-friend", help="Messages of each friend.", min=1, max=10)] = 1,
    limit: Annotated[int, typer.Option("--limit", help="How many friends.", min=1, max=100)] = 20,
    explain: Annotated[bool, typer.Option("--explain", help="Add the rules that were applied.")] = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Print what a person sees: the latest message of each friend, newest first.

    It signs in as that person for a moment, by a one-time link, and asks the public API.

    Example: `tidings demo timeline @ada --per-friend 2`
    """
    from tidings.cli.operator import as_operator
    from tidings.demo.reading import timeline_page
    from tidings.platform.clock import now_ms

    settings = settings_from(data=data).settings
    rules = {"per_friend": per_friend, "limit": limit, "explain": int(explain)}
    seen, people = as_operator(settings, lambda operator: _seen_by(operator, settings, plain(handle), rules))
    if as_json:
        print_json(seen)
    else:
        print_drawn(timeline_page(seen, whose=plain(handle), now_ms=now_ms(), people=people))


@app.command()
@plainly
def signin(handle: Handle, data: Data = None, as_json: Json = False) -> None:
    """Make a link that signs a person in, once; demonstration people have no password.

    Example: `tidings demo signin @ada`
    """
    from tidings.cli.users import print_link

    print_link(data, users.sign_in_link, users.ByHandle(handle=plain(handle)), as_json=as_json)


def _graph(path: Path | None, people: int | None, seed: int) -> Graph:
    from tidings.demo.graph import GraphProblem, generate_graph, read_graph

    try:
        if path is not None:
            return read_graph(path)
        return generate_graph(people or 0, seed)
    except GraphProblem as problem:
        raise Problem(str(problem), "Nothing was loaded.", EXIT_BAD_INPUT) from problem


def _summary(loaded: Loaded, graph: Graph, seconds: float, *, given: Path | None) -> str:
    lines = [f"Loaded in {seconds:.1f} s:"]
    for what, count in (
        ("people", loaded.people), ("friendships", loaded.friendships), ("messages", loaded.messages)
    ):  # fmt: skip
        there = f"  ({count.present:,} were there)" if count.present else ""
        lines.append(f"  {what:<12} {count.added:>9,} added{there}")
    if graph.repeated:
        lines.append(f"  {graph.repeated:,} lines of the graph repeat others.")
    if loaded.best_known is not None:
        where = f" --data {given}" if given is not None else ""
        handle = loaded.best_known.handle
        lines += [
            "",
            f"Read what {loaded.best_known.name} sees:  tidings demo timeline @{handle}{where}",
            f"Sign in as them:  tidings demo signin @{handle}{where}",
        ]
    return as_typed("\n".join(lines))


async def _seen_by(
    operator: Operator, settings: Settings, handle: str, rules: dict[str, int]
) -> tuple[Timeline, dict[users.UserId, users.UserCard]]:
    """A person's timeline from the public API, and the cards of those whom it mentions."""
    import msgspec

    from tidings.cli.public import PublicApi
    from tidings.contracts.messages import Message
    from tidings.contracts.timeline import Timeline

    link = await operator.call(users.sign_in_link, users.ByHandle(handle=handle))
    async with PublicApi(operator.url, settings) as api:
        sign_in = {"link": link.secret, "label": "tidings demo timeline"}
        signed = msgspec.json.decode(await api.ask("POST", "/v1/sessions", json=sign_in), type=users.NewToken)
        api.token = signed.token
        try:
            body = await api.ask("GET", "/v1/timeline", params=rules)
        finally:
            await api.ask("DELETE", f"/v1/sessions/{signed.session_id}")
    seen = msgspec.json.decode(body, type=Timeline)
    mentioned = {
        person
        for entry in seen.entries
        for raw in entry.messages
        for person in msgspec.json.decode(raw, type=Message).mentions
    }
    return seen, await operator.call(users.cards, users.ByIds(ids=sorted(mentioned)))

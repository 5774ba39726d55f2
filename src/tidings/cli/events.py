"""`tidings events`: what services gave up on, and how to try it again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from tidings.cli.options import EXIT_REFUSED, Data, Json, Problem, plainly, settings_from
from tidings.cli.printing import print_json, print_table
from tidings.platform.clock import rfc3339
from tidings.platform.contract import NotFound, Nothing
from tidings.platform.occurrence import DeadLetter, EventId, Replay

if TYPE_CHECKING:
    from tidings.cli.operator import Operator

app = typer.Typer(no_args_is_help=True, help="Events that a service could not react to, and set aside.")

Id = Annotated[UUID, typer.Argument(help="The event's id, as `events list` shows it.", metavar="ID")]


@app.command("list")
@plainly
def list_(data: Data = None, as_json: Json = False) -> None:
    """List the events that were set aside, after a reaction to them failed eight times.

    Example: `tidings events list`
    """
    from tidings.cli.operator import as_operator

    letters = as_operator(settings_from(data=data).settings, _letters)
    if as_json:
        print_json({"events": [{"service": service, **_facts(letter)} for service, letter in letters]})
        return
    if not letters:
        typer.echo("Nothing was set aside.")
        return
    print_table(
        ["id", "event", "for", "since", "error"],
        [
            (
                str(letter.occurred.id),
                letter.occurred.event,
                service,
                rfc3339(letter.dead_ms)[:19],
                letter.error[:60],
            )
            for service, letter in letters
        ],
    )
    typer.echo("Once its cause is mended: tidings events replay ID", err=True)


@app.command()
@plainly
def show(event_id: Id, data: Data = None, as_json: Json = False) -> None:
    """Show one of them whole: what happened, and the error.

    Example: `tidings events show 0198f6a2-7c1e-7d31-9a52-3f5b2c1d4e6f`
    """
    from tidings.cli.operator import as_operator

    letters = as_operator(settings_from(data=data).settings, _letters)
    found = [(service, letter) for service, letter in letters if letter.occurred.id == event_id]
    if not found:
        raise _absent(event_id)
    for service, letter in found:
        facts = {"service": service, **_facts(letter)}
        if as_json:
            print_json(facts)
        else:
            for name, value in facts.items():
                typer.echo(f"{name:<10} {json.dumps(value) if isinstance(value, dict) else value}")


@app.command()
@plainly
def replay(event_id: Id, data: Data = None, as_json: Json = False) -> None:
    """React to it again. Its effect is made once, however often this is called.

    Example: `tidings events replay 0198f6a2-7c1e-7d31-9a52-3f5b2c1d4e6f`
    """
    from tidings.cli.operator import as_operator

    async def work(reached: Operator) -> Replay:
        for service, letter in await _letters(reached):
            if letter.occurred.id == event_id:
                return await _replay(reached, service, event_id)
        raise _absent(event_id)

    outcome = as_operator(settings_from(data=data).settings, work)
    if as_json:
        print_json(outcome)
    elif outcome.done:
        typer.echo("Done: the effect is there.")
    if not outcome.done:
        raise Problem(
            f"It failed again: {outcome.error}", "It stays set aside. Mend that, then replay it.", EXIT_REFUSED
        )


async def _letters(reached: Operator) -> list[tuple[str, DeadLetter]]:
    from tidings import everything
    from tidings.platform.events.mailroom import letters_of

    found: list[tuple[str, DeadLetter]] = []
    for name in everything.REACTING:
        found += [(name, one) for one in (await reached.call(letters_of(name), Nothing())).letters]
    return found


async def _replay(reached: Operator, service: str, event_id: UUID) -> Replay:
    from tidings.platform.events.mailroom import replay_of

    try:
        return await reached.call(replay_of(service), EventId(id=event_id))
    except NotFound:
        raise _absent(event_id) from None


def _facts(letter: DeadLetter) -> dict[str, object]:
    one = letter.occurred
    return {
        "id": str(one.id),
        "event": one.event,
        "producer": letter.producer,
        "subject": str(one.subject),
        "version": one.version,
        "body": json.loads(bytes(one.body)),
        "error": letter.error,
        "attempts": letter.attempts,
        "since": rfc3339(letter.dead_ms),
    }


def _absent(event_id: UUID) -> Problem:
    return Problem(f"No event {event_id} was set aside.", "See which were: tidings events list", EXIT_REFUSED)

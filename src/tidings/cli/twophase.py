"""`tidings twophase`: deletions that are not over, and what each service holds of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from tidings.cli.options import Data, Json, plainly, settings_from
from tidings.cli.printing import print_json, print_table
from tidings.contracts import friends, messages, users
from tidings.platform.contract import NotFound, Refusal

if TYPE_CHECKING:
    from tidings.cli.operator import Operator

PARTICIPANTS = {"friends": friends.branches, "messages": messages.branches}

app = typer.Typer(no_args_is_help=True, help="Deletions of accounts that are not over, and their parts.")


def _gid(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{32}", text):
        raise typer.BadParameter(f"{text!r} is no id of a transaction: it has 32 digits and letters from a to f.")
    return text


Gid = Annotated[
    str,
    typer.Argument(help="The transaction's id, as `list` and the logs show it.", metavar="GID", callback=_gid),
]


class Part(msgspec.Struct, frozen=True):
    """A branch at one service. `age` is that of a prepared one, in seconds."""

    service: str
    gid: str
    state: str
    age: float | None = None


class InDoubt(msgspec.Struct, frozen=True):
    """What is not over. `unreachable` names services that did not say what they hold."""

    transactions: list[users.Transaction]
    branches: list[Part]
    unreachable: list[str]

    @property
    def oldest(self) -> float:
        """Seconds since the oldest began; 0 when nothing is in doubt."""
        ages = [one.age for one in self.transactions] + [part.age or 0.0 for part in self.branches]
        return max(ages, default=0.0)


@app.command("list")
@plainly
def list_(data: Data = None, as_json: Json = False) -> None:
    """List deletions that are not over, and the prepared branches of every service.

    Example: `tidings twophase list --json`
    """
    from tidings.cli.operator import as_operator

    found = as_operator(settings_from(data=data).settings, in_doubt)
    if as_json:
        print_json(found)
        return
    _print(found)
    if not found.transactions and not found.branches:
        typer.echo("Nothing is in doubt.")


@app.command()
@plainly
def show(gid: Gid, data: Data = None, as_json: Json = False) -> None:
    """Show one deletion and what each service holds of it, also when it is over (for 7 days).

    Example: `tidings twophase show 0123456789abcdef0123456789abcdef`
    """
    from tidings.cli.operator import as_operator

    async def one(reached: Operator) -> InDoubt:
        return await _look(reached, gid)

    found = as_operator(settings_from(data=data).settings, one)
    if as_json:
        print_json(found)
    else:
        _print(found)
    if not found.transactions and all(part.state == "absent" for part in found.branches):
        raise NotFound(f"No service knows the transaction {gid}.")


async def in_doubt(reached: Operator) -> InDoubt:
    """All that is not over in a running system."""
    return await _look(reached, None)


async def _look(reached: Operator, gid: str | None) -> InDoubt:
    ask = users.TransactionsAsk(gid=gid)
    log = await reached.call(users.transactions, ask)
    parts: list[Part] = []
    unreachable: list[str] = []
    for service, call in PARTICIPANTS.items():
        try:
            held = await reached.call(call, ask)
        except Refusal:
            unreachable.append(service)
            continue
        parts += [Part(service, one.gid, one.state, one.age) for one in held.branches]
    return InDoubt(log.transactions, parts, unreachable)


def _print(found: InDoubt) -> None:
    if found.transactions:
        rows = [
            (one.gid, str(one.user_id), one.outcome or "undecided", _over(one), f"{one.age:.1f} s")
            for one in found.transactions
        ]
        print_table(["transaction", "account", "outcome", "over", "age"], rows)
    if found.branches:
        print()
        aged = [(part, "" if part.age is None else f"{part.age:.1f} s") for part in found.branches]
        print_table(
            ["service", "transaction", "branch", "age"], [(p.service, p.gid, p.state, age) for p, age in aged]
        )
    for service in found.unreachable:
        typer.echo(f"{service} does not answer; what it holds is not shown.", err=True)


def _over(one: users.Transaction) -> str:
    return one.finished_at[:19].replace("T", " ") if one.finished_at else "no"

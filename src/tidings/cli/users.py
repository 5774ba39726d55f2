"""`tidings users`: accounts, as the operator sees and changes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from tidings.cli.options import Data, Handle, Json, plainly, settings_from
from tidings.cli.printing import print_json, print_table
from tidings.contracts import users
from tidings.platform.contract import Call, Nothing

if TYPE_CHECKING:
    from tidings.cli.operator import Operator

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")

PAGE = 500

app = typer.Typer(no_args_is_help=True, help="Accounts of a running server.")


@app.command("list")
@plainly
def list_(data: Data = None, as_json: Json = False) -> None:
    """List every account, in the order of the handles.

    Example: `tidings users list --json`
    """
    from tidings.cli.operator import as_operator

    accounts = as_operator(settings_from(data=data).settings, _everybody)
    if as_json:
        print_json({"accounts": accounts, "total": len(accounts)})
        return
    print_table(
        ["handle", "name", "role", "state", "since"],
        [
            (f"@{one.handle}", one.name, one.role, "suspended" if one.suspended else "active", one.created_at[:10])
            for one in accounts
        ],
    )
    typer.echo(f"{len(accounts):,} account{'s' * (len(accounts) != 1)}", err=True)


@app.command()
@plainly
def invite(data: Data = None, as_json: Json = False) -> None:
    """Make a link with which one person can sign up.

    Example: `tidings users invite`
    """
    print_link(data, users.invite, Nothing(), as_json=as_json)


@app.command("reset-link")
@plainly
def reset_link(handle: Handle, data: Data = None, as_json: Json = False) -> None:
    """Make a link with which a person sets a new password, once.

    Example: `tidings users reset-link @ada`
    """
    print_link(data, users.reset_link, _by(handle), as_json=as_json)


@app.command()
@plainly
def suspend(handle: Handle, data: Data = None, as_json: Json = False) -> None:
    """Keep a person out: their sessions end, and nobody sees them, until `reinstate`.

    Example: `tidings users suspend @ada`
    """
    ask = users.Suspend(handle=plain(handle), suspended=True)
    account = _asked(data, users.suspend, ask)
    _print_account(account, f"@{account.handle} is suspended.", as_json=as_json)


@app.command()
@plainly
def reinstate(handle: Handle, data: Data = None, as_json: Json = False) -> None:
    """Let a suspended person back in.

    Example: `tidings users reinstate @ada`
    """
    account = _asked(data, users.suspend, users.Suspend(handle=plain(handle), suspended=False))
    _print_account(account, f"@{account.handle} may sign in again.", as_json=as_json)


@app.command()
@plainly
def admin(handle: Handle, data: Data = None, as_json: Json = False) -> None:
    """Make a person an administrator; they sign in anew.

    Example: `tidings users admin @ada`
    """
    account = _asked(data, users.make_administrator, _by(handle))
    _print_account(account, f"@{account.handle} is an administrator.", as_json=as_json)


def plain(handle: str) -> str:
    """The handle without its @."""
    return handle.strip().removeprefix("@").lower()


def _by(handle: str) -> users.ByHandle:
    return users.ByHandle(handle=plain(handle))


async def _everybody(operator: Operator) -> list[users.Account]:
    found: list[users.Account] = []
    while True:
        ask = users.AccountsAsk(after=found[-1].handle if found else "", limit=PAGE)
        page = (await operator.call(users.accounts, ask)).accounts
        found += page
        if not page:
            return found


def _asked(data: Path | None, call: Call[Ask, Answer], ask: Ask) -> Answer:
    from tidings.cli.operator import as_operator

    return as_operator(settings_from(data=data).settings, lambda operator: operator.call(call, ask))


def _print_account(account: users.Account, sentence: str, *, as_json: bool) -> None:
    if as_json:
        print_json(account)
    else:
        typer.echo(sentence)


def print_link(data: Path | None, call: Call[Ask, users.OneTimeLink], ask: Ask, *, as_json: bool) -> None:
    """Make a one-time link and print its whole address."""
    from tidings.cli.operator import as_operator

    async def made(operator: Operator) -> tuple[str, users.OneTimeLink]:
        link = await operator.call(call, ask)
        return operator.address_of(link), link

    address, link = as_operator(settings_from(data=data).settings, made)
    if as_json:
        print_json({"address": address, "expires_at": link.expires_at})
    else:
        typer.echo(address)
        typer.echo(f"Opens once, until {link.expires_at[:16].replace('T', ' ')} UTC.", err=True)

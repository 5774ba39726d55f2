"""`tidings media`: how much room pictures take, and what nothing shows any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tidings.cli.options import Data, Json, plainly, settings_from
from tidings.cli.printing import print_json, print_table, size_of
from tidings.contracts import media, users
from tidings.contracts.media import PruneAsk, Pruned, Usage, UsageAsk, Used
from tidings.contracts.users import ByIds, UserId

if TYPE_CHECKING:
    from tidings.cli.operator import Operator

app = typer.Typer(no_args_is_help=True, help="The pictures that people have uploaded.")

PAGE = 1000  # people
Most = Annotated[int, typer.Option("--most", min=1, help="How many people are listed: those with the most bytes.")]


@app.command()
@plainly
def usage(most: Most = 20, data: Data = None, as_json: Json = False) -> None:
    """Show how much room pictures take, in all and of those who keep the most.

    Example: `tidings media usage`
    """
    from tidings.cli.operator import as_operator

    async def work(reached: Operator) -> tuple[Usage, list[Used], dict[UserId, str]]:
        whole, people = await _all(reached)
        first = sorted(people, key=lambda one: (-one.bytes, one.user_id))[:most]
        cards = await reached.call(users.cards, ByIds(ids=[one.user_id for one in first]))
        return whole, first, {user_id: card.handle for user_id, card in cards.items()}

    whole, first, handles = as_operator(settings_from(data=data).settings, work)
    if as_json:
        people = [
            {
                "user_id": str(one.user_id),
                "handle": handles.get(one.user_id),
                "pictures": one.pictures,
                "bytes": one.bytes,
                "unused": one.unused,
            }
            for one in first
        ]
        totals = {"pictures": whole.pictures, "bytes": whole.bytes, "leaving": whole.leaving, "blobs": whole.blobs}
        print_json({**totals, "people": people})
        return
    if first:
        print_table(
            ["person", "pictures", "unused", "size"],
            [
                (
                    handles.get(one.user_id, str(one.user_id)),
                    str(one.pictures),
                    str(one.unused),
                    size_of(one.bytes),
                )
                for one in first
            ],
        )
    leaving = f"; {whole.leaving} are being deleted" if whole.leaving else ""
    typer.echo(f"{whole.pictures} pictures take {size_of(whole.bytes)} in {whole.blobs}{leaving}.")


@app.command()
@plainly
def prune(data: Data = None, as_json: Json = False) -> None:
    """Delete now what nothing shows any more, and files that belong to no picture.

    The server does the first by itself. The second are left when a database was restored that is older than they.

    Example: `tidings media prune`
    """
    from tidings.cli.operator import as_operator

    async def work(reached: Operator) -> Pruned:
        done = await reached.call(media.prune, PruneAsk())
        pictures, strays = done.pictures, done.strays
        while done.after is not None:
            done = await reached.call(media.prune, PruneAsk(after=done.after))
            strays += done.strays
        return Pruned(pictures=pictures, strays=strays)

    done = as_operator(settings_from(data=data).settings, work)
    if as_json:
        print_json({"pictures": done.pictures, "strays": done.strays})
    else:
        typer.echo(f"Deleted {done.pictures} pictures that nothing showed, and {done.strays} stray files.")


async def _all(reached: Operator) -> tuple[Usage, list[Used]]:
    """The totals, and everybody who keeps pictures."""
    whole = page = await reached.call(media.usage, UsageAsk(limit=PAGE))
    people = list(page.people)
    while len(page.people) == PAGE:
        page = await reached.call(media.usage, UsageAsk(after=people[-1].user_id, limit=PAGE))
        people += page.people
    return whole, people

"""What commands print: tables and facts for people, JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

WIDTH_OF_A_FILE = 160  # where there is no terminal to ask


def console(*, stderr: bool = False) -> Console:
    """A console that never guesses: no highlighting, and nothing in a value is taken for markup."""
    from rich.console import Console

    width = None if (sys.stderr if stderr else sys.stdout).isatty() else WIDTH_OF_A_FILE
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=width)


def print_json(facts: object) -> None:
    """The facts as JSON, for programs."""
    encoded = msgspec.json.encode(facts, enc_hook=str)
    sys.stdout.write(msgspec.json.format(encoded, indent=2).decode() + "\n")


def size_of(count: int) -> str:
    """Bytes as people read them: `3.2 MB`."""
    size, unit = float(count), "bytes"
    for larger in ("KB", "MB", "GB", "TB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} bytes" if unit == "bytes" else f"{size:.1f} {unit}"


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, title: str | None = None) -> None:
    """A table without lines. Long values are folded, never cut."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    print_drawn(table)


def print_drawn(drawing: RenderableType) -> None:
    """On a terminal as it is; elsewhere without the blanks that fill its lines."""
    out = console()
    if out.is_terminal:
        out.print(drawing)
        return
    with out.capture() as captured:
        out.print(drawing)
    sys.stdout.writelines(line.rstrip() + "\n" for line in captured.get().splitlines())

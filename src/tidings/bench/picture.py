"""A picture of the rounds: bars by number of friends, on a logarithmic scale, with how far rounds lie apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Final

from tidings.bench.rounds import Figure

WIDTH: Final = 900  # pixels
LEFT: Final = 60
BAR: Final = 27
GAP: Final = 22  # between two numbers of friends
HEIGHT: Final = 260  # of the bars
TOP: Final = 90
ABREAST: Final = 3  # names of sides
COLOURS: Final = {
    "join": "#8a8f98",
    "pooled": "#999ea6",
    "latest": "#a9aeb6",
    "cached": "#c4c8ce",
    "raw": "#e0c97f",
    "warm": "#1f6f8b",
    "apart": "#4f9fb8",
    "cold": "#a6cfdc",
    "naive": "#d9877a",
}
STYLE: Final = (
    "text{font:12px system-ui,sans-serif;fill:#222}.small{font-size:10px;fill:#555}.spread{stroke:#222}"
    "@media (prefers-color-scheme:dark){text{fill:#ddd}.small{fill:#aaa}.spread{stroke:#ddd}}"
)


def bars(figures: Mapping[str, Figure], names: Mapping[str, str], degrees: Sequence[int]) -> str:
    """SVG. `figures` are by side and number of friends (`warm_50`), `names` say what a side is."""
    sides = [side for side in COLOURS if any(f"{side}_{degree}" in figures for degree in degrees)]
    least = min(figure.least for figure in figures.values())
    most = max(figure.most for figure in figures.values())
    low, high = math.floor(math.log10(least)), math.ceil(math.log10(most))

    def height(rate: float) -> float:
        return HEIGHT * (math.log10(rate) - low) / max(1, high - low)

    width = max(WIDTH, LEFT + len(degrees) * (len(sides) * BAR + GAP) + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{TOP + HEIGHT + 40}" role="img">',
        "<title>Timelines per second, by number of friends</title>",
        f"<style>{STYLE}</style>",
    ]
    for exponent in range(low, high + 1):
        y = TOP + HEIGHT - height(10**exponent)
        parts.append(f'<line x1="{LEFT}" x2="{width}" y1="{y:.1f}" y2="{y:.1f}" stroke="#9995"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{10**exponent:,}</text>')
    for number, side in enumerate(sides):
        at, y_at = LEFT + number % ABREAST * 280, 18 + number // ABREAST * 18
        parts.append(f'<rect x="{at}" y="{y_at - 10}" width="11" height="11" fill="{COLOURS[side]}"/>')
        parts.append(f'<text x="{at + 16}" y="{y_at}">{escape(names[side])}</text>')
    for place, degree in enumerate(degrees):
        x = float(LEFT + GAP + place * (len(sides) * BAR + GAP))
        middle = x + len(sides) * BAR / 2
        parts.append(
            f'<text x="{middle:.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{degree:,} friends</text>'
        )
        for side in sides:
            figure = figures.get(f"{side}_{degree}")
            if figure is not None:
                parts += _bar(x, figure, COLOURS[side], height)
            x += BAR
    parts.append(f'<text class="small" x="{LEFT}" y="{TOP + HEIGHT + 36}">')
    parts.append(
        "Timelines per second (logarithmic); medians of rounds, lines from the least to the most.</text></svg>"
    )
    return "\n".join(parts) + "\n"


def _bar(x: float, figure: Figure, colour: str, height: Callable[[float], float]) -> list[str]:
    tall, middle = height(figure.per_second), x + (BAR - 2) / 2
    y, most = TOP + HEIGHT - tall, TOP + HEIGHT - height(figure.most)
    return [
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{BAR - 2}" height="{tall:.1f}" fill="{colour}"/>',
        f'<line class="spread" x1="{middle:.1f}" x2="{middle:.1f}"'
        f' y1="{TOP + HEIGHT - height(figure.least):.1f}" y2="{most:.1f}"/>',
        f'<text class="small" x="{middle:.1f}" y="{most - 4:.1f}" text-anchor="middle">'
        f"{_short(figure.per_second)}</text>",
    ]


def _short(rate: float) -> str:
    return f"{rate / 1000:.0f}k" if rate >= 9_950 else f"{rate / 1000:.1f}k" if rate >= 995 else f"{rate:.0f}"

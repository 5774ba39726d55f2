"""Results of `tidings bench` as a person reads them: tables, and a sentence on what they come to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from tidings.cli.printing import print_table, size_of

if TYPE_CHECKING:
    from tidings.bench import mix as mixing
    from tidings.bench.growth import Outcome as Growth
    from tidings.bench.live import Outcome as Live
    from tidings.bench.overload import Overloaded, Slowed
    from tidings.bench.timeline import Outcome

NAMES = {
    "join": "monolith, one JOIN",
    "pooled": "monolith, one JOIN, Tidings' pool",
    "latest": "monolith with latest rows",
    "cached": "monolith with latest rows and caches",
    "raw": "a bare server, the same bytes",
    "warm": "Tidings, one process",
    "cold": "Tidings, one process, no caches",
    "apart": "Tidings, a process for each service",
    "naive": "Tidings, asked for each friend",
}


def print_timeline(outcome: Outcome) -> None:
    rows = []
    for name, figure in outcome.figures.items():
        side, _, degree = name.rpartition("_")
        ratio, read = outcome.ratios.get(name), side.removeprefix("posts_")
        rows.append(
            (
                NAMES[read] if read == side else f"{NAMES[read]}, with posts",
                degree,
                f"{figure.per_second:,.0f} ({figure.least:,.0f} to {figure.most:,.0f})",
                f"{figure.p50_ms:.1f} ms" if figure.p50_ms else "",
                f"{figure.p99_ms:.1f} ms" if figure.p99_ms else "",
                f"{figure.server_us:,.0f} + {figure.engines_us:,.0f} us",
                f"{ratio.median:.2f} ({ratio.least:.2f} to {ratio.most:.2f})" if ratio is not None else "1",
            )
        )
    print_table(
        ("side", "friends", "requests per second", "median", "99th percentile", "server + engines", "ratio"), rows
    )
    for ours in ("warm", "cold", "apart"):
        for friends in outcome.plan.degrees:
            found = outcome.figures.get(f"{ours}_{friends}")
            spent = [f"{name} {one:,.0f} us" for name, one in found.parts.items() if one >= 1] if found else []
            if spent:
                typer.echo(f"{NAMES[ours]}, {friends} friends: {', '.join(spent)}")
    if outcome.judged:
        typer.echo(
            f"With posts, {outcome.judged:,} answers were judged by what their readers had been shown and had said:"
            f" {len(outcome.violations)} violations."
        )
    for one in outcome.violations[:10]:
        typer.echo(f"  {one}")


def print_mix(outcome: mixing.Outcome) -> None:
    from tidings.bench.runs import QUIET

    print_table(
        ("operation", "median", "99th percentile", "bytes", "non-empty"),
        [
            (
                name,
                f"{one.p50_ms:.1f} ms",
                f"{one.p99_ms:.1f} ms",
                f"{one.bytes_each:,.0f}",
                "" if one.non_empty is None else f"{one.non_empty:.1%}",
            )
            for name, one in outcome.operations.items()
        ],
        title=f"{outcome.pages} pages; {outcome.people:,} people, {outcome.friendships:,} friendships",
    )
    late = "" if outcome.kept_up else " The load itself was late: this measures it, too."
    lines = (
        f"{outcome.rate:,.0f} requests a second with a 99th percentile of {outcome.p99_ms:.1f} ms"
        f" ({outcome.p99_least_ms:.1f} to {outcome.p99_most_ms:.1f} in {outcome.runs} runs),"
        f" median {outcome.p50_ms:.1f} ms.{late}",
        f"{outcome.per_core:,.0f} a core of {outcome.cores}, which the load shares;"
        f" {outcome.per_busy_core:,.0f} a second of a core that Tidings and its engines use.",
        f"Processor time a request: Tidings {outcome.server_us:,.0f} us, engines {outcome.engines_us:,.0f} us,"
        f" load {outcome.generator_us:,.0f} us.",
        f"{outcome.bytes_each:,.0f} bytes an answer; {outcome.non_empty:.1%} of the pages had something on them.",
    )
    for line in lines:
        typer.echo(line)
    if outcome.others > QUIET:
        typer.echo(f"Others used {outcome.others:.0%} of the machine meanwhile: the figures are less for that.")


def print_after(outcome: mixing.After) -> None:
    print_table(
        ("messages there", "written a second", "median", "99th percentile", "Tidings", "engines"),
        [
            (
                f"{one.messages:,}",
                f"{one.per_second:,.0f} ({one.least:,.0f} to {one.most:,.0f})",
                f"{one.p50_ms:.1f} ms",
                f"{one.p99_ms:.1f} ms",
                f"{one.server_us:,.0f} us",
                f"{one.engines_us:,.0f} us",
            )
            for one in (outcome.empty, outcome.full)
        ],
        title=f"Writing, {outcome.at_once} at once",
    )
    typer.echo(f"Full, it writes {outcome.ratio:.2f} times as fast as empty.")


def print_growth(outcome: Growth) -> None:
    for what, by_size in outcome.figures.items():
        grew, _, answers = what.partition("_")
        print_table(
            ("data", "requests per second", "99th percentile", "Tidings + engines", "a request"),
            [
                (
                    size.replace("-", " "),
                    f"{one.per_second:,.0f} ({one.least:,.0f} to {one.most:,.0f})",
                    f"{one.p99_ms:.1f} ms",
                    f"{one.server_us:,.0f} + {one.engines_us:,.0f} us",
                    f"{one.server_us + one.engines_us:,.0f} us",
                )
                for size, one in by_size.items()
            ],
            title=f"More {grew}, {answers}",
        )
        ratio = outcome.ratios[what]
        typer.echo(
            f"{ratio.median:.2f} times the processor time of the smallest"
            f" ({ratio.least:.2f} to {ratio.most:.2f} in {outcome.plan.rounds} rounds)."
        )
    print_table(
        ("data", "caches hold", "of at most, each", "memory of Tidings"),
        [
            (
                size.replace("-", " "),
                ", ".join(f"{service} {size_of(count)}" for service, count in one.caches.items()),
                size_of(one.bound),
                size_of(one.resident),
            )
            for size, one in outcome.held.items()
        ],
        title="Memory, warm",
    )


def print_live(outcome: Live) -> None:
    print_table(
        ("posts a second", "posts", "refused", "deliveries", "missing", "median", "99th percentile", "longest",
         "told together", "answered", "a post"),
        [
            (
                f"{one.rate:g}",
                f"{one.posts:,}",
                f"{one.refused:,}",
                f"{one.deliveries:,}",
                f"{one.missing:,}",
                f"{one.p50_ms:.1f} ms",
                f"{one.p99_ms:.1f} ms ({one.p99_least_ms:.1f} to {one.p99_most_ms:.1f})",
                f"{one.max_ms:.1f} ms",
                f"{one.together:.1%}",
                f"{one.answered_p99_ms:.1f} ms",
                f"{one.post_us:,.0f} us",
            )
            for one in outcome.steps
        ],
        title=f"{outcome.authors:,} authors with {outcome.friends:,} friends each; those of {outcome.heard:,} "
        f"listen in {outcome.streams:,} streams",
    )  # fmt: skip
    typer.echo(
        f"99 of 100 deliveries within {outcome.limit_ms:g} ms: up to {outcome.rate:g} posts a second."
        if outcome.rate
        else f"At none of these rates came 99 of 100 deliveries within {outcome.limit_ms:g} ms."
    )
    if not all(one.kept_up for one in outcome.steps):
        typer.echo("The load itself was late: this measures it, too.")
    if cut := sum(one.cut for one in outcome.steps):
        typer.echo(f"{cut:,} streams were cut, and opened again.")


def print_overloaded(found: Overloaded) -> None:
    from tidings.bench.runs import QUIET

    print_table(
        ("times the rate", "offered a second", "good a second", "refused", "99th percentile", "posts", "lost"),
        [
            (
                f"{one.times:g}",
                f"{one.offered:,.0f}",
                f"{one.good:,.0f} ({one.good_least:,.0f} to {one.good_most:,.0f})",
                f"{one.refused:.1%}",
                f"{one.p99_ms:,.0f} ms",
                f"{one.acknowledged:,}",
                f"{one.lost:,}",
            )
            for one in found.levels
        ],
        title=f"Too much to do; {found.rate:,.0f} requests a second are borne",
    )
    typer.echo(f"At twice the rate {found.of_peak:.0%} of the most good answers at any.")
    if found.of_offered > 0.99:
        typer.echo("That was not too much: nearly all that was asked was answered. Give a higher --rate.")
    typer.echo(f"{found.checked:,} posts were acknowledged and asked for afterwards; {found.lost:,} were lost.")
    if not all(one.kept_up for one in found.levels):
        typer.echo("The load itself was late: this measures it, too.")
    most = max(one.others for one in found.levels)
    if most > QUIET:
        typer.echo(f"Others used up to {most:.0%} of the machine.")


def print_slowed(found: Slowed) -> None:
    print_table(
        ("pages", "99th percentile before", "meanwhile"),
        [
            ("others", f"{found.before_ms:.1f} ms", f"{found.while_ms:.1f} ms"),
            (f"need {found.service}", f"{found.needing_before_ms:.1f} ms", f"{found.needing_while_ms:,.1f} ms"),
        ],
        title=f"{found.service} is {found.seconds:g} s late",
    )
    typer.echo(
        f"Others: {found.ratio:.2f} times what it was ({found.ratio_least:.2f} to {found.ratio_most:.2f}"
        f" in {len(found.rounds)} rounds). Of those that need it, {found.answered:.1%} were answered,"
        f" and {found.whole:.1%} in full."
    )

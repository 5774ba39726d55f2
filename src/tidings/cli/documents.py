"""`tidings docs write`: the API's description and the map of the services, made from what the code declares."""

from __future__ import annotations

import inspect
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_origin

from tidings import everything
from tidings.cli.options import EXIT_REFUSED, Problem
from tidings.platform.contract import Call, Contract, Event
from tidings.platform.http.openapi import openapi
from tidings.platform.topology import CLI, EDGE, EMBEDDED, Topology


def write_documents(folder: Path) -> list[Path]:
    """Write both documents; what is there is replaced. The paths written."""
    contracts = [kind.contract for kind in everything.SERVICES.values()]
    document = openapi(contracts, version=version("tidings"))
    written = {
        folder / "openapi.json": json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True) + "\n",
        folder / "map.md": map_of(contracts),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in written.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Problem(
            f"{folder} cannot be written: {error.strerror}.", "Name a folder that you may write.", EXIT_REFUSED
        ) from error
    return list(written)


def map_of(contracts: Sequence[Contract]) -> str:
    """The map, in Markdown: who runs where, who owns what, who calls whom, what the public sees, what is told."""
    names = [contract.service for contract in contracts]
    near = Topology.one_process(names, storeless=everything.STORELESS, with_blobs=everything.WITH_BLOBS)
    apart = Topology.apart(names, storeless=everything.STORELESS, with_blobs=everything.WITH_BLOBS)
    sections = [
        ["# Map", "", "Made by `tidings docs write docs` from the contracts and the topology; do not edit."],
        ["## Who calls whom", "", *_picture(contracts)],
        ["## Services", "", *_services(contracts, near, apart)],
        ["## Internal calls", "", *_calls(contracts)],
        ["## Public routes", "", *_routes(contracts, pages=False)],
        ["## Pages", "", *_routes(contracts, pages=True)],
        ["## Events", "", *_events(contracts)],
    ]
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def _picture(contracts: Iterable[Contract]) -> Iterator[str]:
    """Edges carry the calls' names, and how many routes are asked; the edge reaches every service by its routes."""
    yield from ("```mermaid", "flowchart LR")
    yield from ("  people([people and clients]) -->|HTTP| edge", "  operator([operator]) --> cli[tidings command]")
    yield "  edge[[edge: the public listener]]"
    edges: dict[tuple[str, str], list[str]] = {}
    for contract in contracts:
        yield f"  {contract.service}[{contract.service}]"
        if contract.service not in everything.STORELESS:
            yield f"  {contract.service} --- {contract.service}_data[(database {contract.service})]"
        asked = Counter(caller for route in contract.routes for caller in route.call.callers)
        what = "page" if any(route.page for route in contract.routes) else "route"
        for caller in sorted(asked, key=lambda one: (one != EDGE, one)):
            count = asked[caller]
            edges[caller, contract.service] = [f"{count} {what}{'s' if count != 1 else ''}"]
        for call in contract.calls:
            for caller in sorted(call.callers):
                edges.setdefault((caller, contract.service), []).append(call.name.partition("/")[2])
    for (caller, callee), labels in edges.items():
        arrow = "-.->" if caller == CLI else "-->"
        yield f'  {caller} {arrow}|"{"<br>".join(labels)}"| {callee}'
    yield "```"


def _services(contracts: Iterable[Contract], near: Topology, apart: Topology) -> Iterator[str]:
    rows = []
    for contract in contracts:
        placed = near.services[contract.service]
        store = f"database `{contract.service}`, PostgreSQL" if placed.store == EMBEDDED else "none"
        rows.append(
            (
                f"**{contract.service}**",
                _what(contract),
                store,
                f"`{placed.process}`",
                f"`{apart.services[contract.service].process}`",
            )
        )
    rows.append(
        (
            f"**{EDGE}**",
            "the public listener: sign-in, limits, routing",
            "none",
            f"`{near.edge}`",
            f"`{apart.edge}`",
        )
    )
    yield from _table(
        ["service", "what", "owns", "process of `tidings up`", "process of `tidings up --apart`"], rows
    )
    yield ""
    yield "Each service alone opens its database, by a role of its own. PostgreSQL is one embedded server, in a"
    yield "process beside these, until the topology file says otherwise."


def _calls(contracts: Iterable[Contract]) -> Iterator[str]:
    yield "`POST /internal/{service}/{call}`, signed by the caller's key; whoever is not listed is refused."
    yield ""
    yield from _table(
        ["call", "asks", "answers", "callers", "changes"],
        [
            (
                f"`{call.name}`",
                f"`{_type(call.ask)}`",
                f"`{_type(call.answer)}`",
                ", ".join(sorted(call.callers)),
                "nothing" if call.safe else "yes",
            )
            for call in _all_calls(contracts)
        ],
    )


def _routes(contracts: Iterable[Contract], *, pages: bool) -> Iterator[str]:
    rows = [
        (f"`{route.method}`", f"`{route.path}`", route.summary, route.service, route.who)
        for contract in contracts
        for route in contract.routes
        if route.page == pages
    ]
    yield from _table(["verb", "path", "what", "service", "who"], sorted(rows, key=lambda row: (row[1], row[0])))


def _events(contracts: Iterable[Contract]) -> Iterator[str]:
    yield "Written to the service's outbox in the transaction of the change: ids and versions, never content."
    yield ""
    rows = [
        (f"`{event.name}`", f"`{event.body.__name__}`", _durable(event), _sentence(event.body))
        for contract in contracts
        for event in contract.events
    ]
    yield from _table(["event", "body", "the bus keeps it", "what"], rows)


def _durable(event: Event) -> str:
    if isinstance(event.durable, bool):
        return "yes" if event.durable else "no"
    return " or ".join(f"with `{name}`" for name in event.durable)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(headings) + " |"
    yield "|" + " --- |" * len(headings)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def _all_calls(contracts: Iterable[Contract]) -> Iterator[Call[Any, Any]]:
    for contract in contracts:
        yield from contract.calls


def _what(contract: Contract) -> str:
    """What the contract's own first sentence says, without the service's name."""
    module = sys.modules[f"tidings.contracts.{contract.service}"]
    return (module.__doc__ or "").split("\n", 1)[0].partition(": ")[2].rstrip(".")


def _type(kind: Any) -> str:
    if get_origin(kind) is None:
        return str(getattr(kind, "__name__", kind))
    arguments = ", ".join(_type(one) for one in kind.__args__)
    return f"{get_origin(kind).__name__}[{arguments}]"


def _sentence(kind: type[Any]) -> str:
    return " ".join(inspect.cleandoc(kind.__doc__ or "").split())

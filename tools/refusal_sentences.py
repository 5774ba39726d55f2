"""What refusals say, added to a catalogue's template: pages look it up when they are made (web/words.py).

Usage: python tools/refusal_sentences.py TEMPLATE. It is every title, and each sentence that is written out where
somebody is refused; one that is put together there stands in no catalogue, and the title has to do.
"""

import ast
import importlib
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.pofile import read_po, write_po

import tidings
from tidings import contracts
from tidings.platform.contract import FieldError
from tidings.platform.http.problems import known_refusals

# Where people are refused. What one service says to another is not for them.
REFUSING = ("edge", "services", "web")


def titles() -> list[str]:
    for module in pkgutil.iter_modules(contracts.__path__):
        importlib.import_module(f"{contracts.__name__}.{module.name}")
    return [refusal.title for refusal in known_refusals().values()]


def details() -> list[str]:
    """Of refusals the first argument, of fields the second."""
    places = {refusal.__name__: 0 for refusal in known_refusals().values()} | {FieldError.__name__: 1}
    roots = [Path(folder) / part for folder in tidings.__path__ for part in REFUSING]
    return [said for root in roots for path in sorted(root.rglob("*.py")) for said in _said(path, places)]


def _said(path: Path, places: dict[str, int]) -> Iterator[str]:
    module = ast.parse(path.read_text(encoding="utf-8"))
    named: dict[str, set[str]] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.Assign) and (text := _written_out(node.value)):
            for target in node.targets:
                named.setdefault(ast.unparse(target), set()).add(text)
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            place = places.get(ast.unparse(node.func).rpartition(".")[2])
            if place is not None and place < len(node.args):
                given = node.args[place]
                yield from [text] if (text := _written_out(given)) else named.get(ast.unparse(given), ())


def _written_out(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def main(template: Path) -> int:
    with template.open("rb") as file:
        found = read_po(file)
    for sentence in (*titles(), *details()):
        found.add(sentence)
    with template.open("wb") as file:
        write_po(file, found, omit_header=True, sort_output=True, width=0)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))

"""README.md and docs/: every link, path, function, command and setting that they name is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.docs.documents import DOCUMENTS, ROOT
from tidings.cli.main import app
from tidings.cli.options import EXIT_CODES
from tidings.platform.settings import FLAG_NAMES, KEYS

MADE = {ROOT / "docs/map.md", ROOT / "docs/openapi.json"}  # by `make docs`
PATH = re.compile(r"`((?:src|tests|docs|tools|requirements)(?:/[\w.-]+)*/?)(?:::([\w.]+))?`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)

documents = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


@documents
def test_links_lead_somewhere(document: Path) -> None:
    for target in LINK.findall(FENCED.sub("", document.read_text())):
        if "://" in target:
            continue
        path, _, heading = target.partition("#")
        aim = (document.parent / path).resolve() if path else document
        assert aim.exists() or aim in MADE, target
        if heading:
            assert heading in {_anchor(found) for found in HEADING.findall(aim.read_text())}, target


@documents
def test_paths_and_what_is_named_in_them_are_there(document: Path) -> None:
    for path, name in PATH.findall(FENCED.sub("", document.read_text())):
        aim = ROOT / path
        assert aim.exists() or aim in MADE or path.endswith("_....py"), path
        if name:
            assert name in set(_names(ast.parse(aim.read_text()))), f"{path}::{name}"


@documents
def test_commands_are_there(document: Path) -> None:
    for line in _typed(document.read_text()):
        words = re.split(r"\s+", line.partition("tidings ")[2].partition("#")[0].strip())
        assert _is_command(words), line


@documents
def test_options_and_variables_are_there(document: Path) -> None:
    text = document.read_text()
    for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+", "\n".join(_typed(text))):
        assert flag in _flags(), flag
    for variable in re.findall(r"\bTIDINGS_[A-Z_]+\b", text):
        assert variable.removeprefix("TIDINGS_").lower() in KEYS, variable


def test_the_exit_codes_are_those_of_the_command() -> None:
    table = (ROOT / "docs/operating.md").read_text()
    written = dict(re.findall(r"^\| (\d+) \| (.+) \|$", table, re.MULTILINE))

    assert written.keys() == {str(int(code)) for code in EXIT_CODES}
    assert all(EXIT_CODES[int(code)].startswith(meaning) for code, meaning in written.items())


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _names(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
            for inner in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{node.name}.{inner.name}"


def _typed(text: str) -> Iterator[str]:
    """What a reader might type that begins with `tidings`: inline code, and lines of shell blocks."""
    shells = "\n".join(re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    inline = re.findall(r"`([^`\n]+)`", FENCED.sub("", text))
    for line in (*inline, *shells.splitlines()):
        if re.match(r"(\.venv/bin/)?tidings [a-z]", line):
            yield line


def _is_command(words: list[str]) -> bool:
    command = _root()
    for word in words:
        inner = getattr(command, "commands", {}).get(word)
        if inner is None:
            break
        command = inner
    return command is not _root() and not getattr(command, "commands", {})


@cache
def _root() -> Any:
    return typer.main.get_command(app)


def _flags() -> set[str]:
    flags = set(FLAG_NAMES)
    waiting = [_root()]
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        flags.update(option for parameter in command.params for option in parameter.opts)
    return flags | {"--help"}

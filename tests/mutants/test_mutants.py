"""No mutation rots: its text is there once, what is left parses and means another thing, and its tests exist."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.mutation import PROPERTIES, Edit, Mutation, Rotten
from tests.mutants.table import MUTATIONS, REQUIRED

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.name)
def test_what_it_takes_out_is_there_and_matters(mutation: Mutation) -> None:
    source = (ROOT / mutation.file).read_text()
    assert mutation.applied(source) != source
    assert mutation.line(ROOT) > 1
    assert mutation.broken
    assert set(mutation.broken) <= set(PROPERTIES)
    assert mutation.tests
    for test in mutation.tests:
        path, _, name = test.partition("::")
        tree = ast.parse((ROOT / path).read_text())
        names = [node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
        assert name.partition("[")[0] in names, test


def test_every_line_that_the_protocol_lists_is_there_with_its_property() -> None:
    assert [name for name, times in Counter(one.name for one in MUTATIONS).items() if times > 1] == []
    broken = {one.name: one.broken for one in MUTATIONS}
    assert {name for name, wanted in REQUIRED.items() if not wanted & set(broken.get(name, ()))} == set()


@pytest.mark.parametrize(
    ("source", "edit"),
    [
        ("one = 1\n", Edit("two", "three")),  # gone
        ("one = 1\none = 1\n", Edit("one", "two")),  # no longer the only one
        ("one = 1\n", Edit("= 1", "= (")),  # no Python
        ("one = 1\n", Edit("one = 1", "one  = 1")),  # the same
    ],
)
def test_a_mutation_that_has_rotted_is_refused(source: str, edit: Edit) -> None:
    with pytest.raises(Rotten, match="a line"):
        Mutation("a line", "", "a file", (edit,), ("a",), ()).applied(source)

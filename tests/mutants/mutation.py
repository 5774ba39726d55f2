"""A mutation: protective text that is taken out of one file, the property that breaks, and tests that show it."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# The properties by name: a-d are those of the commit protocol (tests/twophase/model.py), I1-I10 those of the whole.
PROPERTIES: Final = {
    "a": "a deletion is all or nothing",
    "b": "no COMMIT is written after the deadline",
    "c": "after a finished ABORT no prepare takes a lock",
    "d": "nothing is sent before the log row is durable",
    "I1": "the judgement over all databases after a deletion",
    "I2": "a friendship has two sides, and one edge each",
    "I3": "what was acknowledged is kept",
    "I4": "nothing that was deleted comes back",
    "I5": "nobody loses sight of what they saw",
    "I6": "each event's effect is made, and made once",
    "I7": "what follows from events equals its source",
    "I8": "nothing stays in doubt",
    "I9": "no answer shows what was taken away before it began",
    "I10": "every blob has an owner, or is collected",
}


class Rotten(Exception):
    """The source no longer holds what a mutation takes out of it."""


@dataclass(frozen=True)
class Edit:
    """`old`, which stands once in the file, becomes `new`."""

    old: str
    new: str


@dataclass(frozen=True)
class Mutation:
    """One protective line, or what can't be without it, is gone. Each of `tests` fails then, by an assertion."""

    name: str
    protects: str  # what the line is for, in a few words
    file: str
    edits: tuple[Edit, ...]
    broken: tuple[str, ...]  # of PROPERTIES
    tests: tuple[str, ...]  # pytest's node ids

    def applied(self, source: str) -> str:
        """The mutated source. `Rotten` unless each text stands there exactly once."""
        mutated = source
        for edit in self.edits:
            if (count := source.count(edit.old)) != 1:
                raise Rotten(f"{self.name}: {self.file} holds this {count} times, not once:\n{edit.old}")
            mutated = mutated.replace(edit.old, edit.new)
        try:
            same = ast.dump(ast.parse(mutated)) == ast.dump(ast.parse(source))
        except SyntaxError as error:
            raise Rotten(f"{self.name}: {self.file} would not parse any more: {error}") from error
        if same:
            raise Rotten(f"{self.name}: {self.file} would mean the same as before")
        return mutated

    def line(self, root: Path) -> int:
        """Where the first text to go begins."""
        source = (root / self.file).read_text()
        return source.count("\n", 0, source.index(self.edits[0].old)) + 1


def gone(old: str, new: str = "") -> tuple[Edit, ...]:
    """The usual mutation: one text becomes another, or nothing."""
    return (Edit(old, new),)

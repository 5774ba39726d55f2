"""`python -m tests.consistency FILE` judges a history that a soak kept; exits with 1 on a violation."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.consistency.checker import violations
from tests.consistency.history import History


def main() -> int:
    history = History.load(Path(sys.argv[1]))
    found = violations(history)
    for violation in found:
        print(violation.in_words())
    print(f"{len(history.operations):,} operations, {len(found)} violations")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

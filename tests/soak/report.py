"""What a soak found, in words for people and in one line of JSON."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.consistency.checker import Violation

IN_DOUBT_LIMIT = 5.0  # seconds: the 99th percentile
SHOWN = 20  # violations in words; all are counted


@dataclass(eq=False)
class Report:
    """Figures of one run."""

    seed: int
    on_mongodb: tuple[str, ...] = ()  # the services that keep their data there
    seconds: float = 0.0
    operations: Counter[tuple[str, str]] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    bit: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    shown: int = 0
    deletions: Counter[str] = field(default_factory=Counter)
    in_doubt_seen: int = 0
    in_doubt: list[float] = field(default_factory=list)
    converged: list[float] = field(default_factory=list)
    converged_after_loss: list[float] = field(default_factory=list)
    interrupted: int = 0
    calms: int = 0

    def ends(self) -> int:
        """The exit status."""
        return 1 if self.violations else 0

    def lines(self) -> Iterator[str]:
        """For people; the last is JSON."""
        yield f"{'operation':<18}{'ok':>9}{'refused':>9}{'unknown':>9}"
        for kind in sorted({kind for kind, _ in self.operations}):
            counts = (self.operations[kind, outcome] for outcome in ("ok", "refused", "unknown"))
            yield f"{kind:<18}" + "".join(f"{count:>9,}" for count in counts)
        yield f"{'fault':<24}{'struck':>9}{'bit':>9}"
        for kind in sorted(self.struck):
            yield f"{kind:<24}{self.struck[kind]:>9,}{self.bit[kind]:>9,}"
        told = ", ".join(f"{count} {what}" for what, count in sorted(self.deletions.items()))
        yield f"deletions judged: {told or 'none'}"
        yield (
            f"in doubt: {self.in_doubt_seen} deletions seen unfinished; {len(self.in_doubt)} of them past the"
            f" deadline with all needed processes up: p99 {_p99(self.in_doubt):.2f} s,"
            f" longest {max(self.in_doubt, default=0):.2f} s"
        )
        yield (
            f"converged: {len(self.converged)} times after healing ({self.interrupted} more were interrupted by the"
            f" next fault): longest {max(self.converged, default=0):.2f} s"
        )
        yield (
            f"converged after the loss of the bus's data: {len(self.converged_after_loss)} times, counted while all"
            f" is up: longest {max(self.converged_after_loss, default=0):.2f} s"
        )
        yield f"judged: {self.shown:,} messages and people in answers as they came; all at rest {self.calms} times"
        for violation in self.violations[:SHOWN]:
            yield f"VIOLATION {violation.in_words()}"
        if len(self.violations) > SHOWN:
            yield f"... and {len(self.violations) - SHOWN} more"
        yield json.dumps(self.figures())

    def figures(self) -> dict[str, object]:
        """What other programs read."""
        by_outcome: Counter[str] = Counter()
        for (_, outcome), count in self.operations.items():
            by_outcome[outcome] += count
        return {
            "violations": len(self.violations),
            "violations_by_invariant": dict(Counter(one.invariant for one in self.violations)),
            "operations": sum(self.operations.values()),
            "operations_by_outcome": dict(by_outcome),
            "faults": sum(self.struck.values()),
            "faults_that_bit": sum(self.bit.values()),
            "faults_that_bit_by_type": dict(sorted(self.bit.items())),
            "in_doubt": len(self.in_doubt),
            "in_doubt_p99_s": round(_p99(self.in_doubt), 3),
            "converge_measured": len(self.converged),
            "converge_longest_s": round(max(self.converged, default=0.0), 3),
            "converge_after_bus_loss_longest_s": round(max(self.converged_after_loss, default=0.0), 3),
            "deletions": sum(self.deletions.values()),
            "judged_in_answers": self.shown,
            "rests": self.calms,
            "minutes": round(self.seconds / 60, 2),
            "seed": self.seed,
            "on_mongodb": list(self.on_mongodb),
        }


def check_in_doubt(report: Report) -> None:
    """The 99th percentile is a promise too."""
    found = _p99(report.in_doubt)
    if found >= IN_DOUBT_LIMIT:
        report.violations.append(Violation("I8", f"p99 of the time to resolve in-doubt is {found:.2f} s"))


def _p99(times: Sequence[float]) -> float:
    """Nearest rank."""
    return sorted(times)[math.ceil(0.99 * len(times)) - 1] if times else 0.0

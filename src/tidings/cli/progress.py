"""Progress of a load: a bar a stage on a terminal, a line a stage elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from tidings.cli.printing import console
from tidings.demo.load import Stage


class Rate(ProgressColumn):
    """How many a second, over the stage so far."""

    def render(self, task: Task) -> Text:
        seconds = task.finished_time or task.elapsed
        return Text(f"{task.completed / seconds:>8,.0f}/s" if seconds and task.completed else "")


class Bars:
    """Told by a load what is under way (the demonstration's `Progress`)."""

    def __init__(self) -> None:
        out = console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(),
            TextColumn("{task.completed:>9,.0f} of {task.total:,.0f}"),
            Rate(),
            TimeElapsedColumn(),
            console=out,
            disable=not out.is_terminal,
        )
        self._tasks: dict[Stage, TaskID] = {}

    def __enter__(self) -> Bars:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def started(self, stage: Stage, total: int) -> None:
        self._tasks[stage] = self._bars.add_task(stage, total=total)
        if self._bars.disable:
            sys.stderr.write(f"{stage}: {total:,} ...\n")

    def advanced(self, stage: Stage, count: int) -> None:
        self._bars.advance(self._tasks[stage], count)

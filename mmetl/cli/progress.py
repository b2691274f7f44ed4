"""What a run says while it lasts: live on a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from mmetl.cli.output import counted, talk, task_line
from mmetl.core.progress import Progress
from mmetl.observability.runs import TaskRun

LINE_S = 5.0  # between two lines for a task that is at work, in a pipe
SHOWN = 3  # running tasks that the bar names


def _so_far(done: int, todo: int, counts: Mapping[str, float]) -> str:
    """Return how far a task has got, such as `1,200 of 5,000 items (5,000 added)`."""
    known = counted(counts)
    return f"{done:,} of {todo:,} items" + (f" ({known})" if known else "")


class Silent:
    """Says nothing."""

    def begin(self, pipeline: str, run_id: str, todo: int, fresh: int) -> None:
        """Ignore."""

    def started(self, task: str) -> None:
        """Ignore."""

    def items(self, task: str, done: int, todo: int, counts: Mapping[str, float]) -> None:
        """Ignore."""

    def finished(self, result: TaskRun) -> None:
        """Ignore."""

    def close(self) -> None:
        """Ignore."""


class Lines(Silent):
    """One line for each task that was worked on, and now and then one for a task of items that takes long."""

    def __init__(self) -> None:
        # The stream itself: while a task runs, `sys.stderr` leads what it prints to its log.
        self._out = sys.stderr
        self._told: dict[str, float] = {}  # task -> when a line was written for it last, or it began

    def begin(self, pipeline: str, run_id: str, todo: int, fresh: int) -> None:
        """Tell how much there is to do."""
        talk(f"{pipeline}: {todo} to do, {fresh} fresh (run {run_id})")

    def items(self, task: str, done: int, todo: int, counts: Mapping[str, float]) -> None:
        """Tell how far a task has got, if it is LINE_S since the last time."""
        now = time.monotonic()
        if todo and now - self._told.setdefault(task, now) >= LINE_S:
            self._told[task] = now
            talk(f"  at work  {task.partition(':')[2]}  {_so_far(done, todo, counts)}", self._out)

    def finished(self, result: TaskRun) -> None:
        """Tell what became of a task."""
        if result.outcome != "fresh":
            talk("  " + "  ".join(filter(None, task_line(result))))


class Live(Lines):
    """A bar with the running tasks, over the same lines. Loads rich."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        super().__init__()
        console = Console(file=self._out, highlight=False)
        parts = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
        # rich must not take the place of what leads the prints of tasks to their logs: each would call the other without end.
        self._bar = Bar(*parts, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
        self._running: dict[str, str] = {}  # task -> how far it has got
        self._id: Any = None

    def begin(self, pipeline: str, run_id: str, todo: int, fresh: int) -> None:
        """Show the bar."""
        super().begin(pipeline, run_id, todo, fresh)
        self._id = self._bar.add_task("", total=todo)
        self._bar.start()

    def started(self, task: str) -> None:
        """Show a task as running."""
        self._running[task.partition(":")[2]] = ""
        self._show()

    def items(self, task: str, done: int, todo: int, counts: Mapping[str, float]) -> None:
        """Show how far a running task has got."""
        if todo:
            self._running[task.partition(":")[2]] = _so_far(done, todo, counts)
            self._show()

    def finished(self, result: TaskRun) -> None:
        """Move on, and leave a line for what was worked on."""
        self._running.pop(result.task, None)
        self._show(advance=1)
        if result.outcome != "fresh":
            self._bar.console.print("  ".join(filter(None, task_line(result))), markup=False, soft_wrap=True)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.stop()

    def _show(self, advance: int = 0) -> None:
        running = [" ".join(filter(None, shown)) for shown in list(self._running.items())[:SHOWN]]
        self._bar.update(self._id, advance=advance, description=", ".join(running))


class Starting:
    """Chooses at the first word: a run with nothing to do must not load rich."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._chosen: Silent | None = None

    def begin(self, pipeline: str, run_id: str, todo: int, fresh: int) -> None:
        """Choose, and begin."""
        self._chosen = Silent() if self._quiet else Live() if sys.stderr.isatty() else Lines()
        self._chosen.begin(pipeline, run_id, todo, fresh)

    def started(self, task: str) -> None:
        """Pass on."""
        if self._chosen:
            self._chosen.started(task)

    def items(self, task: str, done: int, todo: int, counts: Mapping[str, float]) -> None:
        """Pass on."""
        if self._chosen:
            self._chosen.items(task, done, todo, counts)

    def finished(self, result: TaskRun) -> None:
        """Pass on."""
        if self._chosen:
            self._chosen.finished(result)

    def close(self) -> None:
        """Pass on."""
        if self._chosen:
            self._chosen.close()


_: type[Progress] = Starting

"""What a run says while it lasts: live on a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
from typing import Any

from mmetl.cli.output import talk, task_line
from mmetl.core.run import Progress
from mmetl.observability.runs import TaskRun


class Silent:
    """Says nothing."""

    def begin(self, pipeline: str, run_id: str, todo: int, fresh: int) -> None:
        """Ignore."""

    def started(self, task: str) -> None:
        """Ignore."""

    def finished(self, result: TaskRun) -> None:
        """Ignore."""

    def close(self) -> None:
        """Ignore."""


class Lines(Silent):
    """One line for each task that was worked on."""

    def begin(self, pipeline: str, run_id: str, todo: int, fresh: int) -> None:
        """Tell how much there is to do."""
        talk(f"{pipeline}: {todo} to do, {fresh} fresh (run {run_id})")

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

        console = Console(stderr=True, highlight=False)
        parts = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
        self._bar = Bar(*parts, console=console, transient=True)
        self._running: list[str] = []
        self._id: Any = None

    def begin(self, pipeline: str, run_id: str, todo: int, fresh: int) -> None:
        """Show the bar."""
        super().begin(pipeline, run_id, todo, fresh)
        self._id = self._bar.add_task("", total=todo)
        self._bar.start()

    def started(self, task: str) -> None:
        """Show a task as running."""
        self._running.append(task.partition(":")[2])
        self._bar.update(self._id, description=", ".join(self._running[:3]))

    def finished(self, result: TaskRun) -> None:
        """Move on, and leave a line for what was worked on."""
        if result.task in self._running:
            self._running.remove(result.task)
        self._bar.update(self._id, advance=1, description=", ".join(self._running[:3]))
        if result.outcome != "fresh":
            self._bar.console.print("  ".join(filter(None, task_line(result))), markup=False, soft_wrap=True)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.stop()


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

    def finished(self, result: TaskRun) -> None:
        """Pass on."""
        if self._chosen:
            self._chosen.finished(result)

    def close(self) -> None:
        """Pass on."""
        if self._chosen:
            self._chosen.close()


_: type[Progress] = Starting

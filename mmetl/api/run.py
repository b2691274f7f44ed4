"""A run that was started from Python: what came of it, and the error of one that failed."""

from __future__ import annotations

import contextlib
import gc
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from mmetl.api.html import html_states
from mmetl.core.run import RunResult
from mmetl.errors import TaskError
from mmetl.observability.runs import Status, TaskRun

WORKED = ("ran", "restored", "failed", "blocked", "skipped")


@dataclass(frozen=True)
class Run:
    """What came of a run: `tasks` are the selected ones, each after those that it needs; `seconds` is wall time."""

    run_id: str
    pipeline: str
    status: Status
    tasks: tuple[TaskRun, ...]
    seconds: float

    @classmethod
    def of(cls, result: RunResult) -> Run:
        """Return what a user sees of a result."""
        return cls(result.run_id, result.pipeline, result.status, result.tasks, result.seconds)

    @property
    def ok(self) -> bool:
        """Whether every task succeeded or was fresh."""
        return self.status == "succeeded"

    @property
    def outcomes(self) -> dict[str, str]:
        """Task -> `ran`, `fresh`, `restored`, `failed`, `blocked` or `skipped`."""
        return {t.task: t.outcome for t in self.tasks}

    def counts(self) -> str:
        """Return how many tasks came to what."""
        outcomes = [t.outcome for t in self.tasks]
        told = [f"{outcomes.count(o)} {o}" for o in (*WORKED, "fresh") if o in outcomes]
        return ", ".join(told) or "no tasks"

    def __repr__(self) -> str:
        return f"Run({self.run_id}, {self.pipeline}: {self.status}, {self.counts()}, {self.seconds:.2f} s)"

    def _repr_html_(self) -> str:
        rows = [
            (t.task, t.outcome, f"{t.rows:,}" if t.rows else "", f"{t.seconds:.2f} s" if t.seconds else "", _why(t))
            for t in self.tasks
        ]
        title = f"{self.pipeline}: {self.status}, {self.counts()}"
        notes = [f"run {self.run_id}, {self.seconds:.2f} s"]
        return html_states(title, ("task", "outcome", "rows", "took", "why"), rows, notes)


def _why(task: TaskRun) -> str:
    return task.error or "; ".join(task.reasons)


class RunFailedError(TaskError):
    """A task of a run failed. `run` is the whole result."""

    def __init__(self, run: Run) -> None:
        failed = [t for t in run.tasks if t.outcome == "failed"]
        first = failed[0] if failed else None
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        what = f"'{run.pipeline}:{first.task}' failed: {first.error}{more}" if first else f"run '{run.run_id}' failed"
        super().__init__(what, help=f"mmetl logs {run.run_id}")
        self.run = run


class Quiet:
    """Progress that nobody is told of."""

    def begin(self, pipeline: str, run_id: str, todo: int, fresh: int) -> None:
        """Ignore."""

    def started(self, task: str) -> None:
        """Ignore."""

    def items(self, task: str, done: int, todo: int, counts: Mapping[str, float]) -> None:
        """Ignore."""

    def finished(self, result: TaskRun) -> None:
        """Ignore."""


@contextlib.contextmanager
def guest() -> Iterator[Literal[True]]:
    """Leave the process of somebody else as it was: what a run sets for a process of its own is taken back."""
    path, threshold = list(sys.path), gc.get_threshold()
    mine = threading.current_thread() is threading.main_thread()
    handlers = [(sig, signal.getsignal(sig)) for sig in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield True
    finally:
        sys.path[:] = path
        gc.unfreeze()
        gc.set_threshold(*threshold)
        if mine:
            for sig, handler in handlers:
                signal.signal(sig, handler)

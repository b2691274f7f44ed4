"""What a run tells while it lasts: the Protocol of whoever listens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from mmetl.observability.runs import TaskRun


class Progress(Protocol):
    """Is told what happens while a run lasts."""

    def begin(self, pipeline: str, run_id: str, todo: int, fresh: int) -> None:
        """Some tasks will be looked at by doit; the others are fresh."""
        ...

    def started(self, task: str) -> None:
        """`pipeline:task` starts."""
        ...

    def items(self, task: str, done: int, todo: int, counts: Mapping[str, float]) -> None:
        """`pipeline:task` has computed `done` of `todo` items; `counts` says what is known of all its items."""
        ...

    def finished(self, result: TaskRun) -> None:
        """A task is done with, one way or the other."""
        ...

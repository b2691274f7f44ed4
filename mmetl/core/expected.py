"""Checks of a task while its pipeline is planned: what they cannot be put to, and the tasks that they read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

from mmetl.config.schema import TaskSpec
from mmetl.errors import MmetlError, ParamError
from mmetl.utils.text import near


class Report(Protocol):
    """Takes a problem and its place."""

    def __call__(self, error: MmetlError, path: tuple[Any, ...]) -> None:
        """Keep it."""


def related_tasks(
    name: str, spec: TaskSpec, outputs: Sequence[str], tasks: Collection[str], families: Collection[str], report: Report
) -> dict[str, str]:
    """Return, of each relationship to another task, `task.column` -> task. What is wrong is reported.

    Args:
        name: the task whose checks these are.
        spec: what the YAML says.
        outputs: the files that the task writes.
        tasks: the names of all tasks and families.
        families: the names of families.
        report: takes what is wrong.
    """
    if spec.expect and (spec.materialize == "view" or outputs):
        what = "a view" if spec.materialize == "view" else "a task that writes files"
        report(
            ParamError(f"{what} has no checks", help="give `expect` to a task that makes a table"),
            ("tasks", name, "expect"),
        )
    found = {}
    for n, check in enumerate(spec.expect):
        if check.relationship is None:
            continue
        to = check.relationship.to
        task = task_in(to, tasks)
        where = ("tasks", name, "expect", n, "relationship", "to")
        if task is None:
            said = to.partition(".")[0]
            close = near(said, tasks)
            help_ = f"did you mean '{close}'?" if close else f"tasks: {', '.join(sorted(tasks)[:8])}"
            report(ParamError(f"'{said}' is not a task of this pipeline", help=help_), where)
        elif task in families:
            report(ParamError(f"'{task}' is a family of tasks", help="name one of its members"), where)
        elif task != name:
            found[to] = task
    return found


def task_in(to: str, tasks: Collection[str]) -> str | None:
    """Return the task that `task.column` begins with: names of members of a matrix may have dots too.

    >>> task_in("rates@1.5.day", ["rates@1", "rates@1.5"])
    'rates@1.5'
    """
    return max((t for t in tasks if to.startswith(f"{t}.")), key=len, default=None)

"""Checks of a task while its pipeline is planned: what they cannot be put to, and the tasks that they read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Protocol

from mmetl.config.checks import Check
from mmetl.config.schema import TaskSpec
from mmetl.errors import MmetlError, ParamError
from mmetl.utils.text import near

OF_TABLES = ("row_count", "freshness", "schema")
"""Checks for which no single row is to blame."""


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
    if spec.expect and outputs:
        help_ = "give `expect` to a task that makes a table"
        report(ParamError("a task that writes files has no checks", help=help_), ("tasks", name, "expect"))
    for n, check in enumerate(spec.expect):
        for key, error in _wrong_options(check, spec):
            report(error, ("tasks", name, "expect", n, key))
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


def _wrong_options(check: Check, spec: TaskSpec) -> Iterator[tuple[str, ParamError]]:
    if check.max_fraction is not None and check.severity != "quarantine":
        yield "max_fraction", ParamError("'max_fraction' is for `severity: quarantine` only", help="take it out")
    if check.severity != "quarantine":
        return
    if check.kind in OF_TABLES:
        what, help_ = f"'{check.kind}' is about the table as a whole: no row can be set aside", "use `error` or `warn`"
        yield "severity", ParamError(what, help=help_)
    elif spec.materialize == "view":
        what = "a view keeps no rows that could be set aside"
        yield "severity", ParamError(what, help="give the check to the task that reads the view")
    elif check.kind == "sql" and not spec.key:
        what = "the rows of a query are set aside by their key, which this task does not have"
        yield "severity", ParamError(what, help="give the task a `key`, or use `error` or `warn`")


def task_in(to: str, tasks: Collection[str]) -> str | None:
    """Return the task that `task.column` begins with: names of members of a matrix may have dots too.

    >>> task_in("rates@1.5.day", ["rates@1", "rates@1.5"])
    'rates@1.5'
    """
    return max((t for t in tasks if to.startswith(f"{t}.")), key=len, default=None)

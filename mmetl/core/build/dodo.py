"""The pipelines of a project for doit's own commands: what a `dodo.py` imports."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from doit.exceptions import DependencyError, InvalidDodoFile
from doit.reporter import ConsoleReporter
from doit.task import Task

from mmetl.core.build.database import Checker, current
from mmetl.core.build.tasks import build_tasks
from mmetl.core.decide import observe
from mmetl.core.options import RunOptions
from mmetl.core.project import Project
from mmetl.core.running.pools import Gates
from mmetl.core.session import Session
from mmetl.errors import ExitCode, MmetlError


def task_pipelines() -> Iterator[Any]:
    """Yield doit tasks for every pipeline of the project: for `dodo.py`.

    Raises:
        InvalidDodoFile: with mmETL's own message, if a pipeline is invalid, or for a command that has no meaning here.
    """
    if "reset-dep" in sys.argv:
        raise InvalidDodoFile("mmETL decides by content alone: there is nothing to reset")
    project = Project.open(Path.cwd())
    try:
        plans = [project.plan(path) for path in project.pipeline_files()]
        session = Session(project, RunOptions(), plans)
        current.append(session)
        for plan in plans:
            observe(plan.tasks.values(), session.facts_of(plan))
            details = project.details(plan, plan.tasks)
            session.gates[plan.pipeline] = Gates(details)
            yield Task(
                plan.pipeline,
                None,
                has_subtask=True,
                task_dep=[f"{plan.pipeline}:{t}" for t in plan.tasks],
                doc="pipeline",
            )
            for task in build_tasks(session, plan, list(plan.tasks), plain=True):
                detail = details[task.name.partition(":")[2]]
                task.doc = detail.description or detail.transform
                task.subtask_of = plan.pipeline
                yield task
    except MmetlError as e:
        raise InvalidDodoFile(f"\n{e}") from None


class Reporter(ConsoleReporter):  # type: ignore[misc]
    """doit's own, from which the record of the run learns what was asked for, and what doit refused."""

    def initialize(self, tasks: Mapping[str, Task], selected_tasks: Sequence[str]) -> None:
        """Note the selected tasks, with what they need. SIGTERM ends a run as Ctrl-C does, or its commands would go on."""
        super().initialize(tasks, selected_tasks)
        if current:
            current[-1].executor.interrupts.listen()
        wanted, todo = set(), list(selected_tasks)
        while todo:
            name = todo.pop()
            if name not in wanted:
                wanted.add(name)
                todo += tasks[name].task_dep
        if current:
            current[-1].choose(wanted)

    def complete_run(self) -> None:
        """Tell what failed. A run that was interrupted ends here: doit, which lets that pass, would end with a traceback."""
        super().complete_run()
        if isinstance(sys.exc_info()[1], KeyboardInterrupt):
            sys.stderr.write("interrupted\n")
            raise SystemExit(int(ExitCode.INTERRUPTED)) from None

    def add_failure(self, task: Task, fail: Any) -> None:
        """Note a task that never came to its action, since a dependency of it is missing."""
        super().add_failure(task, fail)
        found = current[-1].find(task.name) if current else None
        if found and isinstance(fail, DependencyError):
            current[-1].unready[found[0].pipeline, found[1].name] = fail.get_msg().strip().removeprefix("ERROR: ")


DOIT_CONFIG: dict[str, Any] = {
    "backend": "mmetl",
    "check_file_uptodate": Checker,
    "dep_file": ".mmetl/state.db",
    "forget_disable_default": True,  # a bare `doit forget` would fail with doit's own TypeError
    "par_type": "thread",
    "reporter": Reporter,
    "verbosity": 1,
}

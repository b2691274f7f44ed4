"""Let doit's tasks run, for `mmetl run`: in turn, or by doit's threads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from doit.control import TaskControl
from doit.dependency import Dependency, DependencyStatus
from doit.runner import JobHold, MThreadRunner
from doit.task import Task

from mmetl.contracts.plan import Plan
from mmetl.core.build.database import Backend, Checker, current
from mmetl.core.build.tasks import build_tasks
from mmetl.core.options import RunOptions
from mmetl.core.running.deadline import WakefulQueue
from mmetl.core.running.pools import Pools
from mmetl.core.session import CUTOFF, Session
from mmetl.observability.runs import TaskRun


class _Dependency(Dependency):  # type: ignore[misc]
    """doit's bookkeeping without what `decide` and the action have done: comparing files, and saving a success."""

    def get_status(self, task: Task, tasks_dict: Any, get_log: bool = False) -> DependencyStatus:  # noqa: ARG002
        """Ask the one `uptodate` callable of a task; it knows of files and targets too."""
        status = DependencyStatus(get_log)
        task.dep_changed = []
        ((is_fresh, _, _),) = task.uptodate
        if not is_fresh():
            status.add_reason("uptodate_false", (is_fresh, [], {}))
        return status

    def status_is_ignore(self, task: Task) -> bool:  # noqa: ARG002
        """Return False: mmETL keeps no `ignore`."""
        return False

    def save_success(self, task: Task, result_hash: str | None = None) -> None:
        """Do nothing."""

    def remove_success(self, task: Task) -> None:
        """Do nothing: the action has recorded the failure."""


class _Reporter:
    """What doit tells us of a run that `mmetl run` started; the rest is told by the executor."""

    def __init__(self, session: Session, progress: Any) -> None:
        self.session, self.progress = session, progress

    def initialize(self, tasks: Mapping[str, Task], selected: Sequence[str]) -> None: ...

    def get_status(self, task: Task) -> None: ...

    def execute_task(self, task: Task) -> None:
        self.progress.started(task.name)

    def add_success(self, task: Task) -> None:
        pipeline, _, name = task.name.partition(":")
        self.progress.finished(self.session.executor.outcomes[pipeline, name])

    def add_failure(self, task: Task, fail: Any) -> None:  # noqa: ARG002
        pipeline, _, name = task.name.partition(":")
        result = self.session.executor.outcomes.get((pipeline, name))
        if result:
            self.progress.finished(result)

    def skip_uptodate(self, task: Task) -> None:
        pipeline, _, name = task.name.partition(":")
        result = TaskRun(name, "fresh", (CUTOFF,))
        self.session.executor.outcomes[pipeline, name] = result
        self.progress.finished(result)

    def skip_ignore(self, task: Task) -> None: ...

    def cleanup_error(self, exception: Any) -> None: ...

    def runtime_error(self, msg: str) -> None:
        raise AssertionError(msg)

    def teardown_task(self, task: Task) -> None: ...

    def complete_run(self) -> None: ...


def _pools(session: Session, plan: Plan, names: Sequence[str]) -> Pools:
    details = session.project.details(plan, names)
    sizes = {d.pool: d.pool_size for d in details.values() if d.pool}
    return Pools(sizes, {f"{plan.pipeline}:{n}": d.pool for n, d in details.items() if d.pool})


MThreadRunner.Queue = staticmethod(WakefulQueue)  # a plain `doit run -n N` makes its runner by itself


class PooledRunner(MThreadRunner):  # type: ignore[misc]
    """doit's runner of threads; a task whose pool is full is held back, and the thread takes another one."""

    pools: Pools
    held: list[Any]

    def get_next_job(self, completed: Any) -> Any:
        """Return the next task for a free thread; None when nothing is left for it, or a word that it has to wait."""
        if completed is not None:
            self.pools.leave(completed.task.name)
        job = super().get_next_job(completed)
        while hasattr(job, "name") and not self.pools.enter(job.name):
            self.held.append(job)
            job = super().get_next_job(None)
        if hasattr(job, "name") or self._stop_running:
            return job
        for waiting in self.held:
            if self.pools.enter(waiting.name):
                self.held.remove(waiting)
                self.free_proc -= job is not None  # the thread was told to wait, and was counted as free
                return waiting
        if job is None and self.held:
            self.free_proc += 1
            return JobHold()
        return job


def _in_turn(tasks: Iterable[Task], reporter: _Reporter, *, keep_going: bool) -> None:
    """Ask and do one task after the other, as doit's runner of one thread does.

    They come in topological order: doit's graph would find no other, and costs a twenty-fifth of a small task.
    """
    failed: set[str] = set()
    for task in tasks:
        if failed and not failed.isdisjoint(task.task_dep):
            failed.add(task.name)
            continue
        ((is_fresh, _, _),) = task.uptodate
        if is_fresh():
            reporter.skip_uptodate(task)
            continue
        reporter.execute_task(task)
        (action,) = task.actions
        failure = action.execute()
        if failure is None:
            reporter.add_success(task)
            continue
        reporter.add_failure(task, failure)
        failed.add(task.name)
        if not keep_going:
            return


def _by_threads(tasks: Iterable[Task], reporter: _Reporter, pools: Pools, store: str, options: RunOptions) -> None:
    control = TaskControl(list(tasks))
    control.process(None)
    dependency = _Dependency(Backend, store, checker_cls=Checker)
    runner = PooledRunner(dependency, reporter, continue_=options.keep_going, num_process=options.jobs)
    runner.pools, runner.held = pools, []
    runner.finish = lambda: runner.final_result  # the caller ends the run: it knows what was blocked or skipped
    runner.run_all(control.task_dispatcher())


def run_tasks(session: Session, plan: Plan, names: Sequence[str], options: RunOptions, progress: Any) -> None:
    """Run the doit tasks of what is stale or downstream of it, in topological order."""
    tasks, reporter = build_tasks(session, plan, names), _Reporter(session, progress)
    if options.jobs <= 1:
        _in_turn(tasks, reporter, keep_going=options.keep_going)
        return
    current.append(session)
    try:
        _by_threads(tasks, reporter, _pools(session, plan, names), os.fspath(session.project.store.path), options)
    finally:
        current.pop()

"""The doit adapter, the only importer of doit: task builder, checker, backend, action, runner.

Correctness lives where plain `doit run` also passes. One task builder feeds `mmetl run` and `dodo.py`, and both ask the same
`decide`. doit's own database is mmETL's store: the backend answers from the records of the last success, and what doit would
save after a task has been committed by the action already.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from doit.action import BaseAction
from doit.control import TaskControl
from doit.dependency import Dependency, DependencyStatus, FileChangedChecker
from doit.exceptions import DependencyError, InvalidDodoFile, TaskFailed
from doit.reporter import ConsoleReporter
from doit.runner import JobHold, MThreadRunner, Runner
from doit.task import Task

from mmetl.cache.fingerprints import MISSING
from mmetl.contracts.plan import Plan, TaskNode
from mmetl.core.deadline import WakefulQueue
from mmetl.core.decide import FRESH, Decision, observe
from mmetl.core.keep import clean_task, forget_task, locked
from mmetl.core.options import RunOptions
from mmetl.core.pools import Gates, Pools
from mmetl.core.project import Project
from mmetl.core.reasons import Reason, texts
from mmetl.core.session import CUTOFF, Session, artifact_name
from mmetl.errors import ExitCode, MmetlError, RefusedError
from mmetl.observability.runs import Status, TaskRun

DOIT_CONFIG: dict[str, Any] = {
    "backend": "mmetl",
    "dep_file": ".mmetl/state.db",
    "par_type": "thread",
    "verbosity": 1,
}


_current: list[Session] = []  # doit makes the checker and the backend by itself: this is how they find the session


class UpToDate:
    """doit's `uptodate` callable of one task: asks `decide`; never raises, has no side effects but looking at files."""

    __signature__ = inspect.Signature()  # ready, or doit's inspect.signature costs 14 us a task

    def __init__(self, session: Session, plan: Plan, node: TaskNode) -> None:
        self.session, self.plan, self.node = session, plan, node

    def __call__(self) -> bool:
        """Return whether the task is fresh."""
        try:
            return self.session.decision(self.plan, self.node) is FRESH
        except MmetlError:
            return False  # the action meets the same error, where it can be told properly

    def __str__(self) -> str:
        """Return the reasons; `doit info` prints this."""
        try:
            decision = self.session.decision(self.plan, self.node)
        except MmetlError as e:
            return e.what
        reasons = self.session.executor.explain(decision.reasons)
        words = "; ".join(texts(reasons))
        makers = [t for t in (*self.node.tables, *self.node.after) if t not in self.session.facts_of(self.plan).settled]
        made_by = "".join(f"; made by {self.plan.pipeline}:{t}" for t in makers)
        return f"{decision.freshness}: {words}{made_by}"


class Checker(FileChangedChecker):  # type: ignore[misc]
    """doit's view of files: our fingerprints, taken before the action. Renaming the class would invalidate every task."""

    def exists(self, file_path: str) -> bool:
        """Tell whether a target is there."""
        return _current[-1].fingerprint(file_path) != MISSING

    def info(self, file_path: str) -> str:
        """Return a dependency's fingerprint, in the place of a stat. Raises FileNotFoundError."""
        found = _current[-1].fingerprint(file_path)
        if found == MISSING:
            raise FileNotFoundError(file_path)
        return found

    def check_modified(self, file_path: str, file_stat: str, state: str) -> bool:  # noqa: ARG002
        """Compare a dependency with what the last success read."""
        return bool(file_stat != state)

    def get_state(self, dep: str, current_state: str | None) -> None:  # noqa: ARG002
        """Return nothing new: the action has committed the state that it took before it ran."""
        return


class Backend:
    """doit's database, answered from the store (entry point `doit.BACKEND`).

    `remove` means two things in doit: `doit forget`, and "this task failed". A run asks about a task before it fails it, and
    `forget` never does; that tells them apart.
    """

    desc = "mmETL's own state store"

    def __init__(self, name: str, codec: Any, *, module_name: str | None = None) -> None:  # noqa: ARG002
        self.name = name
        self._asked: set[str] = set()
        self._inputs: tuple[str, dict[str, str]] = ("", {})  # of the task asked about last: doit asks in a row

    def get(self, task_id: str, dependency: str) -> Any:
        """Return what the last success recorded about a task's dependency."""
        self._asked.add(task_id)
        found = _current[-1].find(task_id) if _current else None
        if found is None or dependency == "ignore:":
            return None
        plan, node = found
        record = _current[-1].facts_of(plan).records.get(node.name)
        if record is None:
            return None
        if dependency == "checker:":
            return Checker.__name__
        if self._inputs[0] != task_id:
            listed = _current[-1].facts_of(plan).lists(node.name).files
            self._inputs = (task_id, {_input_path(plan, k): v for k, v in listed.items()})
        inputs = self._inputs[1]
        return tuple(inputs) if dependency == "deps:" else inputs.get(dependency)

    def set(self, task_id: str, dependency: str, value: Any) -> None:  # noqa: ARG002
        """Accept what doit saves after a success: the action has committed it already."""
        if dependency == "ignore:":
            raise InvalidDodoFile(f"mmETL does not keep 'ignore' for {task_id}: leave a task out with --select")

    def in_(self, task_id: str) -> bool:
        """Tell whether a task has succeeded before."""
        return self.get(task_id, "checker:") is not None

    def remove(self, task_id: str) -> None:
        """Forget a task, if `doit forget` asks; a failure has been recorded by the action."""
        found = _current[-1].find(task_id) if _current else None
        if found and task_id not in self._asked:
            with _locked(_current[-1].project, "doit forget"):
                forget_task(_current[-1].project, found[0].pipeline, found[1].name)

    def remove_all(self) -> None:
        """Forget every task of the project's pipelines."""
        session = _current[-1]
        with _locked(session.project, "doit forget"):
            for plan in session.plans.values():
                for name in plan.tasks:
                    forget_task(session.project, plan.pipeline, name)

    def dump(self) -> None:
        """End the run, if doit started one."""
        self._inputs = ("", {})
        for session in _current[-1:]:
            finish(session)


def _input_path(plan: Plan, name: str) -> str:
    return artifact_name(plan.pipeline, name.removeprefix("task ")) if name.startswith("task ") else name


class Action(BaseAction):  # type: ignore[misc]
    """The one action of a task: everything is done by the executor. PythonAction would mix output under threads."""

    def __init__(self, session: Session, plan: Plan, node: TaskNode) -> None:
        self.session, self.plan, self.node = session, plan, node
        self.task: Task | None = None
        self.out = self.err = self.result = None
        self.values: dict[str, Any] = {}

    def __str__(self) -> str:
        return f"mmetl {self.plan.pipeline}:{self.node.name}"

    def execute(self, out: Any = None, err: Any = None) -> TaskFailed | None:  # noqa: ARG002
        """Run the task, when its pool has room; return doit's word for a failure."""
        gates = self.session.gates.get(self.plan.pipeline)
        with gates.entered(self.node.name) if gates else contextlib.nullcontext():
            return self._execute()

    def _execute(self) -> TaskFailed | None:
        session, plan, node = self.session, self.plan, self.node
        asked = session.last_decision(plan, node)
        began = begin(session, plan)
        decision = session.last_decision(plan, node)  # gone, where this thread or another has just taken the lock
        if began or decision is None:
            decision = session.decision(plan, node)
        if asked is FRESH:
            decision = Decision("stale", (Reason("forced"),))  # doit runs it all the same: `doit run -a`
        elif decision is FRESH:
            return None  # another run did it between doit's check and our lock
        result = session.executor.execute(plan, node, session.facts_of(plan), decision.reasons)
        if result.outcome == "failed":
            return TaskFailed(f"{plan.pipeline}:{node.name}: {result.error}")
        return None


@contextlib.contextmanager
def _locked(project: Project, what: str) -> Iterator[None]:
    """Hold the run lock for a command of doit's; when another process holds it, tell and exit with our code."""
    try:
        with locked(project, what):
            yield
    except RefusedError as e:
        # doit catches what actions write to sys.stderr: `doit clean` would end without a word.
        (sys.__stderr__ or sys.stderr).write(f"{e}\n")
        raise SystemExit(int(e.exit_code)) from None


def _clean(project: Project, pipeline: str, task: str, dryrun: bool = False) -> None:
    """Clean one task; doit passes `dryrun` by name."""
    if not dryrun:
        with _locked(project, "doit clean"):
            cleaned = clean_task(project, pipeline, task)
        for path in cleaned.kept:
            sys.stdout.write(f"left {path}: it was changed since mmETL wrote it\n")


def begin(session: Session, plan: Plan) -> bool:
    """Take the run lock at the first action; return whether this was it.

    A plain `doit run` learns here that another run holds the lock: exit code 4.
    """
    with session.guard:
        if session.executor.lock.held:
            return False
        try:
            _set_out(session, plan)
        except MmetlError as e:
            sys.stderr.write(f"{e}\n")
            raise SystemExit(int(e.exit_code)) from None
        session.start_over()
        return True


def _set_out(session: Session, plan: Plan) -> None:
    """Begin the run with what doit was asked for; tasks of several pipelines go by their full names."""
    chosen = session.chosen or {plan.pipeline: list(plan.tasks)}
    for pipeline, tasks in chosen.items():
        of = session.plans[pipeline]
        session.set_out[pipeline] = [t for t in tasks if not UpToDate(session, of, of.tasks[t])()]
        session.executor.load_details(of, session.set_out[pipeline])
    asked, stale = (
        [t if len(chosen) == 1 else f"{p}:{t}" for p, tasks in listed.items() for t in tasks]
        for listed in (chosen, session.set_out)
    )
    session.executor.begin(", ".join(chosen), asked, stale)


def finish(session: Session) -> None:
    """Write how a plain doit run ended. `mmetl run` does so itself, with more to say."""
    if session.executor.lock.held:
        interrupted = isinstance(sys.exc_info()[1], KeyboardInterrupt)  # doit closes its backend while that passes
        if interrupted:
            session.executor.cancel()
        status: Status = "cancelled" if interrupted else "failed" if session.failed else "succeeded"
        session.executor.end(status, session.left())
    session.project.store.close()


class _Task(Task):  # type: ignore[misc]
    """A task without options of its own: doit builds a command-line parser for each otherwise. All it is given is of ours."""

    @staticmethod
    def check_attr(task: str, attr: str, value: Any, valid: Any) -> None:
        """Do nothing: nineteen checks a task that our builder always passes."""

    def init_options(self, args: list[str] | None = None) -> list[str] | None:
        """Leave all words of the command line to the tasks that they name."""
        self.options: dict[str, Any] = {}
        return args


def build_tasks(session: Session, plan: Plan, names: Iterable[str], *, plain: bool = False) -> Iterator[Task]:
    """Build doit's task for each name; dependencies on tasks outside `names` are left out.

    Args:
        session: what they share.
        plan: where they stand.
        names: of the tasks.
        plain: whether they are for doit's own commands: these clean, and show the files that globs stand for, which may be very many.
    """
    wanted = set(names)
    facts = session.facts_of(plan)
    prefix = f"{plan.pipeline}:"
    for name in names:
        node = plan.tasks[name]
        needs = (*node.tables, *node.after)
        sources = [p for g in node.globs for p in facts.listing(node, g)] if plain else []
        task = _Task(
            prefix + name,
            [Action(session, plan, node)],
            file_dep=(*node.files, *sources, *(artifact_name(plan.pipeline, t) for t in node.tables)),
            targets=(artifact_name(plan.pipeline, name), *node.outputs),
            task_dep=[prefix + t for t in needs if t in wanted],
            uptodate=[UpToDate(session, plan, node)],
            clean=[(_clean, [session.project, plan.pipeline, name])] if plain else (),
        )
        yield task


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
        _current.append(session)
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
        if _current:
            _current[-1].executor.interrupts.listen()
        wanted, todo = set(), list(selected_tasks)
        while todo:
            name = todo.pop()
            if name not in wanted:
                wanted.add(name)
                todo += tasks[name].task_dep
        if _current:
            _current[-1].choose(wanted)

    def complete_run(self) -> None:
        """Tell what failed. A run that was interrupted ends here: doit, which lets that pass, would end with a traceback."""
        super().complete_run()
        if isinstance(sys.exc_info()[1], KeyboardInterrupt):
            sys.stderr.write("interrupted\n")
            raise SystemExit(int(ExitCode.INTERRUPTED)) from None

    def add_failure(self, task: Task, fail: Any) -> None:
        """Note a task that never came to its action, since a dependency of it is missing."""
        super().add_failure(task, fail)
        found = _current[-1].find(task.name) if _current else None
        if found and isinstance(fail, DependencyError):
            _current[-1].unready[found[0].pipeline, found[1].name] = fail.get_msg().strip().removeprefix("ERROR: ")


DOIT_CONFIG |= {
    "check_file_uptodate": Checker,
    "reporter": Reporter,
    "forget_disable_default": True,  # a bare `doit forget` would fail with doit's own TypeError
}


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


def run_tasks(session: Session, plan: Plan, names: Sequence[str], options: RunOptions, progress: Any) -> None:
    """Let doit run tasks that are stale or downstream of stale ones, in topological order."""
    _current.append(session)
    try:
        dependency = _Dependency(Backend, os.fspath(session.project.store.path), checker_cls=Checker)
        control = TaskControl(list(build_tasks(session, plan, names)))
        control.process(None)
        reporter = _Reporter(session, progress)
        if options.jobs > 1:
            runner = PooledRunner(dependency, reporter, continue_=options.keep_going, num_process=options.jobs)
            runner.pools, runner.held = _pools(session, plan, names), []
        else:
            runner = Runner(dependency, reporter, continue_=options.keep_going)
        runner.finish = lambda: runner.final_result  # the caller ends the run: it knows what was blocked or skipped
        runner.run_all(control.task_dispatcher())
    finally:
        _current.pop()

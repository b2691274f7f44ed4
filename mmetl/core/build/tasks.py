"""One doit task for each task of a pipeline: its `uptodate` and its action ask mmETL."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from doit.action import BaseAction, create_action
from doit.exceptions import TaskFailed
from doit.task import Task

from mmetl.contracts.plan import Plan, TaskNode
from mmetl.core.build.database import locked_or_exit
from mmetl.core.decide import FRESH, Decision
from mmetl.core.keep import clean_task
from mmetl.core.project import Project
from mmetl.core.reasons import Reason, texts
from mmetl.core.session import Session, artifact_name
from mmetl.errors import MmetlError


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
        if gates is None:
            return self._execute()
        with gates.entered(self.node.name):
            return self._execute()

    def _execute(self) -> TaskFailed | None:
        session, plan, node = self.session, self.plan, self.node
        asked = session.last_decision(plan, node)
        begin(session, plan)
        # Gone, where this thread or another has just taken the lock.
        decision = session.last_decision(plan, node) or session.decision(plan, node)
        if asked is FRESH:
            decision = Decision("stale", (Reason("forced"),))  # doit runs it all the same: `doit run -a`
        elif decision is FRESH:
            return None  # another run did it between doit's check and our lock
        result = session.executor.execute(plan, node, session.facts_of(plan), decision.reasons)
        if result.outcome == "failed":
            return TaskFailed(f"{plan.pipeline}:{node.name}: {result.error}")
        return None


def begin(session: Session, plan: Plan) -> None:
    """Take the run lock at the first action.

    A plain `doit run` learns here that another run holds the lock: exit code 4.
    """
    with session.guard:
        if session.executor.lock.held:
            return
        try:
            _set_out(session, plan)
        except MmetlError as e:
            sys.stderr.write(f"{e}\n")
            raise SystemExit(int(e.exit_code)) from None
        session.start_over()


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


def _clean(project: Project, pipeline: str, task: str, dryrun: bool = False) -> None:
    """Clean one task; doit passes `dryrun` by name."""
    if not dryrun:
        with locked_or_exit(project, "doit clean"):
            cleaned = clean_task(project, pipeline, task)
        for path in cleaned.kept:
            sys.stdout.write(f"left {path}: it was changed since mmETL wrote it\n")


class _Task(Task):  # type: ignore[misc]
    """A task without options of its own: doit builds a command-line parser for each otherwise."""

    def init_options(self, args: list[str] | None = None) -> list[str] | None:
        """Leave all words of the command line to the tasks that they name."""
        self.options: dict[str, Any] = {}
        return args


_TEMPLATE = _Task("template", [], clean=())


def _alike(**own: Any) -> Task:
    """Return a task that differs from the others by some attributes only: doit's constructor costs a twentieth of a small task."""
    task = object.__new__(_Task)
    task.__dict__.update(_TEMPLATE.__dict__, **own)
    return task


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
        task = _alike(
            name=prefix + name,
            _action_instances=[Action(session, plan, node)],
            file_dep={*node.files, *sources, *(artifact_name(plan.pipeline, t) for t in node.tables)},
            targets=[artifact_name(plan.pipeline, name), *node.outputs],
            task_dep=[prefix + t for t in needs if t in wanted],
            uptodate=[(UpToDate(session, plan, node), [], {})],
        )
        if plain:
            session.file_deps[task.name] = task.file_dep
            task.clean_actions = [create_action((_clean, [session.project, plan.pipeline, name]), task, "clean")]
        yield task

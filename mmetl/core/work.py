"""Work off what is stale: under the run lock, through doit, with a record of all that happened."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from mmetl.cache.plans import definition_of
from mmetl.contracts.plan import Plan
from mmetl.core.build import run_tasks
from mmetl.core.decide import Decision
from mmetl.core.executor import Executor
from mmetl.core.facts import Facts
from mmetl.core.leftovers import remove_leftovers
from mmetl.core.options import RunOptions
from mmetl.core.progress import Progress
from mmetl.core.project import Project
from mmetl.core.running.outcomes import never_ran
from mmetl.core.session import Session
from mmetl.errors import ExitCode
from mmetl.observability.logs import routed_output
from mmetl.observability.runs import Status, TaskRun

GC_THRESHOLD = 50_000  # new objects between collections: a run makes many that stay


class Work(NamedTuple):
    """What is to be done, as decided before the run lock was taken.

    Attributes:
        selected: the tasks asked for, in plan order.
        version: of the store, read before the decisions; another means that another run has finished since.
    """

    project: Project
    plan: Plan
    options: RunOptions
    selected: Sequence[str]
    facts: Facts
    decisions: Mapping[str, Decision]
    version: int


def work_off(work: Work, progress: Progress) -> tuple[Status, str, list[TaskRun], Mapping[str, ExitCode]]:
    """Run what is stale; return how that went, the run's id, every task that was looked at, and codes of failed ones (see `RunResult`).

    Raises:
        RefusedError: if another run holds the project.
        MissingError: if a package is not installed that a stale task needs; nothing was run then.
    """
    session = Session(work.project, work.options, [work.plan])
    executor = session.executor
    executor.context.progress = progress.items
    stale = _stale(work.decisions)
    executor.load_details(work.plan, stale)
    executor.begin(work.plan.pipeline, work.selected, stale, definition_of(work.project.store, work.plan.key))
    status: Status = "failed"
    left: list[TaskRun] = []
    try:
        if work.project.store.version() != work.version:
            session.start_over()
            facts, decisions = work.project.decide(work.plan, work.selected, forced=work.facts.forced)
            work = work._replace(facts=facts, decisions=decisions)
        session.facts[work.plan.pipeline] = work.facts
        status = _run(session, work, progress)
    finally:
        left = _left(work.plan, _stale(work.decisions), executor)
        executor.end(status, {work.plan.pipeline: left})
    worked = [*executor.outcomes.values(), *left]
    return status, executor.run_id, worked, executor.codes


def _stale(decisions: Mapping[str, Decision]) -> list[str]:
    return [n for n, d in decisions.items() if d.freshness != "fresh"]


def _run(session: Session, work: Work, progress: Progress) -> Status:
    executor, stale = session.executor, _stale(work.decisions)
    progress.begin(work.plan.pipeline, executor.run_id, len(stale), len(work.selected) - len(stale))
    certain = [n for n in stale if work.decisions[n].freshness == "stale"]
    executor.invalidate(work.plan, work.facts, certain)
    remove_leftovers(work.project.store, work.facts, certain, executor.run_id)
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 20)
    gc.enable()
    if threading.current_thread() is threading.main_thread():
        executor.interrupts.listen()
    try:
        with routed_output():
            run_tasks(session, work.plan, stale, work.options, progress)
    except KeyboardInterrupt:
        executor.cancel()
        return "cancelled"
    return "failed" if any(t.outcome == "failed" for t in executor.outcomes.values()) else "succeeded"


def _left(plan: Plan, stale: Iterable[str], executor: Executor) -> list[TaskRun]:
    """Return the tasks that have no row yet: those that never ran, and those that doit found fresh late."""
    outcomes = {t: r for (_, t), r in executor.outcomes.items()}
    return never_ran(plan, stale, outcomes) + [r for r in outcomes.values() if r.outcome == "fresh"]

"""Run tasks: take the lock, invalidate, let each be done, commit what came of it, end the run."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Mapping, Sequence

from mmetl.cache.artifacts import sweep_unfinished
from mmetl.cache.commits import Commit, Committer, invalidate, validate_again
from mmetl.cache.layout import log_path
from mmetl.cache.lock import RunLock
from mmetl.contracts.plan import Plan, TaskDetail, TaskNode
from mmetl.core.facts import Facts
from mmetl.core.keep import tidy
from mmetl.core.leftovers import remove_leftovers
from mmetl.core.looking.why import in_detail
from mmetl.core.options import RunOptions
from mmetl.core.project import Project
from mmetl.core.reasons import Reason, texts
from mmetl.core.running.deadline import Interrupts, deaf, interrupt
from mmetl.core.running.execution import RunContext, TaskExecution
from mmetl.core.running.guards import refuse_uninstalled
from mmetl.core.running.placing import in_yaml
from mmetl.core.running.recording import record
from mmetl.core.running.telling import tell
from mmetl.errors import ExitCode, LimitError, MissingError
from mmetl.observability.logs import TaskLog
from mmetl.observability.runs import (
    Status,
    TaskRun,
    beat,
    begin_run,
    end_run,
    left_running,
    new_run_id,
    task_run_row,
    write_event,
    write_task_runs,
)
from mmetl.utils.orphans import RUN_VARIABLE, end_orphans

CANCEL_S = 10.0  # longest wait, after Ctrl-C, for a command or an engine to stop as it was asked to
GRACE_S = 1.0  # and for tasks in other threads to notice; twice: the second time they are interrupted
FORCED_S = 1.0  # and after their commands were killed


class Executor:
    """Executes tasks of one project, under the run lock.

    Args:
        project: the project.
        options: what was asked for.
    """

    def __init__(self, project: Project, options: RunOptions) -> None:
        self.project = project
        self.options = options
        self.run_id = new_run_id()
        self.lock = RunLock(project.store.folder)
        self.outcomes: dict[tuple[str, str], TaskRun] = {}
        self.cancelled = False
        self.interrupts = Interrupts()
        self.context = RunContext(project, options, self.run_id, lambda: self.cancelled or self.interrupts.seen)
        self._at_work: dict[str, int] = {}  # task -> the thread that it is in
        self._waiting: dict[tuple[str, str], str] = {}  # invalidated tasks that have not begun -> their state before
        self._committer: Committer | None = None
        self._begin = threading.Lock()
        self._started_in = ""
        self.codes: dict[str, ExitCode] = {}  # of failed tasks whose error has a code that says more than "it failed"
        self._details: dict[tuple[str, str], TaskDetail] = {}

    # --- the run

    def begin(self, pipeline: str, selected: Sequence[str], stale: Sequence[str], definition: str = "") -> None:
        """Take the run lock and write the run, with the fingerprint of what the YAML says. Raises RefusedError if another run holds it."""
        with self._begin:
            if self._committer:
                return
            store = self.project.store
            store.check()
            self.lock.acquire(self.run_id)
            # Project functions open files by the paths that the YAML gives, wherever the command was started.
            self._started_in = os.getcwd()
            os.chdir(self.project.root)
            orphans = end_orphans(left_running(store))
            os.environ[RUN_VARIABLE] = self.run_id
            sweep_unfinished(str(self.project.root))
            with store.transaction() as db:
                begin_run(db, self.run_id, pipeline, selected, self.options.arguments())
                if orphans:
                    write_event(db, self.run_id, "orphans_killed", pids=orphans)
                write_event(db, self.run_id, "decided", stale=list(stale), definition=definition)
            self.context.indexed = {key for (key,) in store.rows("select key from builds")}
            self._committer = Committer(
                store, self.project.files, self.project.trees, lambda db, begun: beat(db, self.run_id, begun)
            )

    def invalidate(self, plan: Plan, facts: Facts, tasks: Sequence[str]) -> None:
        """Commit that these tasks are about to run; one commit covers a wave of them."""
        # The facts keep the state that it had: one that turns out to be fresh after all gets it back, see `end`.
        states = {
            t: facts.records[t].state for t in tasks if t in facts.records and (plan.pipeline, t) not in self._waiting
        }
        known = [t for t, state in states.items() if state != "started"]
        if known:
            with self.project.store.transaction() as db:
                invalidate(db, plan.pipeline, known)
            self._waiting.update(((plan.pipeline, t), states[t]) for t in known)

    def end(self, status: Status, left: Mapping[str, Sequence[TaskRun]]) -> None:
        """Write how the run ended, with the tasks that never ran; give the lock back."""
        if self._committer is None:
            return
        try:
            self._committer.close()
            with self.project.store.transaction() as db:
                validate_again(db, self._waiting)
                for pipeline, tasks in left.items():
                    write_task_runs(db, self.run_id, pipeline, tasks)
                end_run(db, self.run_id, status)
            tidy(self.project)
        finally:
            os.chdir(self._started_in)
            os.environ.pop(RUN_VARIABLE, None)
            self.lock.release()
            self._committer = None

    def cancel(self) -> None:
        """Interrupt every running task, and wait a little until none is at work; what they come to is no result any more.

        A thread that sleeps, or waits in a library, cannot be ended: it is left behind, and ends with the process. A second interrupt
        cuts the waiting short. What commands have started is gone afterwards, in either case.
        """
        self.cancelled = True
        stops = [threading.Thread(target=c.stop, daemon=True) for c in list(self.context.running.values())]
        with contextlib.suppress(KeyboardInterrupt):
            for stop in stops:
                stop.start()
            for stop in stops:
                stop.join(CANCEL_S)
            self._wait_for_tasks(GRACE_S)
            for thread in list(self._at_work.values()):
                interrupt(thread)
            self._wait_for_tasks(GRACE_S)
        with deaf():
            os.environ.pop(RUN_VARIABLE, None)  # or we would be spared, and all that we have started
            if end_orphans([self.run_id]):
                self._wait_for_tasks(FORCED_S)

    def _wait_for_tasks(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while self._at_work and time.monotonic() < end:
            time.sleep(0.01)

    # --- one task

    def execute(self, plan: Plan, node: TaskNode, facts: Facts, reasons: tuple[Reason, ...]) -> TaskRun:
        """Bring one stale task up to date; whatever happens is committed and returned, never raised.

        KeyboardInterrupt passes: the task then stays invalidated.
        """
        started = time.perf_counter()
        self.invalidate(plan, facts, (node.name,))
        assert self._committer
        self._committer.begin(plan.pipeline, node.name)  # tells it from those that only wait, after a kill
        self._waiting.pop((plan.pipeline, node.name), None)
        remove_leftovers(self.project.store, facts, (node.name,), self.run_id)
        log = TaskLog(facts.files.full(log_path(self.run_id, plan.pipeline, node.name)))
        why = tuple(texts(self.explain(reasons)))
        self._at_work[node.name] = threading.get_ident()
        execution: TaskExecution | None = None
        try:
            detail = self._detail(plan, node.name)
            execution = TaskExecution(self.context, plan, node, facts, detail, log)
            done = execution.run(reasons)
        except KeyboardInterrupt:
            raise
        except BaseException as e:  # user code may raise anything; the run goes on and tells
            if self.interrupts.here:
                raise KeyboardInterrupt from e
            if self.cancelled or self.interrupts.seen:
                return TaskRun(node.name, "skipped", why)  # it did not fail: it was stopped, and stays invalidated
            told = tell(in_yaml(self.project, plan, node.name, self.options.variables, e), log)
            if isinstance(e, LimitError | MissingError):
                self.codes[node.name] = e.exit_code
            spent = execution.spent if execution else {}
            result = TaskRun(node.name, "failed", why, 0, 0, time.perf_counter() - started, told, spent)
            self._commit_failure(plan, node, facts, result)
        else:
            seconds = time.perf_counter() - started
            rows, size, counts = done.manifest.rows, done.manifest.size_bytes, done.all_counts | execution.spent
            result = TaskRun(node.name, done.outcome, why, rows, size, seconds, done.warning, counts)
            recorded = record(self.context, plan, node, facts, detail, done, result)
            self._committer.submit(recorded.commit)
            facts.put(recorded.record, recorded.lists)
            facts.settled.add(node.name)
        finally:
            log.close()
            self._at_work.pop(node.name, None)
        facts.attempted.add(node.name)
        self.outcomes[plan.pipeline, node.name] = result
        if self.interrupts.here:
            raise KeyboardInterrupt
        return result

    def explain(self, reasons: tuple[Reason, ...]) -> tuple[Reason, ...]:
        """Look into a changed recipe: which of its components changed."""
        return in_detail(self.project.store, reasons)

    def load_details(self, plan: Plan, tasks: Sequence[str]) -> None:
        """Read what several tasks need at once. Raises MissingError if that is a package which is not installed."""
        details = self.project.details(plan, tasks)
        self._details.update(((plan.key, name), detail) for name, detail in details.items())
        refuse_uninstalled(details)

    def _detail(self, plan: Plan, name: str) -> TaskDetail:
        if (plan.key, name) not in self._details:
            self.load_details(plan, (name,))
        return self._details[plan.key, name]

    def _commit_failure(self, plan: Plan, node: TaskNode, facts: Facts, result: TaskRun) -> None:
        assert self._committer
        known = facts.records.get(node.name)
        if known:
            facts.records[node.name] = known._replace(state="failed")
        row = task_run_row(self.run_id, plan.pipeline, result)
        self._committer.submit(Commit(plan.pipeline, node.name, row, failed=True))

"""Do one task: invalidate, restore or compute, check that no input moved, make durable, commit."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from mmetl.cache.artifacts import (
    PartStore,
    sweep_unfinished,
)
from mmetl.cache.commits import Commit, Committer, invalidate, validate_again
from mmetl.cache.fingerprints import MISSING, build_key, combine, mark_executable
from mmetl.cache.layout import log_path, part_path
from mmetl.cache.lock import RunLock
from mmetl.cache.plans import plan_files
from mmetl.cache.trees import Tree
from mmetl.contracts.artifact import Fingerprint, Manifest
from mmetl.contracts.plan import Plan, TaskDetail, TaskNode
from mmetl.contracts.transform import Job, Made
from mmetl.core.decide import seen_anew
from mmetl.core.facts import Facts, Lists, Record
from mmetl.core.keep import tidy
from mmetl.core.leftovers import remove_leftovers
from mmetl.core.looking.why import in_detail
from mmetl.core.options import RunOptions
from mmetl.core.project import Project
from mmetl.core.reasons import Reason, texts
from mmetl.core.running.checking import Published, check_made
from mmetl.core.running.deadline import Cancellation, Interrupts, deaf, interrupt, limited
from mmetl.core.running.done import Done
from mmetl.core.running.families import view_manifest
from mmetl.core.running.folders import place, publish, strangers
from mmetl.core.running.guards import refuse, refuse_folder, refuse_uninstalled
from mmetl.core.running.history import ItemHistory
from mmetl.core.running.jobs import Jobs
from mmetl.core.running.placing import in_yaml
from mmetl.core.running.restore import against, may_restore, parts_of, restorable
from mmetl.core.running.spending import Budget, Spending
from mmetl.core.running.telling import sentence, tell
from mmetl.core.running.watching import InputWatch
from mmetl.core.sources import CodeWatch
from mmetl.errors import ExitCode, LimitError, MissingError
from mmetl.observability.logs import TaskLog, printing_to
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
from mmetl.utils.time import now_ms

RETRY_DELAY_S = 0.5  # before the first retry; doubled each time, up to RETRY_LIMIT_S
RETRY_LIMIT_S = 30.0
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
        self.parts = PartStore(project.files)
        self.jobs = Jobs(project, options, self.parts, self.run_id)
        self.lock = RunLock(project.store.folder)
        self.outcomes: dict[tuple[str, str], TaskRun] = {}
        self.running: dict[str, Cancellation] = {}
        self.progress: Callable[[str, int, int, Mapping[str, float]], None] = lambda _task, _done, _todo, _counts: None
        self.cancelled = False
        self.interrupts = Interrupts()
        self._at_work: dict[str, int] = {}  # task -> the thread that it is in
        self._waiting: dict[tuple[str, str], str] = {}  # invalidated tasks that have not begun -> their state before
        self._committer: Committer | None = None
        self._begin = threading.Lock()
        self._started_in = ""
        self._indexed: set[Fingerprint] = set()
        self.codes: dict[str, ExitCode] = {}  # of failed tasks whose error has a code that says more than "it failed"
        self._budget = Budget(options.max_tokens, options.max_cost)
        self._meters: dict[str, Spending] = {}
        self._details: dict[tuple[str, str], TaskDetail] = {}
        self._watched: dict[str, CodeWatch] = {}

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
            self._indexed = {key for (key,) in store.rows("select key from builds")}
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
        stops = [threading.Thread(target=c.stop, daemon=True) for c in list(self.running.values())]
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
        try:
            done = self._checked(plan, node, facts, self._restore_or_compute(plan, node, facts, reasons, log), log)
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
            spent = self._spent(plan, node)
            result = TaskRun(node.name, "failed", why, 0, 0, time.perf_counter() - started, told, spent)
            self._commit_failure(plan, node, facts, result)
        else:
            seconds = time.perf_counter() - started
            manifest = done.manifest
            size = manifest.size_bytes
            counts = done.all_counts | self._spent(plan, node)
            result = TaskRun(node.name, done.outcome, why, manifest.rows, size, seconds, done.warning, counts)
            self._commit_success(plan, node, facts, done, result)
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

    def _spent(self, plan: Plan, node: TaskNode) -> dict[str, float]:
        meter = self._meters.get(f"{plan.pipeline}:{node.name}")
        return meter.counts if meter else {}

    def load_details(self, plan: Plan, tasks: Sequence[str]) -> None:
        """Read what several tasks need at once. Raises MissingError if that is a package which is not installed."""
        details = self.project.details(plan, tasks)
        self._details.update(((plan.key, name), detail) for name, detail in details.items())
        refuse_uninstalled(details)

    def _detail(self, plan: Plan, name: str) -> TaskDetail:
        if (plan.key, name) not in self._details:
            self.load_details(plan, (name,))
        return self._details[plan.key, name]

    def _restore_or_compute(
        self, plan: Plan, node: TaskNode, facts: Facts, reasons: tuple[Reason, ...], log: TaskLog
    ) -> Done:
        inputs = facts.input_list(node)
        detail = self._detail(plan, node.name)
        refuse(node, detail, facts, self.options.allow_shrink)
        trees = facts.trees_of(node)
        digest = facts.inputs(node, trees)
        again = against(reasons)
        if may_restore(node, detail, again):
            restored = self._restore(node, facts, digest, inputs)
            if restored:
                return restored._replace(trees=trees)
        code = self._code(plan) if detail.functions or detail.imports else None
        watch = InputWatch(facts, node, inputs, trees, code)
        made = self._compute(plan, node, facts, detail, log, trees, watch, again=again)
        changed = watch.moved(made.opened if made else None)
        manifest = self._manifest(node, facts, detail, made)
        return Done(
            outcome="ran",
            manifest=manifest,
            digest=digest,
            inputs=inputs,
            trees=trees,
            quarantine=made.quarantine if made else None,
            items=made.items if made and not changed else None,  # no later run may take them for what these inputs make
            counts=made.counts if made else {},
            watermark=made.watermark if made else None,
            changed=tuple(changed),
            warning=f"{changed[0]} changed while it ran; it will run again"
            if changed
            else strangers(node, facts, manifest),
        )

    def _checked(self, plan: Plan, node: TaskNode, facts: Facts, done: Done, log: TaskLog) -> Done:
        """Evaluate the checks of what a task made or restored. Raises TaskError if it must not be published."""
        detail = self._detail(plan, node.name)
        if not detail.expect:
            return done
        name = f"{plan.pipeline}:{node.name}"
        self.running[name] = cancellation = Cancellation()
        try:
            made, again = Published(done.manifest, done.quarantine), done.outcome == "restored"
            check = partial(check_made, self.jobs, plan, node, facts, detail, made, log, cancellation, restored=again)
            left = limited(detail.timeout_s, cancellation, check)
        finally:
            self.running.pop(name, None)
        warning = "; ".join(filter(None, (done.warning, left.told)))
        return done._replace(manifest=left.manifest, quarantine=left.aside, warning=warning)

    # --- restore

    def _restore(
        self, node: TaskNode, facts: Facts, digest: Fingerprint, inputs: Mapping[str, Fingerprint]
    ) -> Done | None:
        """Put an earlier output of the same recipe and inputs back, if all its parts are still there."""
        key = build_key(node.recipe, digest)
        found = restorable(self.project, key) if key in self._indexed else None
        if found is None or not all(self.parts.keep(path, part) for part, path in found.lost.items()):
            return None
        manifest, quarantine, items, watermark = found.build
        files = facts.files
        if node.folder:
            place(self.parts, node, facts, manifest)
            return Done(
                "restored", manifest, digest, inputs, watermark=watermark, warning=strangers(node, facts, manifest)
            )
        for part in manifest.parts:
            if part.path and files.again(part.path) != part.fingerprint:
                self._make_room(node, facts, part.path)
                self.parts.write_out(part)
            elif part.path and (part.path in files.executable) != part.executable:
                self.parts.mend_mode(part)
        return Done("restored", manifest, digest, inputs, quarantine=quarantine, items=items, watermark=watermark)

    def _make_room(self, node: TaskNode, facts: Facts, path: str) -> bool:
        """Keep a file that mmETL did not write, or that somebody changed since; return whether its place was taken."""
        if not facts.files.has(path):
            self.parts.make_room(path)
            return False
        refuse_folder(facts, path)
        written = facts.lists(node.name).outputs.get(path)
        found = facts.files.again(path)
        if found not in (MISSING, written):
            self.parts.set_aside(path)
        return True

    # --- compute

    def _compute(
        self,
        plan: Plan,
        node: TaskNode,
        facts: Facts,
        detail: TaskDetail,
        log: TaskLog,
        trees: Mapping[str, Tree],
        watch: InputWatch,
        *,
        again: Collection[str],
    ) -> Made | None:
        transform = self.jobs.transform(detail)
        cancellation = Cancellation()
        job = self.jobs.job(transform, plan, node, facts, detail, log, cancellation, trees)
        job.meter = self._meters[job.name] = Spending(self._budget)
        job.progress = partial(self.progress, job.name)
        full = "forced" in again
        retried = "retried" in again
        job.earlier = ItemHistory(self.project, node, plan.pipeline, forced=full, retried=retried, moved=watch.moved)
        if detail.promise == "watermark" and not full:
            job.base = self.jobs.base(plan, node, facts)
        there = [self._make_room(node, facts, path) for path in node.outputs]
        self.running[job.name] = cancellation
        try:
            return self._attempt(transform, job, detail, node, cancellation, clear=any(there))
        finally:
            self.running.pop(job.name, None)
            if "scratch" in vars(job):  # it was asked for
                shutil.rmtree(job.scratch_folder, ignore_errors=True)

    def _attempt(
        self, transform: Any, job: Job, detail: TaskDetail, node: TaskNode, cancellation: Cancellation, *, clear: bool
    ) -> Made | None:
        for n in range(detail.retries + 1):
            if clear or n:  # what a command left from an earlier run must not be taken for what it writes now
                self._clear(transform, node)
            try:
                with printing_to(job.log):
                    made: Made | None = limited(detail.timeout_s, cancellation, partial(transform.run, job))
                    return made
            except KeyboardInterrupt:
                raise
            except BaseException as e:
                if n == detail.retries or self.cancelled or self.interrupts.seen or isinstance(e, LimitError):
                    self._clear(transform, node)  # half-written, and nobody else's
                    raise
                job.log.write(f"attempt {n + 1} failed: {sentence(e)}\n")
                time.sleep(min(RETRY_DELAY_S * 2**n, RETRY_LIMIT_S))
        raise AssertionError(node.name)

    def _clear(self, transform: Any, node: TaskNode) -> None:
        """Remove the outputs of a transform that does not write them all at once."""
        if not getattr(transform, "atomic", True):
            for path in node.outputs:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.project.files.full(path))

    def _code(self, plan: Plan) -> CodeWatch:
        if plan.key not in self._watched:
            self._watched[plan.key] = CodeWatch(self.project.files, plan_files(self.project.store, plan.key))
        return self._watched[plan.key]

    def _manifest(self, node: TaskNode, facts: Facts, detail: TaskDetail, made: Made | None) -> Manifest:
        if made is not None and node.folder and not node.kept:
            return publish(self.parts, node, facts, made.files, cached=detail.cache)
        if made is not None and made.view:
            return view_manifest(detail, made, facts.manifest)
        if made is not None:
            key = tuple(detail.key) if made.key is None else made.key
            return Manifest("table", made.parts, key, made.columns, made.buckets)
        return Manifest("files", tuple(self.parts.take(p, cached=detail.cache) for p in node.outputs))

    # --- commits

    def _commit_success(self, plan: Plan, node: TaskNode, facts: Facts, done: Done, result: TaskRun) -> None:
        assert self._committer
        manifest = done.manifest
        body = manifest.to_json()
        fingerprint = self.jobs.remember(manifest, body)
        outputs = {p.path: p.fingerprint for p in manifest.parts if p.path} | seen_anew(node, facts)
        executable = frozenset(p.path for p in manifest.parts if p.executable)
        cached = self._detail(plan, node.name).cache
        quarantine, items = done.beside()
        made = manifest.parts if cached or manifest.kind != "files" else ()
        kept = parts_of(manifest._replace(parts=made), done.quarantine, done.items)
        now = now_ms()
        record = Record(
            node.name,
            "changed" if done.changed else "done",
            node.recipe,
            done.digest,
            combine(mark_executable(outputs[p]) if p in executable else outputs[p] for p in outputs),
            fingerprint,
            " ".join(dict.fromkeys(p.fingerprint for p in kept)),
            now,
            self.run_id,
        )
        watermark = None if done.watermark is None else json.dumps(done.watermark)
        build = (
            build_key(node.recipe, done.digest),
            node.recipe,
            fingerprint,
            watermark,
            plan.pipeline,
            node.name,
            now,
            now,
            quarantine[0],
            items[0],
        )
        full = facts.files.full
        self._committer.submit(
            Commit(
                plan.pipeline,
                node.name,
                task_run_row(self.run_id, plan.pipeline, result),
                record,
                (quarantine[0], items[0], json.dumps(done.inputs), json.dumps(outputs), done.trees_json()),
                None if done.changed or not cached else build,
                (fingerprint, body),
                [b for b in (quarantine, items) if b[0]],
                done.items.basis if done.items else None,
                done.watermark,
                [*(full(p) for p in outputs if p != node.place), *(full(part_path(p.fingerprint)) for p in kept)],
            )
        )
        facts.put(record, Lists(dict(done.inputs), outputs, executable, done.trees))

    def _commit_failure(self, plan: Plan, node: TaskNode, facts: Facts, result: TaskRun) -> None:
        assert self._committer
        record = facts.records.get(node.name)
        if record:
            facts.records[node.name] = record._replace(state="failed")
        row = task_run_row(self.run_id, plan.pipeline, result)
        self._committer.submit(Commit(plan.pipeline, node.name, row, failed=True))

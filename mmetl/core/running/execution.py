"""One stale task, from its inputs to what came of it: restored, or computed and checked. State is written by the executor."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from mmetl.cache.artifacts import PartStore
from mmetl.cache.fingerprints import MISSING, build_key
from mmetl.cache.plans import plan_files
from mmetl.cache.trees import Tree
from mmetl.contracts.artifact import Fingerprint, Manifest
from mmetl.contracts.plan import Plan, TaskDetail, TaskNode
from mmetl.contracts.transform import Job, Made
from mmetl.core.facts import Facts
from mmetl.core.options import RunOptions
from mmetl.core.project import Project
from mmetl.core.reasons import Reason
from mmetl.core.running.checking import Published, check_made
from mmetl.core.running.deadline import Cancellation, limited
from mmetl.core.running.done import Done
from mmetl.core.running.families import view_manifest
from mmetl.core.running.folders import place, publish, strangers
from mmetl.core.running.guards import refuse, refuse_folder
from mmetl.core.running.history import ItemHistory
from mmetl.core.running.jobs import Jobs
from mmetl.core.running.restore import against, may_restore, restorable
from mmetl.core.running.spending import Budget, Spending
from mmetl.core.running.telling import sentence
from mmetl.core.running.watching import InputWatch
from mmetl.core.sources import CodeWatch
from mmetl.errors import LimitError
from mmetl.observability.logs import TaskLog, printing_to

RETRY_DELAY_S = 0.5  # before the first retry; doubled each time, up to RETRY_LIMIT_S
RETRY_LIMIT_S = 30.0


class RunContext:
    """What the tasks of one run share.

    Args:
        project: the project.
        options: what was asked for.
        run_id: of the run.
        is_stopping: tells whether the run was asked to end.

    Attributes:
        running: `pipeline:task` -> what interrupts it.
        indexed: the keys of all builds that the index had when the run began.
        progress: is told of items: `pipeline:task`, how many are done, of how many, and their counts.
    """

    def __init__(self, project: Project, options: RunOptions, run_id: str, is_stopping: Callable[[], bool]) -> None:
        self.project = project
        self.options = options
        self.run_id = run_id
        self.is_stopping = is_stopping
        self.parts = PartStore(project.files)
        self.jobs = Jobs(project, options, self.parts, run_id)
        self.budget = Budget(options.max_tokens, options.max_cost)
        self.running: dict[str, Cancellation] = {}
        self.indexed: set[Fingerprint] = set()
        self.progress: Callable[[str, int, int, Mapping[str, float]], None] = lambda _task, _done, _todo, _counts: None
        self._watched: dict[str, CodeWatch] = {}

    def code(self, plan: Plan) -> CodeWatch:
        """Return what tells whether the code of a pipeline was edited during the run."""
        if plan.key not in self._watched:
            self._watched[plan.key] = CodeWatch(self.project.files, plan_files(self.project.store, plan.key))
        return self._watched[plan.key]


class TaskExecution:
    """Does one task.

    Args:
        context: of the run.
        plan: of the pipeline.
        node: the task.
        facts: what was observed of its pipeline.
        detail: of the task.
        log: of the task.
    """

    def __init__(
        self, context: RunContext, plan: Plan, node: TaskNode, facts: Facts, detail: TaskDetail, log: TaskLog
    ) -> None:
        self._context, self._plan, self._node = context, plan, node
        self._facts, self._detail, self._log = facts, detail, log
        self._name = f"{plan.pipeline}:{node.name}"
        self._parts = context.parts
        self._meter = Spending(context.budget)

    @property
    def spent(self) -> dict[str, float]:
        """What it has spent so far."""
        return self._meter.counts

    def run(self, reasons: tuple[Reason, ...]) -> Done:
        """Restore the output or compute it, and put its checks to it. Raises whatever it fails with."""
        return self._checked(self._restore_or_compute(reasons))

    def _restore_or_compute(self, reasons: tuple[Reason, ...]) -> Done:
        node, facts, detail = self._node, self._facts, self._detail
        inputs = facts.input_list(node)
        refuse(node, detail, facts, self._context.options.allow_shrink)
        trees = facts.trees_of(node)
        digest = facts.inputs(node, trees)
        again = against(reasons)
        if may_restore(node, detail, again):
            restored = self._restore(digest, inputs)
            if restored:
                return restored._replace(trees=trees)
        code = self._context.code(self._plan) if detail.functions or detail.imports else None
        watch = InputWatch(facts, node, inputs, trees, code)
        made = self._compute(trees, watch, again)
        changed = watch.moved(made.opened if made else None)
        manifest = self._manifest(made)
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

    def _checked(self, done: Done) -> Done:
        """Evaluate the checks of what was made or restored. Raises TaskError if it must not be published."""
        detail = self._detail
        if not detail.expect:
            return done
        self._context.running[self._name] = cancellation = Cancellation()
        try:
            made, again = Published(done.manifest, done.quarantine), done.outcome == "restored"
            asked = (self._context.jobs, self._plan, self._node, self._facts, detail, made, self._log, cancellation)
            left = limited(detail.timeout_s, cancellation, partial(check_made, *asked, restored=again))
        finally:
            self._context.running.pop(self._name, None)
        warning = "; ".join(filter(None, (done.warning, left.told)))
        return done._replace(manifest=left.manifest, quarantine=left.aside, warning=warning)

    # --- restore

    def _restore(self, digest: Fingerprint, inputs: Mapping[str, Fingerprint]) -> Done | None:
        """Put an earlier output of the same recipe and inputs back, if all its parts are still there."""
        node, facts, parts = self._node, self._facts, self._parts
        key = build_key(node.recipe, digest)
        found = restorable(self._context.project, key) if key in self._context.indexed else None
        if found is None or not all(parts.keep(path, part) for part, path in found.lost.items()):
            return None
        manifest, quarantine, items, watermark = found.build
        if node.folder:
            place(parts, node, facts, manifest)
            warning = strangers(node, facts, manifest)
            return Done("restored", manifest, digest, inputs, watermark=watermark, warning=warning)
        files = facts.files
        for part in manifest.parts:
            if part.path and files.again(part.path) != part.fingerprint:
                self._make_room(part.path)
                parts.write_out(part)
            elif part.path and (part.path in files.executable) != part.executable:
                parts.mend_mode(part)
        return Done("restored", manifest, digest, inputs, quarantine=quarantine, items=items, watermark=watermark)

    def _make_room(self, path: str) -> bool:
        """Keep a file that mmETL did not write, or that somebody changed since; return whether its place was taken."""
        facts = self._facts
        if not facts.files.has(path):
            self._parts.make_room(path)
            return False
        refuse_folder(facts, path)
        written = facts.lists(self._node.name).outputs.get(path)
        found = facts.files.again(path)
        if found not in (MISSING, written):
            self._parts.set_aside(path)
        return True

    # --- compute

    def _compute(self, trees: Mapping[str, Tree], watch: InputWatch, again: Collection[str]) -> Made | None:
        context, plan, node, facts, detail = self._context, self._plan, self._node, self._facts, self._detail
        transform = context.jobs.transform(detail)
        cancellation = Cancellation()
        job = context.jobs.job(transform, plan, node, facts, detail, self._log, cancellation, trees)
        job.meter = self._meter
        job.progress = partial(context.progress, self._name)
        full, retried = "forced" in again, "retried" in again
        job.earlier = ItemHistory(context.project, node, plan.pipeline, forced=full, retried=retried, moved=watch.moved)
        if detail.promise == "watermark" and not full:
            job.base = context.jobs.base(plan, node, facts)
        there = [self._make_room(path) for path in node.outputs]
        context.running[self._name] = cancellation
        try:
            return self._attempt(transform, job, cancellation, clear=any(there))
        finally:
            context.running.pop(self._name, None)
            if "scratch" in vars(job):  # it was asked for
                shutil.rmtree(job.scratch_folder, ignore_errors=True)

    def _attempt(self, transform: Any, job: Job, cancellation: Cancellation, *, clear: bool) -> Made | None:
        detail = self._detail
        for n in range(detail.retries + 1):
            if clear or n:  # what a command left from an earlier run must not be taken for what it writes now
                self._clear(transform)
            try:
                with printing_to(job.log):
                    made: Made | None = limited(detail.timeout_s, cancellation, partial(transform.run, job))
                    return made
            except KeyboardInterrupt:
                raise
            except BaseException as e:
                if n == detail.retries or self._context.is_stopping() or isinstance(e, LimitError):
                    self._clear(transform)  # half-written, and nobody else's
                    raise
                job.log.write(f"attempt {n + 1} failed: {sentence(e)}\n")
                time.sleep(min(RETRY_DELAY_S * 2**n, RETRY_LIMIT_S))
        raise AssertionError(self._name)

    def _clear(self, transform: Any) -> None:
        """Remove the outputs of a transform that does not write them all at once."""
        if not getattr(transform, "atomic", True):
            for path in self._node.outputs:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._facts.files.full(path))

    def _manifest(self, made: Made | None) -> Manifest:
        node, detail, parts = self._node, self._detail, self._parts
        if made is None:
            return Manifest("files", tuple(parts.take(p, cached=detail.cache) for p in node.outputs))
        if node.folder and not node.kept:
            return publish(parts, node, self._facts, made.files, cached=detail.cache)
        if made.view:
            return view_manifest(detail, made, self._facts.manifest)
        key = tuple(detail.key) if made.key is None else made.key
        return Manifest("table", made.parts, key, made.columns, made.buckets)

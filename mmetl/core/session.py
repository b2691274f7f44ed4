"""What the tasks, the checker and the backend of one process share while doit runs; knows nothing of doit."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Sequence

from mmetl.cache.fingerprints import FileCache
from mmetl.cache.layout import STATE_DIR
from mmetl.cache.stat_cache import known_files
from mmetl.contracts.plan import Plan, TaskNode
from mmetl.core.decide import FRESH, Decision, decide, look_again, observe
from mmetl.core.executor import Executor
from mmetl.core.facts import Facts
from mmetl.core.options import RunOptions
from mmetl.core.project import Project
from mmetl.core.running.outcomes import never_ran
from mmetl.core.running.pools import Gates
from mmetl.observability.runs import TaskRun

ARTIFACTS = f"{STATE_DIR}/artifacts/"


def artifact_name(pipeline: str, task: str) -> str:
    """Return the name under which doit knows an artifact, among targets and file_dep. No file is there: see Checker."""
    return f"{ARTIFACTS}{pipeline}/{task}"


CUTOFF = "its inputs turned out to be the same"


class Session:
    """What the tasks, the checker and the backend of one process share.

    Args:
        project: the project.
        options: what was asked for.
        plans: the plans whose tasks are built.

    Attributes:
        chosen: pipeline -> tasks that a plain doit run was asked for, with what they need; None: nobody has told.
        set_out: pipeline -> tasks that it set out to do.
        gates: pipeline -> its pools, where doit's own runner hands out the tasks.
        file_deps: doit's name -> what doit sees that the task reads; only for doit's own commands.
        unready: (pipeline, task) -> error, for tasks that doit refused before their action: an input is missing.
    """

    def __init__(self, project: Project, options: RunOptions, plans: Sequence[Plan]) -> None:
        self.project = project
        self.executor = Executor(project, options)
        self.plans = {p.pipeline: p for p in plans}
        self.facts: dict[str, Facts] = {}
        self.chosen: dict[str, list[str]] | None = None
        self.set_out: dict[str, list[str]] = {}
        self.gates: dict[str, Gates] = {}
        self.file_deps: dict[str, Collection[str]] = {}
        self.unready: dict[tuple[str, str], str] = {}
        self._decided: dict[tuple[str, str], Decision] = {}
        self.guard = threading.RLock()  # doit decides in the main thread while others run tasks

    @property
    def files(self) -> FileCache:
        """The fingerprints of the project's files."""
        return self.project.files

    def fingerprint(self, path: str) -> str:
        """Return the fingerprint of a file, or of the manifest of an artifact that doit knows by a name like a path."""
        if not path.startswith(ARTIFACTS):
            with self.guard:
                return self.files.fingerprint(path)
        pipeline, task = path.removeprefix(ARTIFACTS).split("/")
        return self.facts_of(self.plans[pipeline]).manifest(task)

    def find(self, doit_name: str) -> tuple[Plan, TaskNode] | None:
        """Return the plan and node that a doit task stands for; None for a task that is not mmETL's."""
        pipeline, _, name = doit_name.partition(":")
        plan = self.plans.get(pipeline)
        return (plan, plan.tasks[name]) if plan and name in plan.tasks else None

    def facts_of(self, plan: Plan) -> Facts:
        """Return what is known of a plan's tasks."""
        with self.guard:
            if plan.pipeline not in self.facts:
                self.facts[plan.pipeline] = self.project.facts(plan)
            return self.facts[plan.pipeline]

    def decision(self, plan: Plan, node: TaskNode) -> Decision:
        """Decide over a task now: upstream tasks that are not settled yet are decided first."""
        with self.guard:
            return self._decision(plan, node)

    def _decision(self, plan: Plan, node: TaskNode) -> Decision:
        facts = self.facts_of(plan)
        stack = [node]
        while stack:
            current = stack[-1]
            todo = [t for t in (*current.tables, *current.after) if t not in facts.settled and not self._asked(plan, t)]
            if todo:
                stack += [plan.tasks[t] for t in todo]
                continue
            stack.pop()
            # Until a task has run nothing that was observed can have been changed by one.
            if self.executor.outcomes:
                look_again(current, facts)
            else:
                observe((current,), facts)
            decision = self._remember(plan, current, decide(current, facts))
        return decision

    def _asked(self, plan: Plan, task: str) -> bool:
        return (plan.pipeline, task) in self._decided

    def choose(self, doit_names: Iterable[str]) -> None:
        """Note what a plain doit run was asked for, with what that needs."""
        wanted = set(doit_names)
        chosen = {p: [t for t in plan.tasks if f"{p}:{t}" in wanted] for p, plan in self.plans.items()}
        self.chosen = {p: tasks for p, tasks in chosen.items() if tasks}

    def left(self) -> dict[str, list[TaskRun]]:
        """Return, by pipeline, what a plain doit run set out to do and has no row yet."""
        found: dict[str, list[TaskRun]] = {}
        for pipeline, tasks in self.set_out.items():
            done = {t: r for (p, t), r in self.executor.outcomes.items() if p == pipeline}
            late = [t for t in tasks if t not in done and self._decided.get((pipeline, t)) is FRESH]
            more = {t: TaskRun(t, "fresh", (CUTOFF,)) for t in late}
            more |= {t: TaskRun(t, "failed", error=error) for (p, t), error in self.unready.items() if p == pipeline}
            found[pipeline] = [*more.values(), *never_ran(self.plans[pipeline], tasks, done | more)]
        return found

    @property
    def failed(self) -> bool:
        """Whether any task failed."""
        return bool(self.unready) or any(t.outcome == "failed" for t in self.executor.outcomes.values())

    def last_decision(self, plan: Plan, node: TaskNode) -> Decision | None:
        """Return what was decided about a task last; its upstream tasks cannot have changed since doit asked."""
        return self._decided.get((plan.pipeline, node.name))

    def start_over(self) -> None:
        """Drop what was observed: another run may have finished between the decisions and the lock."""
        self.facts.clear()
        self._decided.clear()
        self.files.seen.clear()
        self.files.known.update(known_files(self.project.store))
        self.project.trees.start_over()

    def _remember(self, plan: Plan, node: TaskNode, decision: Decision) -> Decision:
        if decision is FRESH:
            self.facts_of(plan).settled.add(node.name)
        self._decided[plan.pipeline, node.name] = decision
        return decision

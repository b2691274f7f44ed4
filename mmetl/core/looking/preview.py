"""What a run would do: the decision that it would take, and nothing changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from mmetl.cache.fingerprints import build_key
from mmetl.contracts.plan import Plan, TaskDetail, TaskNode
from mmetl.core.decide import Decision, decide
from mmetl.core.facts import Facts
from mmetl.core.looking.why import in_detail
from mmetl.core.options import RunOptions
from mmetl.core.project import Project
from mmetl.core.reasons import Reason, texts
from mmetl.core.running.guards import refuse, refuse_folder, refuse_uninstalled
from mmetl.core.running.restore import against, may_restore, restorable, suppose_restored
from mmetl.core.select import select, task_name
from mmetl.errors import MmetlError
from mmetl.observability.runs import Outcome


class Preview(NamedTuple):
    """What `run` would do with one task.

    Attributes:
        outcome: as in a run. A task that waits is `ran`.
        waits: whether that depends on what upstream tasks will make: it may turn out to be fresh, or be restored.
        notes: what else there is to know, such as why a query runs on one thread.
        counts: of an item-wise task whose inputs are settled: how many items are added and so on, and would be computed.
    """

    task: str
    outcome: Outcome
    waits: bool = False
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    counts: Mapping[str, float] = MappingProxyType({})


def preview(project: Project, path: Path, options: RunOptions) -> tuple[Plan, list[Preview]]:
    """Take the decision that `run` would take, and change nothing.

    Raises:
        MissingError: if a package is not installed that a stale task needs.
    """
    plan = project.plan(path, options.variables)
    selected, forced = select(project, plan, options)
    options = options._replace(allow_shrink=frozenset(task_name(plan, t) for t in options.allow_shrink))
    facts, decisions = project.decide(plan, selected, forced=forced)
    return plan, _Foresight(project, plan, options, facts, decisions).tell(selected)


class _Foresight:
    """Goes over decided tasks in order, and supposes what comes of each. Raises MissingError where a run would not begin."""

    def __init__(
        self, project: Project, plan: Plan, options: RunOptions, facts: Facts, decisions: Mapping[str, Decision]
    ) -> None:
        self.project, self.plan, self.options = project, plan, options
        self.facts, self.decisions = facts, decisions
        self.details = project.details(plan, [n for n, d in decisions.items() if d.freshness != "fresh"])
        refuse_uninstalled(self.details)
        self._supposed: set[str] = set()  # tasks that would be restored
        self._fail: set[str] = set()  # tasks that would fail, or not come to their turn for that

    def tell(self, selected: Iterable[str]) -> list[Preview]:
        """Return what would come of each task."""
        return [self._one(self.plan.tasks[name]) for name in selected]

    def _one(self, node: TaskNode) -> Preview:
        decision, needs = self.decisions[node.name], (*node.tables, *node.after)
        waits = [t for t in needs if t not in self.facts.settled]
        if not self._supposed.isdisjoint(needs):
            if node.globs:  # which files there will be is not supposed
                waits += [t for t in needs if t in self._supposed]
            else:
                decision = decide(node, self.facts)
        if decision.freshness == "fresh":
            self.facts.settled.add(node.name)
            return Preview(node.name, "fresh")
        told = texts(in_detail(self.project.store, decision.reasons))
        if not self._fail.isdisjoint(needs):
            self._fail.add(node.name)
            found = Preview(node.name, "blocked", reasons=tuple(told))
        elif waits:
            found = self._waiting(node, decision, told, waits)
        else:
            found = self._stale(node, decision, told)
        return found._replace(notes=tuple(self.details[node.name].notes))

    def _waiting(self, node: TaskNode, decision: Decision, told: list[str], waits: Sequence[str]) -> Preview:
        """Tell of a task whose inputs are not settled: if it is stale for its own reasons, it may still be restored."""
        detail = self.details[node.name]
        if decision.freshness == "unknown":
            return Preview(node.name, "ran", waits=True, reasons=tuple(told))
        if not may_restore(node, detail, against(decision.reasons)) or node.recipe not in self._built:
            return Preview(node.name, "ran", reasons=tuple(told))
        waiting = texts(tuple(Reason("waits_for", t) for t in waits))
        return Preview(node.name, "ran", waits=True, reasons=(*told, *waiting))

    def _stale(self, node: TaskNode, decision: Decision, told: list[str]) -> Preview:
        """Tell of a task whose inputs are what they will be."""
        detail = self.details[node.name]
        try:
            refuse(node, detail, self.facts, self.options.allow_shrink)
            if self._restored(node, detail, decision):
                return Preview(node.name, "restored", reasons=tuple(told))
            for path in node.outputs:
                refuse_folder(self.facts, path)
            counts = self._counts(node, detail, decision)
        except MmetlError as error:
            self._fail.add(node.name)
            known = any(r.kind in {"input_missing", "input_unusable"} for r in decision.reasons)
            return Preview(node.name, "failed", reasons=(*told, *(() if known else (error.what,))))
        return Preview(node.name, "ran", reasons=tuple(told), counts=counts)

    def _restored(self, node: TaskNode, detail: TaskDetail, decision: Decision) -> bool:
        if not may_restore(node, detail, against(decision.reasons)):
            return False
        found = restorable(self.project, build_key(node.recipe, self.facts.inputs(node)))
        if found is None:
            return False
        for part in found.build.manifest.parts:
            if part.path:
                refuse_folder(self.facts, part.path)
        suppose_restored(node, self.facts, found.build)
        self._supposed.add(node.name)
        return True

    def _counts(self, node: TaskNode, detail: TaskDetail, decision: Decision) -> Mapping[str, float]:
        if not detail.counted:
            return {}
        from mmetl.core.looking.estimates import estimate  # imports what only some tasks need

        return estimate(self.project, self.plan, node, self.facts, detail, decision.reasons, self.options)

    @cached_property
    def _built(self) -> set[str]:
        """The recipes that there is an earlier output of, over whatever inputs."""
        return {recipe for (recipe,) in self.project.store.rows("select distinct recipe from builds")}
